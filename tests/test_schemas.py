"""Results of every version stay readable, by the names that they have.

`schemas/N` holds runs that the program wrote when its schema was N, each of a tiny model, two images and two steps; of
2 the first that there was (without what is noted beside the objective) and one with it.
"""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import lso_bench.record
from lso_bench.analysis.comparison import compare
from lso_bench.commands.inputs import read
from lso_bench.doctor import results
from lso_bench.errors import UnusableError
from lso_bench.report import frames, html_overview
from lso_bench.spec import SCHEMA, digest
from lso_bench.store import index
from lso_bench.store.schema import record_from
from lso_bench.store.store import Store

SCHEMAS = Path(__file__).parent / "schemas"


def test_every_schema_has_its_runs():
    assert sorted(int(p.name) for p in SCHEMAS.iterdir()) == [*range(1, SCHEMA + 1)]


@pytest.mark.parametrize("run", sorted(SCHEMAS.glob("*/runs/*/*")), ids=lambda p: p.name)
def test_run_of_every_schema_is_read_whole(run):
    store = Store(run.parents[2], readonly=True)
    (record,) = [r for r in store if r.spec.key == run.name]
    assert not store.skipped and record.status == "ok" and len(record.members) == 4
    trace, tensors = store.trace(record.spec), store.tensors(record.spec)
    assert trace is not None and len(trace) == 12 and tensors and tensors["z"].shape == (4, 4)
    table = compare([record], lambda _: store).measures
    assert table[table.measure == "loss"].n.tolist() == [2, 2] and not store.damaged_files
    steps = table[(table.measure == "evaluations") & (table.target == 0.01)]
    assert ("seconds" in {*table.measure}) == ("costs.csv" in {p.name for p in run.iterdir()})  # unknown, not infinite
    assert steps.n.tolist() == [2, 2] and steps.low.isna().all() and (steps.estimate == 3).any()


@pytest.mark.parametrize("version", range(1, SCHEMA + 1))
def test_folder_of_every_schema_is_whole_and_read_through_the_index_alike(version):
    store = Store(SCHEMAS / str(version), readonly=True)
    (finding,) = results.findings([store.folder])
    assert finding.state == "ok"
    for _ in range(2):  # from the files, then from the index
        indexed, direct = index.records(store), [*store]
        assert [r.spec.key for r in indexed] == [r.spec.key for r in direct] and not store.skipped
        assert [repr((r.spec, [*r.members], r.versions)) for r in indexed] == [
            repr((r.spec, [*r.members], r.versions)) for r in direct
        ]


def test_result_of_schema_1_says_what_the_present_one_does():
    """The same search, done by the program of either schema."""
    old_store, new = (Store(SCHEMAS / v, readonly=True) for v in "12")
    (old,) = old_store
    (present,) = [r for r in new if r.spec == old.spec]
    assert old.spec.key != present.spec.key and old.versions["schema"] == 1
    members = [replace(m, consistency=0.0, image="", beside={}) for m in (*old.members, *present.members)]
    assert members[:4] == members[4:]


def test_region_and_decoding_of_schema_1_are_those_of_the_present_one():
    raw = json.loads(next((SCHEMAS / "1").glob("runs/*/*/result.json")).read_text())
    for box, arch, region, decoding in ((None, "small", "none", "teacher"), (2.5, "conv", "box:2.5", "mean")):
        raw["spec"] |= {"box": box, "model": raw["spec"]["model"] | {"arch": arch}}
        spec = record_from(raw).spec
        assert (spec.region, spec.decoding) == (region, decoding)
        assert spec.key == digest(1, raw["spec"]) != replace(spec).key


def test_search_of_schema_1_that_diverged_has_no_loss():
    raw = json.loads(next((SCHEMAS / "1").glob("runs/*/*/result.json")).read_text())
    raw["members"][0] |= {"loss": None}
    raw["members"][1] |= {"met": [1, 1, 1, 1, 1, 1]}
    first, second, *_ = record_from(raw).members
    assert math.isnan(first.loss) and first.best == first.first_loss and first.stopped == "diverged"
    assert second.stopped == "converged"


