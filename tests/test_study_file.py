"""Study files: the same runs as by the command line, and one clear line for whatever is wrong."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from conftest import NOISE, TINY, fails, random_vae

import lso_bench
from lso_bench.errors import UsageError
from lso_bench.study import file as study_file
from lso_bench.study.grid import Grid, Protocol, plan, shard
from lso_bench.study.overrides import Rule
from lso_bench.study.titles import titles
from lso_bench.testing import template
from lso_bench.vae.checkpoint import save_model
from lso_bench.vae.trained_model import SHIPPED, Model

ROOT = Path(__file__).parents[1]
TEXT = """
models = ["vae", {name = "nevae_se", sample = false}]
arch = "conv"
latent = 8
seeds = [0, 1, 0]
search_seeds = [2]
regions = ["box:2", "ball:3"]
starts = ["random:4"]
budget = 50
seconds = 2
joint = true

[[tasks]]
name = "ink"
target = 0.3
data = "mnist"

[[searchers]]
name = "cmaes"
sigma = 0.3
"""


def read(folder, text):
    (folder / "study.toml").write_text(text)
    return study_file.read(folder / "study.toml")


def test_file_says_what_the_command_line_can(tmp_path):
    grid, protocol = read(tmp_path, TEXT)
    assert grid == Grid(
        models=["vae", "nevae_se:sample=false"],
        tasks=["ink:target=0.3,data=mnist"],
        searchers=["cmaes:sigma=0.3"],
        seeds=[0, 1],
        search_seeds=[2],
        regions=("box:2", "ball:3"),
        arch="conv",
        latent=8,
    )
    assert protocol == Protocol(starts=("random:4",), budget=50, seconds=2.0, joint=True)


def test_file_and_lists_give_the_same_runs(tmp_path):
    text = 'models = ["vae"]\narch = "conv"\ntasks = [{name = "ink", target = 0.3}]\nsearchers = ["sobol"]\nbudget = 20'
    by_file = plan(*read(tmp_path, text))
    by_lists = plan(Grid(["vae"], ["ink:target=0.3"], ["sobol"], arch="conv"), Protocol(budget=20))
    assert [p.spec.key for p in by_file] == [p.spec.key for p in by_lists] and len(by_file) == 1


RULED = """
models = ["vae", "nevae_se"]
arch = "conv"
tasks = ["ink"]
searchers = ["sobol", "cmaes", {name = "cmaes", sigma = 0.3}]
seeds = [0, 1]
budget = 20

[[exclude]]
model = "nevae_se"
searcher = "cmaes"

[[exclude]]
searcher = "cmaes:sigma=0.3"
seed = 1

[[override]]
searcher = "sobol"
budget = 30

