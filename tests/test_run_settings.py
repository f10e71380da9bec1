"""A setting of a run that is added to the table is known everywhere, and changes no key of a stored run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lso_bench.run_settings import RUN_SETTINGS
from lso_bench.spec import Spec
from lso_bench.store.store import Store

ROOT = Path(__file__).parents[1]
ADDED = '    noise: float = setting(0.0, help="Standard deviation added to scores.")\n'
KNOWN = """
import json, sys
from dataclasses import replace
from pathlib import Path
from typer.main import get_command
from lso_bench.analysis.caveats import caveats
from lso_bench.analysis.fields import Condition, chosen
from lso_bench.analysis.table import OPTIONAL_NUMBERS, group
from lso_bench.cli import app
from lso_bench.commands.run import _study_from_options
from lso_bench.report.sections import searcher_labels
from lso_bench.store import index
from lso_bench.store.store import Store
from lso_bench.study import file
from lso_bench.study.command import command
import pandas as pd

store, again = (Store(Path(sys.argv[1]), readonly=True) for _ in range(2))
records = [*store]
noisy = [replace(r, spec=replace(r.spec, noise=0.1)) for r in records]
run = get_command(app).commands["run"]
context = run.make_context("run", ["--model", "vae", "--task", "ink", "--noise", "0.1"])
study = Path(sys.argv[2])
study.write_text('models = ["vae"]\\ntasks = ["ink"]\\nnoise = 0.1\\n[[override]]\\nsearcher = "bo"\\nnoise = 0.2\\n')
grid, protocol = file.read(study)
rows = pd.DataFrame([group(r) for r in (records[0], noisy[0])]).astype(dict.fromkeys(OPTIONAL_NUMBERS, float))
print(json.dumps({
    "keys": [r.spec.key for r in records],
    "indexed": [r.spec.key for r in index.records(again)],
    "skipped": store.skipped,
    "new key": noisy[0].spec.key,
    "help": [str(p.help) for p in run.params if p.name == "noise"],
    "option": _study_from_options(**context.params)[1].noise,
    "study": [protocol.noise, *(rule.overrides["noise"] for rule in grid.rules)],
    "command": command(noisy[0].spec).partition("--noise")[2].split()[0],
    "plain command": command(records[0].spec),
    "labels": searcher_labels(rows),
    "groups": rows.noise.tolist(),
    "caveats": [line for line in caveats([records[0], noisy[0]]) if "noise" in line],
    "chosen": len(chosen([*records, *noisy], [Condition("noise", "=", ("0.1",))])),
}))
"""


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Knowledge of the program of a setting that one line of its table declares."""
    folder = tmp_path_factory.mktemp("added")
    package, table = folder / "lso_bench", ROOT / "lso_bench" / "run_settings.py"
    package.mkdir()
    for path in (ROOT / "lso_bench").iterdir():
        (package / path.name).symlink_to(path.resolve()) if path != table else None
    before, joint, after = table.read_text().partition("    joint: bool")
    (package / table.name).write_text(before + ADDED + joint + after)
    arguments = [sys.executable, "-c", KNOWN, str(ROOT / "tests" / "schemas" / "2"), str(folder / "study.toml")]
    done = subprocess.run(
        arguments, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(folder)}, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_added_setting_changes_no_key_of_a_stored_run(known):
    keys = [r.spec.key for r in Store(ROOT / "tests" / "schemas" / "2", readonly=True)]
    assert known["keys"] == known["indexed"] == keys and not known["skipped"]
    assert known["new key"] not in keys


def test_added_setting_is_an_option_and_stands_in_study_files_and_overrides(known):
    assert known["help"] == ["Standard deviation added to scores."]
    assert known["option"] == 0.1 and known["study"] == [0.1, 0.2]


def test_added_setting_is_in_the_command_of_a_run_that_changes_it(known):
    assert known["command"] == "0.1" and "noise" not in known["plain command"]


def test_added_setting_splits_rows_and_is_named_in_labels_caveats_and_conditions(known):
    assert known["groups"] == [0.0, 0.1] and known["chosen"] == len(known["keys"])
    assert [label.partition(" ")[2] for label in known["labels"]] == ["noise 0", "noise 0.1"]
    (line,) = known["caveats"]
    assert "differ in noise (as by default; noise 0.1)" in line


def test_settings_of_the_first_schemas_are_part_of_every_key():
    """A default for `since` leaves a setting out of keys, which is right only for one that is added."""
    since = {s.name for s in RUN_SETTINGS.values() if s.since is not None}
    assert since == {"max_steps", "budget", "seconds", "patience", "check_every", "thresholds", "joint"}
    assert since <= Spec.__dataclass_fields__.keys()
