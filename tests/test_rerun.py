"""The command that makes a run again makes exactly that run; that of a training goes on with it."""

import shlex
from dataclasses import replace

import pytest
from typer.main import get_command

from lso_bench.cli import app
from lso_bench.commands.run import _study_from_options
from lso_bench.models import training
from lso_bench.plugins import notation
from lso_bench.study.command import command, commands
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.study.lookup import named_model


def keys_of(text):
    """Keys of the runs that a command would make."""
    parameters = get_command(app).commands["run"].make_context("run", shlex.split(text)[2:]).params
    grid, protocol = _study_from_options(**parameters)
    return {p.spec.key for p in plan(grid, protocol)}


GRIDS = [
    (Grid(["vae", "nevae_se"], ["glyphs50"], seeds=[0, 3]), Protocol()),
    (Grid(["vae"], ["glyphs50"], ["sobol", "cmaes:sigma=0.3"], regions=["box:2", "ball:8"]), Protocol(budget=40)),
    (Grid(["vae"], ["glyphs50"], seeds=[1], search_seeds=[2]), Protocol(("random", "data"), joint=True)),
    (Grid(["vae"], ["ink:target=0.3"], ["adam:lr=0.02"], arch="conv"), Protocol(max_steps=7, patience=3, seconds=1.5)),
    (Grid(["vae"], ["glyphs50"]), Protocol(check_every=50, max_steps=99)),
    (Grid(["vae"], ["glyphs50"], ["adam", "sobol"]), Protocol(thresholds=(0.3, 1e-7, 0.0))),
    (Grid(["vae"], ["ink"], ["cmaes"]), Protocol(space="pca:8")),
]


@pytest.mark.parametrize(("grid", "protocol"), GRIDS)
def test_command_plans_the_same_run(grid, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for planned in plan(grid, protocol):
        assert keys_of(command(planned.spec)) == {planned.spec.key}


def test_runs_that_differ_in_the_seed_alone_share_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    specs = [p.spec for p in plan(Grid(["vae"], ["glyphs50"], seeds=[0, 1, 5]))]
    rest = [p.spec for p in plan(Grid(["vae"], ["glyphs50"], seeds=[0], search_seeds=[7]))]
    (first, group), (second, alone) = commands([*specs, *rest])
    assert group == specs and keys_of(first) == {s.key for s in specs}
    assert alone == rest and keys_of(second) == {s.key for s in rest}


@pytest.mark.parametrize(
    "task",
    [
        "ink:target=0.2,data=./a b:size=28'",
        str(notation.Choice("./a,b.py", {"words": "x, y", "url": "http://h:8/?q=1"})),
        str(notation.Choice("./10:30.py")),
        str(notation.Choice('./say "hi".py', {"path": "$HOME/*"})),
        str(notation.Choice("a=b.py")),
    ],
)
def test_command_says_every_name(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (spec,) = [p.spec for p in plan(Grid(["vae"], ["glyphs50"]))]
    odd = replace(spec, task=task, searcher="adam:lr=0.2", thresholds=(0.1,))
    parameters = get_command(app).commands["run"].make_context("run", shlex.split(command(odd))[2:]).params
    grid, protocol = _study_from_options(**parameters)
    assert (grid.models, grid.tasks, grid.searchers) == (["vae"], [task], ["adam:lr=0.2"])
    assert protocol.starts == odd.starts and protocol.thresholds == (0.1,)


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_interrupted_training_goes_on_by_a_command_with_every_option_that_was_given(quiet):
    words = [
        "--model",
        "nevae_se:sample=false",
        "--data",
        "glyphs",
        "--arch",
        "conv:encoder=2,channels=2",
        "--seed",
        "3",
    ]
    words += ["--latent", "4", "--epochs", "9", "--compile", "--capture", "--precision", "bf16", "--device", "cpu"]
    words += ["--data-dir", "my data", "--tensorboard", "$HOME/it's", *quiet]
    options = options_of_train(words)
    model = named_model(*(options[k] for k in ("model", "data", "arch", "latent", "seed")))
    planned = training.plan(model, *(options[k] for k in ("epochs", "compile", "capture", "precision")))

    line = training.again(planned, *(options[k] for k in ("device", "data_dir", "tensorboard", "quiet")))

    program, name, *again = shlex.split(line)
    assert (program, name) == ("lso-bench", "train") and options_of_train(again) == options


def options_of_train(words):
    return get_command(app).commands["train"].make_context("train", list(words)).params
