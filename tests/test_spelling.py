"""One meaning, one run: whatever way it is written, and however often."""

from itertools import product
from pathlib import Path

import pytest
from examples import INK, SPARSE
from typer.main import get_command

from lso_bench.cli import app
from lso_bench.commands.options import names, numbers
from lso_bench.commands.run import _study_from_options
from lso_bench.errors import UsageError
from lso_bench.plugins import code_version
from lso_bench.plugins.notation import digits
from lso_bench.search import SEARCHERS, region, starts
from lso_bench.study import file
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.study.lookup import named_model
from lso_bench.study.overrides import Rule
from lso_bench.study.spelling import means
from lso_bench.task import TASKS
from lso_bench.vae.architectures import ARCHITECTURES
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import SHIPPED, Model

COMMANDS = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
SCALARS = [
    pytest.param(name, option, id=f"{name} {option.opts[0]}")
    for name, command in COMMANDS.items()
    for option in command.params
    if option.param_type_name == "option" and not (option.multiple or option.is_flag)
]


def keys(**axes):
    grid = {"models": ["vae"], "tasks": ["ink"], "searchers": ["sobol"], "arch": "conv"} | axes
    protocol = Protocol(budget=20, starts=grid.pop("starts", None))
    return [p.spec.key for p in plan(Grid(**grid), protocol)]


SAME = {
    "regions": ["box:3", "box:3.0", "box:03", "box:3e0", "box:+3"],
    "searchers": ["sobol", "sobol:batch=10", "sobol:prior=false", "sobol:prior=False,batch=010", "sobol:"],
    "tasks": ["ink", "ink:target=0.15", "ink:target=15e-2", "ink:data=glyphs", "ink:target=.15,data=glyphs"],
    "models": [
        "vae",
        "vae:",
        "vae:beta=1",
        "beta_vae_1",
        "beta_vae_1.00",
        "vae:anneal=true",
        "vae_noanneal:anneal=true",
    ],
    "seeds": [0, 0],
}


@pytest.mark.parametrize("axis", SAME)
def test_what_means_the_same_is_planned_once_and_has_the_key_of_the_usual_spelling(axis):
    usual = keys(**{axis: SAME[axis][:1]})
    assert len(usual) == 1 and keys(**{axis: SAME[axis]}) == usual
    for one in SAME[axis]:
        assert keys(**{axis: [one]}) == usual


@pytest.mark.parametrize("arch", ["conv", "conv:", "conv:hidden=128", "conv:hidden=0128,channels=32"])
def test_an_architecture_is_what_its_settings_are(arch):
    assert keys(arch=arch) == keys()


@pytest.mark.parametrize("start", ["random:1", "random:01"])
def test_a_start_is_what_its_number_is(start):
    assert keys(starts=(start,)) == keys(starts=("random",))
    with pytest.raises(UsageError, match="stands twice"):
        keys(starts=("random", start))


def test_tasks_of_one_class_have_the_name_of_their_variant():
    assert TASKS.canonical("omniglot50:data=glyphs") == TASKS.canonical("glyphs50")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*-s[0-9].safetensors")), ids=lambda p: p.stem)
def test_what_ships_is_found_by_its_usual_name(path):
    name, arch = (path.stem.split("-d")[i] for i in (1, 0))
    latent, _, model = name.rpartition("-s")[0].partition("-")
    dataset, _, arch = arch.partition("-")
    usual = [text.replace("+", ":", 1).replace("+", ",") for text in (model, arch)]
    assert named_model(usual[0], dataset, usual[1], int(latent), int(path.stem[-1])).file == path.name


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_a_model_of_the_paper_keeps_its_name(name):
    assert OBJECTIVES.canonical(name) == name


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("nevae_lp_5", "nevae_lp_5.0"),
        ("nevae_lp_-0.10", "nevae_lp_-0.1"),
        ("nevae_lp_3.0:c=5", "nevae_lp_5.0"),
        ("beta_vae_0.50", "beta_vae_0.5"),
        ("beta_vae_10.0:anneal=False", "beta_vae_10:anneal=false"),
        ("vae:beta=0.5", "beta_vae_0.5"),
        ("vae:anneal=false", "vae_noanneal"),
        ("nevae_se:norm=data,sample=FALSE", "nevae_se:sample=false"),
        ("rae:beta=0.10,decay=1e-3", "rae"),
    ],
)
def test_a_model_has_one_name(name, usual):
    assert OBJECTIVES.canonical(name) == usual == OBJECTIVES.canonical(usual)
    assert OBJECTIVES.build(name) == OBJECTIVES.build(usual)