def test_run_of_an_older_schema_that_was_run_again_counts_once(capsys):
    runs = read([SCHEMAS / "1", SCHEMAS / "2"])
    assert len(runs.records) == 2 and all("schema" not in r.versions for r in runs.records)
    assert "2a611db0d44f737e, of an older schema" in capsys.readouterr().err


def test_page_of_an_older_run_names_the_run_that_its_command_makes():
    (store, new) = (Store(SCHEMAS / v, readonly=True) for v in "12")
    ((_, _, needs),) = html_overview.again([*store])
    assert needs.endswith(next(r.spec.key for r in new if r.spec == next(iter(store)).spec))


def test_newer_folder_is_refused_and_newer_run_skipped(tmp_path):
    (tmp_path / "lso-bench.json").write_text(f'{{"format": {SCHEMA + 1}}}')
    with pytest.raises(UnusableError, match=r"newer than .*; update lso-bench"):
        Store(tmp_path, readonly=True)


def test_present_schema_is_exported(tmp_path):
    store = Store(SCHEMAS / str(SCHEMA), readonly=True)
    assert frames.export([*store], lambda _: store, "members", "csv", tmp_path / "t.csv") == 8


COLUMNS = {  # written into record.py before these lines
    "    beside: dict": "    restarts: int = 0\n    slope: float = math.nan\n    remark: str = ''\n",
    "    trace: pd": "    energy: float = field(default=math.nan, metadata=ADDED)\n"
    "    notes: dict[str, float] = field(default_factory=dict, metadata=ADDED)\n",
}
WITH_COLUMNS = """
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

module = sys.modules["lso_bench.record"] = ModuleType("lso_bench.record")
exec(compile(Path(sys.argv[1]).read_text(), sys.argv[1], "exec"), module.__dict__)
from lso_bench.report.frames import export
from lso_bench.store import index
from lso_bench.store.store import Store

store, made = Store(Path(sys.argv[2])), {"restarts": 3, "slope": -0.5, "remark": "steep"}
for old in [*store]:
    (first, *others) = old.members
    assert (first.restarts, first.remark, old.notes) == (0, "", {}) and first.slope != first.slope, first
    spec = replace(old.spec, seeds=replace(old.spec.seeds, init=7))
    members = [replace(first, **made), *others]
    store.add(replace(old, spec=spec, members=members, energy=1.5, notes={"a": 2.0}))
for records in ([*store], index.records(store), index.records(store)):
    old, new = sorted(records, key=lambda r: r.spec.seeds.init)
    assert {k: getattr(new.members[0], k) for k in made} == made and new.members[1].restarts == 0
    assert (new.energy, new.notes) == (1.5, {"a": 2.0}) and old.energy != old.energy and old.notes == {}
    for what in ("members", "runs"):
        export([new, old], lambda _: store, what, "csv", Path(f"{what}.csv"))
"""


@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_column_that_is_added_in_record_py_alone_is_stored_indexed_and_exported(tmp_path, schema):
    text = Path(lso_bench.record.__file__).read_text()
    for line, added in COLUMNS.items():
        assert text.count(line) == 1
        text = text.replace(line, added + line)
    (tmp_path / "record.py").write_text(text)
    run = min((SCHEMAS / str(schema)).glob("runs/*/*"))
    store = Store(tmp_path / "r")
    shutil.copytree(run, store.folder / run.relative_to(SCHEMAS / str(schema)))
    assert len(index.records(store)) == 1  # as the program without the columns leaves it
    command = [sys.executable, "-c", WITH_COLUMNS, "record.py", "r"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    members, runs = (pd.read_csv(tmp_path / f"{what}.csv") for what in ("members", "runs"))
    assert members[["restarts", "remark", "slope"]].iloc[0].tolist() == [3, "steep", -0.5]
    assert runs.energy[0] == 1.5 and runs["notes.a"][0] == 2 and runs[["energy", "notes.a"]].iloc[1].isna().all()