[[override]]
searcher = "sobol"
seed = 1
budget = 40
patience = 5
"""


def test_some_runs_are_left_out_and_some_done_otherwise(tmp_path):
    planned = plan(*read(tmp_path, RULED))
    shown = {(p.spec.model.name, p.spec.searcher.split(":")[0], p.spec.seeds.init, p.spec.budget) for p in planned}
    assert shown == {
        *(("vae", "cmaes", seed, 20) for seed in (0, 1)),
        *((model, "sobol", 0, 30) for model in ("vae", "nevae_se")),
        *((model, "sobol", 1, 40) for model in ("vae", "nevae_se")),
    }
    assert len(planned) == 7  # of cmaes with seed 0 two, with their settings
    assert {p.spec.patience for p in planned if p.spec.budget == 40} == {5}


def test_rules_of_the_command_line_are_those_of_a_file(tmp_path):
    grid, _ = read(tmp_path, RULED)
    texts = {"exclude": ["model=nevae_se searcher=cmaes", "searcher=cmaes:sigma=0.3 seed=1"]}
    texts |= {"override": ["searcher=sobol budget=30", "searcher=sobol seed=1 budget=40 patience=5"]}
    assert tuple(study_file.rule(text, kind) for kind, each in texts.items() for text in each) == grid.rules


def test_rules_of_a_file_may_be_written_as_on_the_command_line(tmp_path):
    head = RULED[: RULED.index("[[")].rstrip()
    rules = 'exclude = ["model=nevae_se searcher=cmaes", "searcher=cmaes:sigma=0.3 seed=1"]\n'
    rules += 'override = ["searcher=sobol budget=30", {searcher = "sobol", seed = 1, budget = 40, patience = 5}]\n'
    assert read(tmp_path, f"{head}\n{rules}") == read(tmp_path, RULED)


@pytest.mark.parametrize("seeds", ["[1, 2]", "'1,2'", "'1-2'"])
def test_rule_may_mean_several_seeds(tmp_path, seeds):
    head = RULED[: RULED.index("[[")].rstrip()
    (rule,) = read(tmp_path, f"{head}\nexclude = [{{ searcher = 'sobol', seed = {seeds} }}]")[0].rules
    assert (
        rule == study_file.rule("searcher=sobol seed=1,2", "exclude") and str(rule) == "exclude searcher=sobol seed=1,2"
    )
    assert [rule.matches({"searcher": "sobol:batch=10", "seed": s}) for s in (0, 1, 2, 3)] == [False, True, True, False]


def test_run_names_what_tells_its_runs_apart_and_no_more(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise.py").write_text(NOISE)
    (tmp_path / "mine.py").write_text(template.MODEL.replace("Example", "Mine").replace('"glyphs"', '"noise.py"'))
    searchers = ["cmaes:sigma=0.1", "cmaes:sigma=0.2", "sobol"]
    lso_bench.Study("./mine.py", "ink:data=noise.py", searchers, budget=16).run(tmp_path / "r", isolation="none")
    lines = re.findall(r"^(.*): ok, ", capsys.readouterr().err, re.M)
    assert len({*lines}) == 3 and sum("cmaes:sigma=0.2" in line for line in lines) == 1
    assert [line for line in lines if "sobol" in line] == ["./mine.py · ink · sobol · space standard · seed 0"]


def test_titles_of_a_plan_show_what_a_rule_changes_and_no_two_are_equal(tmp_path):
    specs = [p.spec for p in plan(*read(tmp_path, RULED))]
    shown = titles(specs)
    assert len({*shown.values()}) == len(specs)
    by_title = {text: next(s for s in specs if s.key == key) for key, text in shown.items()}
    assert all(s.region in text.split(" · ") and f"{s.budget} ev." in text for text, s in by_title.items())
    assert {text for text in by_title if "patience 5" in text} == {t for t, s in by_title.items() if s.patience}
    assert any("cmaes:sigma=0.3" in text for text in by_title)


def test_titles_show_each_setting_that_an_override_can_change():
    changes = {"starts": ("random",), "decoding": "sample", "thresholds": (0.5,), "precision": "fp64", "joint": True}
    changes |= {"max_steps": 7, "seconds": 3.0, "patience": 2, "check_every": 10, "space": "standard"}
    base = plan(Grid(["vae"], ["glyphs50"], arch="conv"))[0].spec
    for name, value in changes.items():
        first, second = titles([base, replace(base, **{name: value})]).values()
        assert first != second
    assert {*changes, "budget"} == {f.name for f in fields(Protocol)}


def test_rule_that_means_no_run_is_named(tmp_path):
    with pytest.raises(UsageError, match="No run is meant by `exclude model=nevae_lp searcher=sobol`"):
        plan(*read(tmp_path, RULED.replace('"nevae_se"\nsearcher = "cmaes"', '"nevae_lp"\nsearcher = "sobol"')))
    with pytest.raises(UsageError, match="leave out all"):
        plan(Grid(["vae"], ["ink"], arch="conv", rules=(Rule({"model": "vae"}),)))


def test_parts_of_a_study_are_disjoint_and_together_all_of_it(tmp_path):
    planned = plan(Grid(["vae"], ["ink"], ["sobol"], range(40), arch="conv"), Protocol(budget=5))
    parts = [shard(planned, f"{i}/3") for i in (1, 2, 3)]
    assert all(parts) and sorted(p.spec.key for part in parts for p in part) == sorted(p.spec.key for p in planned)
    assert shard(planned, "1/1") == planned
    for wrong in ("0/3", "4/3", "3", "a/b", "1/0", "-1/3", ""):
        with pytest.raises(UsageError, match="wants a part like 3/16"):
            shard(planned, wrong)


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_studies_that_ship_can_be_run_after_the_trainings_that_they_name(path, tmp_path, monkeypatch):
    grid, protocol = study_file.read(path)
    monkeypatch.setenv("LSO_BENCH_CHECKPOINTS", str(tmp_path))
    for names in re.findall("^# Train first: (.*)", path.read_text(), re.M):
        for name in names.split(", "):
            models = [Model(name, "omniglot", grid.arch or "small", 32, seed) for seed in grid.train_seeds]
            missing = [m for m in models if not (SHIPPED / m.file).exists()]
            assert missing
            for model in missing:
                save_model(tmp_path / model.file, random_vae(TINY), {"made": "by a test"})
    assert len(plan(grid, protocol)) > 1


FAULTY = {
    'tasks = ["ink"]': r'wanted models, got none; say models = \["name", \.\.\.\]',
    'models = ["vae"]\ntasks = ["ink"]\nbudgets = 3': "No setting of a study 'budgets'.* Did you mean 'budget'",
    'models = "vae"\ntasks = ["ink"]': "models: wanted a list of names or tables, got 'vae'",
    'models = ["vae"]\ntasks = [{target = 0.3}]': "tasks: wanted each of them a name, or a table",
    'models = ["vae"]\ntasks = [{name = "ink", target = [1]}]': r"wanted target to be a number.*got \[",
    'models = ["vae"]\ntasks = ["ink"]\nseeds = [-1]': r"seeds: wanted a list of whole numbers .*, got \[-1\]",
    'models = ["vae"]\ntasks = ["ink"]\nseeds = [true]': "seeds: wanted a list of whole numbers",
    'models = ["vae"]\ntasks = ["ink"]\nbudget = 0': "budget: wanted a whole number from 1 to 9007199254740991, got 0",
    'models = ["vae"]\ntasks = ["ink"]\nseconds = -1.5': "seconds: wanted a finite number from 0 on, got -1.5",
    'models = ["vae"]\ntasks = ["ink"]\nseconds = inf': "seconds: wanted a finite number from 0 on, got inf",
    'models = ["vae"]\ntasks = ["ink"]\nseeds = [9999999999999999999]': r"seeds: wanted .* to 4294967295",
    'models = ["vae"]\ntasks = ["ink"]\njoint = "yes"': "joint: wanted true or false, got 'yes'",
    'models = ["vae"]\ntasks = ["ink"]\narch = 3': "arch: wanted a text, got 3",
    'models = ["vae"]\ntasks = ["ink"]\nregions = []': "regions: wanted a list of texts",
    'models = ["vae"]\ntasks = ["ink"]\nexclude = "vae"': r'wanted one or more tables, as \[\{searcher = "bo"\}\], got',
    'models = ["vae"]\ntasks = ["ink"]\noverride = [3]': r'as \[\{searcher = "bo", budget = 100\}\], got \[3\]',
    'models = ["vae"]\ntasks = ["ink"]\nexclude = ["bo"]': "exclude: wanted which runs are meant, by model, task,",
    'models = ["vae"]\ntasks = ["ink"]\n[[exclude]]\nmodell = "vae"': "wanted which runs are meant, by model, task,",
    'models = ["vae"]\ntasks = ["ink"]\n[[exclude]]\nseed = "one"': "wanted seed to be whole numbers",
    'models = ["vae"]\ntasks = ["ink"]\n[[override]]\nmodel = "vae"': "wanted of each override what it changes",
    'models = ["vae"]\ntasks = ["ink"]\n[[override]]\nmodel = "vae"\nlatent = 3': "what it changes .*, not 'latent'",
    'models = ["vae"]\ntasks = ["ink"]\n[[override]]\nmodel = "vae"\nbudget = 0': "wanted budget to be a whole number",
    "models = [": "is no TOML",
    "a = " + "[" * 2000: "is no TOML",
}


@pytest.mark.parametrize("text", FAULTY)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text):
    with pytest.raises(UsageError, match=f"study.toml.*{FAULTY[text]}"):
        read(tmp_path, text)


def test_file_that_is_not_there_or_not_text_is_named(tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"bytes\.toml is no TOML"):
        study_file.read(tmp_path / "bytes.toml")
    with pytest.raises(UsageError, match=r"No study file .*nowhere\.toml"):
        study_file.read(tmp_path / "nowhere.toml")


def test_command_line_says_nothing_of_the_grid_beside_a_file(call, tmp_path):
    (tmp_path / "study.toml").write_text('models = ["vae"]\ntasks = ["ink"]\narch = "conv"')
    with (tmp_path / "study.toml").open("a") as file:
        file.write('\nsearchers = ["sobol"]\nmax_steps = 5')
    dry = call("run", "study.toml", "--dry-run")
    assert dry.returncode == 0 and dry.stdout.count("to do") == 1
    assert "--max-steps: of no effect on sobol; give --budget, evaluations.\n" in dry.stderr
    fails(call("run", "study.toml", "--budget", "5"), 2, "With a study file, say --budget in it")
    fails(call("run"), 2, "Wanted --model and --task, or a study file")


@pytest.mark.parametrize(
    ("rules", "key"),
    [
        (["searcher=sobol budget=30", "searcher=sobol budget=40"], "budget"),
        (["searcher=sobol budget=30", "searcher=sobol seed=1 budget=40"], None),
        (["searcher=sobol budget=30", "searcher=sobol patience=4"], None),
        (["seed=1 searcher=sobol patience=3", "searcher=sobol seed=1 patience=4"], "patience"),
    ],
)
def test_two_overrides_that_contradict_each_other_are_refused(call, checkpoint, rules, key):
    options = [part for rule in rules for part in ("--override", rule)]
    words = ("--model", "vae", "--latent", "4", "--task", "ink", "--searcher", "sobol", "--seed", "0,1", *options)
    done = call("run", *words, "--dry-run", "--quiet")
    assert done.returncode == (2 if key else 0), done.stderr
    assert f"two values of {key}; leave one out" in done.stderr or not key
