"""The help says all that the source says, and a usage error says what to do."""

import json
import shlex
from typing import get_args, get_type_hints

import pytest
import typer
from conftest import TINY, fails, random_vae
from examples import INK
from typer.testing import CliRunner

import lso_bench
from lso_bench.cli import COMMANDS, EXAMPLES, app
from lso_bench.commands.parsing import GROUPS
from lso_bench.commands.parsing import _group as group_of
from lso_bench.vae.checkpoint import save_model

TEXTS = {
    name: [
        said.help
        for kind in get_type_hints(command, include_extras=True).values()
        for said in get_args(kind)[1:]
        if getattr(said, "help", None)
    ]
    for name, command in COMMANDS.items()
}


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_there_are_defaults_to_be_shown():
    assert sum("[default" in text for texts in TEXTS.values() for text in texts) > 20


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", ["40", "200"])
def test_help_has_every_text_whole(command, width):
    done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": width, "TERMINAL_WIDTH": width})
    assert done.exit_code == 0
    for text in TEXTS[command]:
        assert squeezed(text) in squeezed(done.output), text


@pytest.mark.parametrize("value", ["", "0", "1", "-5", "abc", "²", "1e9"])
def test_variables_of_a_terminal_do_no_harm(call, monkeypatch, value):
    for variable in ("COLUMNS", "LINES", "TERMINAL_WIDTH", "NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.setenv(variable, value)
    done = call("list", "searchers")
    assert done.returncode == 0 and "adam" in done.stdout and done.stderr == ""
    assert "Usage" in call("compare", "--help").stdout


def test_a_forgotten_option_name_is_said(call):
    fails(call("run", "--model", "vae", "ink"), 2, "No study file 'ink'", "--task ink")


def test_many_options_stand_in_groups_and_examples_below_them():
    shown = CliRunner().invoke(app, ["run", "--help"]).output
    headings = [line for line in shown.splitlines() if line and line[0] != " " and line.endswith(":")]
    assert headings == ["Arguments:", "What:", "How long:", "Protocol:", "Machine:", "Output:", "Other:"]
    assert "\n    lso-bench run study.toml" in shown
    assert "9007199254740991" not in shown and "<str>" not in shown


def test_every_option_has_a_group_and_every_name_of_a_group_is_one():
    commands = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    options = {n: [p.name for p in c.params if p.param_type_name == "option"] for n, c in commands.items()}
    assert {f"{n} --{o}" for n, listed in options.items() for o in listed if group_of(o) not in GROUPS} == set()
    named = [o for listed in GROUPS.values() for o in listed.split()]
    assert len(named) == len({*named}) and {*named} <= {o for listed in options.values() for o in listed} | {"models"}


@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_fit_a_terminal_and_can_be_parsed(command):
    shown = CliRunner().invoke(app, [command, "--help"]).output
    assert "Examples:" in shown and max(map(len, shown.splitlines())) <= 80
    for example in EXAMPLES[command]:
        assert example in shown
        program, name, *arguments = shlex.split(example)
        click = typer.main.get_command(app).commands[name]
        assert program == "lso-bench" and click.make_context(name, arguments, resilient_parsing=True)


def test_version_is_that_of_the_package(call):
    assert call("--version").stdout == f"lso-bench {lso_bench.__version__}\n"


def test_main_help_names_the_exit_statuses():
    shown = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert "3 incomplete; 4 something cannot be used" in shown and "--show-completion" in shown


def test_list_alone_names_everything_and_in_json_with_settings(call):
    shown = call("list").stdout
    assert all(name in shown for name in ("models", "nevae_se", "omniglot", "cmaes", "conv", "ink"))
    entries = json.loads(call("list", "searchers", "--json").stdout)
    assert {"name": "sobol", "settings": "prior=False, batch=10"}.items() <= next(
        e for e in entries if e["name"] == "sobol"
    ).items()
    assert json.loads(call("list", "--json").stdout).keys() == {"models", "data", "tasks", "searchers", "architectures"}


def test_status_of_a_study_counts_its_runs_and_no_others(call, tmp_path):
    (tmp_path / "study.toml").write_text(
        'models = ["vae"]\ntasks = ["ink"]\nsearchers = ["random"]\narch = "conv"\nbudget = 10\nseeds = [0, 1, 2]\n'
    )
    assert call("status", "study.toml").stdout == "study.toml: 3 to do of 3 runs in results\n"
    options = ("--searcher", "random", "--arch", "conv", "--budget", "10", "--seed", "0,1,7", "--no-pictures")
    assert call("run", "--model", "vae", "--task", "ink", *options).returncode == 0
    done = call("status", "study.toml")
    assert done.stdout == "study.toml: 2 done, 1 to do of 3 runs in results\n" and "seed 2" in done.stderr
    assert json.loads(call("status", "study.toml", "--json").stdout)["runs"]["done"] == 2


def test_key_and_part_of_a_run_are_unknown_where_its_model_is_not_trained(call, tmp_path):
    (tmp_path / "study.toml").write_text('models = ["vae"]\ntasks = ["glyphs50"]\nlatent = 3\nmax_steps = 2\n')
    dry = call("run", "study.toml", "--dry-run", "--json")
    assert dry.returncode == 0 and [run["key"] for run in json.loads(dry.stdout)] == [None]
    assert call("run", "study.toml", "--dry-run").stdout.startswith("not known yet")
    part = call("run", "study.toml", "--dry-run", "--shard", "1/2")
    assert part.returncode == 4 and "follows from its weights. No checkpoint of vae" in part.stderr


def test_finished_runs_are_counted_also_where_a_checkpoint_is_gone(call, checkpoint, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('models = ["vae"]\ntasks = ["glyphs50"]\nlatent = 4\nmax_steps = 2\n')
    assert call("run", "study.toml", "--no-pictures").returncode == 0
    away = checkpoint.rename(checkpoint.with_suffix(".away"))
    asked = call("status", "study.toml")
    assert (asked.returncode, asked.stdout) == (0, "study.toml: 1 done of 1 runs in results\n")
    assert "No checkpoint of vae (small, d = 4) on glyphs" in asked.stderr
    assert "1 runs without a checkpoint are looked up by the weights that earlier runs recorded" in asked.stderr
    again = call("run", "study.toml")
    assert again.returncode == 0 and "1 of 1 runs are done already" in again.stderr and "glyphs50" in again.stdout
    path.write_text(path.read_text() + "seeds = [0, 1]\n")
    asked, dry = call("status", "study.toml"), call("run", "study.toml", "--dry-run")
    assert asked.stdout == "study.toml: 1 done, 1 to do of 2 runs in results\n"
    assert dry.returncode == 0 and dry.stdout.count("done") == dry.stdout.count("to do") == 1
    fails(call("run", "study.toml"), 4, "No checkpoint of vae (small, d = 4) on glyphs", "lso-bench train")
    fails(call("run", "study.toml", "--results", "none"), 4, "No checkpoint of vae (small, d = 4) on glyphs")
    assert not (tmp_path / "none").exists()
    assert call("status", "study.toml", "--results", "none").stdout == "study.toml: 2 to do of 2 runs in none\n"
    away.rename(checkpoint)
    assert "checkpoint" not in call("status", "study.toml").stderr


def test_runs_of_two_trainings_are_not_counted_where_the_checkpoint_is_gone(call, checkpoint, tmp_path):
    (tmp_path / "study.toml").write_text('models = ["vae"]\ntasks = ["glyphs50"]\nlatent = 4\nmax_steps = 2\n')
    for seed in (0, 1):
        save_model(checkpoint, random_vae(TINY, seed), {"made": f"by a test, {seed}"})
        assert call("run", "study.toml", "--no-pictures").returncode == 0
    checkpoint.unlink()
    assert call("status", "study.toml").stdout == "study.toml: 1 to do of 1 runs in results\n"


def test_missing_checkpoint_says_that_the_data_are_those_of_a_task_file(call, tmp_path):
    (tmp_path / "inked.py").write_text(INK)
    done = call("run", "--model", "vae", "--task", "./inked.py", "--searcher", "sobol", "--latent", "5")
    assert (
        done.returncode == 4 and "No checkpoint of vae (small, d = 5) on glyphs, the data of ./inked.py." in done.stderr
    )


def test_search_without_gradients_names_the_architecture_that_has_them(call):
    fails(call("run", "--model", "vae", "--task", "ink"), 2, "needs gradients", "--arch conv")