def test_paths_have_one_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ink.py").write_text(INK)
    (tmp_path / "sparse.py").write_text(SPARSE)
    (tmp_path / "imgs").mkdir()
    for i in range(3):
        (tmp_path / "imgs" / f"{i}.png").touch()
    assert {TASKS.canonical(p) for p in ("ink.py", "./ink.py", ".//./ink.py")} == {"./ink.py:target=0.15"}
    assert {OBJECTIVES.canonical(p) for p in ("sparse.py", "./sparse.py:pull=0.10")} == {"./sparse.py"}
    assert {DATASETS.canonical(p) for p in ("imgs", "./imgs/", "imgs:size=28", "./imgs:likelihood=bernoulli")} == {
        "./imgs"
    }


@pytest.mark.parametrize("text", ["none", "box:3", "ball:10", "quantiles:0.01", "box:2.5", "quantiles:0.00001"])
def test_a_usual_region_keeps_its_text(text):
    assert region.canonical(text) == text


@pytest.mark.parametrize("text", ["random", "data:10", "encoder", "other:3", "origin"])
def test_a_usual_start_keeps_its_text(text):
    assert starts.canonical(text) == text


@pytest.mark.parametrize("text", ["small", "paper", "conv:encoder=8,channels=8", "small:gated=true"])
def test_a_usual_architecture_keeps_its_text(text):
    assert ARCHITECTURES.canonical(text) == text


@pytest.mark.parametrize("number", [3.0, 0.1, 1e-7, 1e20, 10.0, -0.5])
def test_digits_give_a_number_back(number):
    assert float(digits(number)) == number and "e" not in digits(number)


@pytest.mark.parametrize(("command", "option"), SCALARS)
def test_an_option_for_one_value_is_refused_where_it_stands_twice(command, option):
    twice = [option.opts[0], "3", option.opts[0], "3"]
    with pytest.raises(UsageError, match=rf"^{option.opts[0]} stands 2 times; give it once"):
        COMMANDS[command].make_context(command, twice)


@pytest.mark.parametrize(
    ("option", "value"), [("--budget", "1_0"), ("--seconds", "1_0.5"), ("--jobs", "1_0"), ("--memory", " 3")]
)
def test_a_number_is_in_plain_digits(option, value):
    with pytest.raises(UsageError, match=f"{option} wants a .*number in plain digits, not"):
        COMMANDS["run"].make_context("run", [option, value])


@pytest.mark.parametrize("text", ["1_0", "\u0663", "1,", "", "1.0", "0x3"])
def test_seeds_are_in_plain_digits(text):
    with pytest.raises(UsageError, match="--seed wants whole numbers"):
        numbers("seed", ["4", text])


def test_options_that_take_lists_add():
    base = {"model": ["vae,vae_noanneal", "nevae_se"], "task": ["ink", "symmetry"], "searcher": ["sobol", "cmaes"]}
    base |= {"seed": ["0", "1,2"], "train_seed": ["0", "1"], "search_seed": ["5", "6"], "region": ["box:2", "box:3"]}
    base |= {"starts": ["random", "origin"], "thresholds": ["0.1", "0"]}
    words = [w for option, texts in base.items() for t in texts for w in (f"--{option.replace('_', '-')}", t)]
    grid, protocol = _study_from_options(**COMMANDS["run"].make_context("run", words).params)
    assert (grid.models, grid.tasks) == (["vae", "vae_noanneal", "nevae_se"], ["ink", "symmetry"])
    assert (grid.searchers, grid.seeds, grid.regions) == (["sobol", "cmaes"], [0, 1, 2], ["box:2", "box:3"])
    assert (grid.train_seeds, grid.search_seeds) == ([0, 1], [5, 6])
    assert (protocol.starts, protocol.thresholds) == (("random", "origin"), (0.1, 0.0))


