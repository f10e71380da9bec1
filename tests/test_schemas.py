"""Results of every version stay readable, or are named as older with what to do.

`schemas/N` holds runs that the program wrote when its schema was N, each of a tiny model, two images and two steps; of
2 the first that there was (without what is noted beside the objective) and one with it.
"""

from pathlib import Path

import pytest

from lso_bench import integrity
from lso_bench.compare import compare
from lso_bench.errors import UnusableError
from lso_bench.report import frames
from lso_bench.spec import SCHEMA
from lso_bench.store import Store

SCHEMAS = Path(__file__).parent / "schemas"


def test_every_schema_has_its_runs():
    assert sorted(int(p.name) for p in SCHEMAS.iterdir()) == [*range(1, SCHEMA + 1)]


@pytest.mark.parametrize("run", sorted((SCHEMAS / str(SCHEMA)).glob("runs/*/*")), ids=lambda p: p.name)
def test_run_of_the_present_schema_is_read_whole(run):
    store = Store(SCHEMAS / str(SCHEMA), readonly=True)
    (record,) = [r for r in store if r.spec.key == run.name]
    assert not store.skipped and record.status == "ok" and len(record.members) == 4
    assert len(store.trace(record.spec)) == 12 and store.tensors(record.spec)["z"].shape == (4, 4)
    found = compare([record], lambda _: store).measures
    assert found[found.measure == "loss"].n.tolist() == [2, 2]


@pytest.mark.parametrize("version", range(1, SCHEMA))
def test_run_of_an_older_schema_is_named_with_what_to_do(version):
    store = Store(SCHEMAS / str(version), readonly=True)
    assert [*store] == [] and len(store.skipped) == len([*store.folder.glob("runs/*/*")]) > 0
    assert all(f"schema {version} is older than {SCHEMA}; run it again" in line for line in store.skipped)
    _, older = integrity.findings([store.folder])
    assert older.state == "warning" and older.mend == integrity.MENDS["of an older schema"]


def test_newer_folder_is_refused_and_newer_run_skipped(tmp_path):
    (tmp_path / "lso-bench.json").write_text(f'{{"format": {SCHEMA + 1}}}')
    with pytest.raises(UnusableError, match=r"newer than .*; update lso-bench"):
        Store(tmp_path, readonly=True)


def test_present_schema_is_exported(tmp_path):
    store = Store(SCHEMAS / str(SCHEMA), readonly=True)
    assert frames.export([*store], lambda _: store, "members", "csv", tmp_path / "t.csv") == 8
