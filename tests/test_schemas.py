"""Results of every version stay readable, by the names that they have.

`schemas/N` holds runs that the program wrote when its schema was N, each of a tiny model, two images and two steps; of
2 the first that there was (without what is noted beside the objective) and one with it.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

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
    found = compare([record], lambda _: store).measures
    assert found[found.measure == "loss"].n.tolist() == [2, 2] and not store.damaged_files
    steps = found[(found.measure == "evaluations") & (found.target == 0.01)]
    assert ("seconds" in {*found.measure}) == ("costs.csv" in {p.name for p in run.iterdir()})  # unknown, not infinite
    assert steps.n.tolist() == [2, 2] and steps.low.isna().all() and (steps.estimate == 3).any()


@pytest.mark.parametrize("version", range(1, SCHEMA + 1))
def test_folder_of_every_schema_is_whole_and_read_through_the_index_alike(version):
    store = Store(SCHEMAS / str(version), readonly=True)
    (finding,) = results.findings([store.folder])
    assert finding.state == "ok"
    for _ in range(2):  # from the files, then from the index
        found, same = index.records(store), [*store]
        assert [r.spec.key for r in found] == [r.spec.key for r in same] and not store.skipped
        assert [repr((r.spec, [*r.members], r.versions)) for r in found] == [
            repr((r.spec, [*r.members], r.versions)) for r in same
        ]


def test_result_of_schema_1_says_what_the_present_one_does():
    """The same search, done by the program of either schema."""
    old_store, new = (Store(SCHEMAS / v, readonly=True) for v in "12")
    (old,) = old_store
    (same,) = [r for r in new if r.spec == old.spec]
    assert old.spec.key != same.spec.key and old.versions["schema"] == 1
    told = [replace(m, consistency=0.0, image="", beside={}) for m in (*old.members, *same.members)]
    assert told[:4] == told[4:]


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