def test_a_setting_that_stands_twice_is_refused():
    with pytest.raises(UsageError, match=r"setting 'lr' stands twice; give it once"):
        SEARCHERS.build("adam:lr=0.1,lr=0.2")
    with pytest.raises(UsageError, match="everything once"):
        file.rule("searcher=bo budget=10 budget=20", "override")


@pytest.mark.parametrize("name", ["a,b.py", "10:30.py", "two words.py", 'we"ird.py', "a=b.py", "T.PY"])
def test_a_path_with_odd_characters_is_found_by_its_quoted_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(INK)
    table = file._name({"name": f"./{name}", "target": 0.3})
    (text,) = names("task", [table])
    full = TASKS.canonical(text)
    assert TASKS.build(full).target == 0.3 and TASKS.canonical(full) == full == table
    assert code_version.source_hash(full)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a,b.py", "./a,b.py:target=0.3,ink"), ("10:30.py", "./10:30.py"), ("10:30.py", "./10:30.py:target=0.3")],
)
def test_a_path_that_wants_quotes_is_told_so(name, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(INK)
    for ask in (lambda: names("task", [text]), lambda: TASKS.build(text)):
        with pytest.raises(UsageError, match=rf"The path '\./{name}' stands in double quotes.*'\"\./{name}\"'"):
            ask()


WORDS = INK.replace("target: float = 0.15", 'words: str = "cat,dog"').replace("- self.target", "- len(self.words)")


@pytest.mark.parametrize("words", ["cat,dog", "a=b", "http://h:8", 'say "hi"', " outer ", "", "a:b,c=d"])
def test_a_text_with_commas_is_a_setting(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.py").write_text(WORDS)
    text = file._name({"name": "./words.py", "words": words})
    full = TASKS.canonical(text)
    assert TASKS.build(full).words == words and names("task", [f"{full},ink"]) == [full, "ink"]


@pytest.mark.parametrize(
    ("kind", "canonical", "text"),
    [
        ("searcher", "sobol:prior=true", "sobol:prior=True,batch=10"),
        ("searcher", "adam:lr=0.10", "adam:lr=0.1,beta1=0.9,beta2=0.999"),
        ("searcher", "adam", "adam:lr=0.1,beta1=0.9,beta2=0.999"),
        ("task", "ink.py", "./ink.py:target=0.15"),
        ("model", "nevae_lp_5", "nevae_lp_5.0"),
        ("region", "box:3.0", "box:3"),
    ],
)
def test_a_name_of_a_run_is_known_in_any_spelling(kind, canonical, text):
    assert means(kind, canonical, text)


@pytest.mark.parametrize(
    ("kind", "canonical", "text"),
    [
        ("searcher", "adam:lr=0.2", "adam:lr=0.1,beta1=0.9"),
        ("searcher", "adam:no=1", "adam:lr=0.1"),
        ("region", "box:2", "box:3"),
        ("model", "vae", "nevae_se"),
    ],
)
def test_another_name_is_not(kind, canonical, text):
    assert not means(kind, canonical, text)


def test_a_rule_means_runs_in_any_spelling():
    rules = [Rule({"searcher": "sobol:batch=010"}), Rule({"model": "beta_vae_1.0", "region": "box:3.0"})]
    for rule, axes in zip(rules, ({}, {"regions": ["box:3"]}), strict=True):
        with pytest.raises(UsageError, match="leave out all"):
            keys(rules=(rule,), **axes)


def test_equal_specs_by_overrides_are_one_run():
    rules = (Rule({"searcher": "sobol"}, {"budget": 30}),)
    assert len(keys(searchers=["sobol", "sobol:batch=10"], rules=rules)) == 1


@pytest.mark.parametrize(("x", "y"), [*product(["./a.py", "ink"], ["a,b", "c"])])
def test_names_of_models_files_hold_no_separator(x, y):
    assert "/" not in Model(f"{x}:words={y}", "glyphs").file and Path(Model(x, "glyphs").file).name
