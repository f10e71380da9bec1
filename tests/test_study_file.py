"""Study files: the same runs as by the command line, and one clear line for whatever is wrong."""

from pathlib import Path

import pytest
from conftest import fails

from lso_bench import study_file
from lso_bench.errors import UsageError
from lso_bench.study import Grid, Protocol, plan

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


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_studies_that_ship_can_be_run(path):
    assert len(plan(*study_file.read(path))) > 1


FAULTY = {
    'tasks = ["ink"]': r'wanted models, got none; say models = \["name", \.\.\.\]',
    'models = ["vae"]\ntasks = ["ink"]\nbudgets = 3': "No setting of a study 'budgets'.* Did you mean 'budget'",
    'models = "vae"\ntasks = ["ink"]': "models: wanted a list of names or tables, got 'vae'",
    'models = ["vae"]\ntasks = [{target = 0.3}]': "tasks: wanted each of them a name, or a table",
    'models = ["vae"]\ntasks = [{name = "ink", target = [1]}]': r"wanted target to be a number.*got \[",
    'models = ["vae"]\ntasks = [{name = "ink", data = "a,b"}]': "wanted data to be .* without a comma",
    'models = ["vae"]\ntasks = ["ink"]\nseeds = [-1]': r"seeds: wanted a list of whole numbers .*, got \[-1\]",
    'models = ["vae"]\ntasks = ["ink"]\nseeds = [true]': "seeds: wanted a list of whole numbers",
    'models = ["vae"]\ntasks = ["ink"]\nbudget = 0': "budget: wanted a whole number from 1 on, got 0",
    'models = ["vae"]\ntasks = ["ink"]\nseconds = -1.5': "seconds: wanted a finite number above 0, got -1.5",
    'models = ["vae"]\ntasks = ["ink"]\nseconds = inf': "seconds: wanted a finite number above 0, got inf",
    'models = ["vae"]\ntasks = ["ink"]\nseeds = [9999999999999999999]': r"seeds: wanted .* below 2\^63",
    'models = ["vae"]\ntasks = ["ink"]\njoint = "yes"': "joint: wanted true or false, got 'yes'",
    'models = ["vae"]\ntasks = ["ink"]\narch = 3': "arch: wanted a text, got 3",
    'models = ["vae"]\ntasks = ["ink"]\nregions = []': "regions: wanted a list of texts",
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
    assert "--max-steps: of no effect on sobol" in dry.stderr
    fails(call("run", "study.toml", "--budget", "5"), 2, "With a study file, say --budget in it")
    fails(call("run"), 2, "Wanted --model and --task, or a study file")
