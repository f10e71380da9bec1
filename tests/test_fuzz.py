"""Study files and results that nobody meant to write: only errors of our own, each a line."""

import json
import os
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import searched
from rich.console import Console

from lso_bench.analysis.comparison import compare
from lso_bench.doctor import results
from lso_bench.errors import LsoBenchError
from lso_bench.report import export, frames, tables
from lso_bench.store.store import Store
from lso_bench.study import file as study_file
from lso_bench.study.grid import plan

EXAMPLES = int(os.environ.get("LSO_BENCH_FUZZ", "12"))  # inputs a test
MANY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="LSO_BENCH_FUZZ" not in os.environ,  # the same each time, unless more are asked for
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WORDS = ["vae", "nevae_se:sample=false", "beta_vae_0.9", "ink", "ink:target=0.3", "glyphs50", "adam", "sobol", "cmaes"]
WORDS += ["box:2", "ball:3", "none", "random", "random:4", "encoder", "data:3", "conv", "small", "conv:channels=2"]
WORDS += ["", ":", "a:b=", "../../x", "./x.py", "x" * 300, "=cmd|", "\x1b[31m", "omniglot:x", "shapes_area", "{name}"]
NUMBERS = [0, 1, -1, 8, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan")]
LEAVES = st.one_of(st.sampled_from(WORDS), st.sampled_from(NUMBERS), st.booleans(), st.none(), st.text(max_size=8))


def nested(leaves):
    names = st.sampled_from(["name", "target", "sample", "instances", "lr", "_target_", "x"])
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
    )


def toml(value):
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(k)} = {toml(v)}' for k, v in value.items())}}}"
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode()).replace("\x7f", "")
    return {None: "1979-05-27", True: "true", False: "false"}.get(value, repr(value)) if value != 1 else "1"


WHOLE = {"models": ["vae"], "tasks": ["ink"], "searchers": ["sobol"], "arch": "conv", "latent": 32, "budget": 20}
CHANGES = st.dictionaries(st.sampled_from([*study_file.SETTINGS, "seed", "_target_", "__class__"]), nested(LEAVES))


@MANY
@given(CHANGES)
def test_study_of_any_settings_is_planned_or_refused(tmp_path, changes):
    text = "\n".join(f"{k} = {toml(v)}" for k, v in (WHOLE | changes).items())
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    planned_or_refused(tmp_path / "study.toml")


@MANY
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 20), st.binary(max_size=6)), min_size=1, max_size=3))
def test_study_of_any_bytes_is_planned_or_refused(tmp_path, splices):
    content = "\n".join(f"{k} = {toml(v)}" for k, v in WHOLE.items()).encode()
    for at, length, put in splices:
        content = content[:at] + put + content[at + length :]
    (tmp_path / "study.toml").write_bytes(content)
    planned_or_refused(tmp_path / "study.toml")


def planned_or_refused(path):
    try:
        grid, protocol = study_file.read(path)
        assert plan(grid, protocol)
    except LsoBenchError as error:
        assert str(error)


def places(value, way=()):
    """Every place in a JSON value, as the keys that lead there."""
    yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*way, key))


def changed(value, way, put):
    """A JSON value with another part at one place; None: without it."""
    if not way:
        return put
    part, copy = value[way[0]], value.copy()
    copy[way[0]] = changed(part, way[1:], put)
    if put is GONE and len(way) == 1:
        del copy[way[0]]
    return copy


GONE = object()
RECORD = searched({"random": [[9.0, 5.0, 4.0], [8.0, 6.0, 6.0]], "encoder": [[5.0, 4.0], [6.0, 6.0]]})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("fuzz") / "r")
    store.add(RECORD)
    store.add(searched({"random": [[9.0, 5.0, 4.0]], "encoder": [[5.0, 4.0]]}, init=1))
    return store


def result(store):
    return store.folder / "runs" / RECORD.spec.key[:2] / RECORD.spec.key / "result.json"


@pytest.fixture(scope="module")
def whole(written):
    return json.loads(result(written).read_text())


@MANY
@given(st.data())
def test_result_of_any_content_is_compared_or_skipped_by_name(written, whole, data):
    raw = whole
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from([*places(raw)]))
        raw = changed(raw, way, data.draw(st.just(GONE) | nested(LEAVES)) if way else data.draw(nested(LEAVES)))
    result(written).write_text(json.dumps(raw))
    compared_or_skipped(written)


@MANY
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 20), st.binary(max_size=6)), min_size=1, max_size=3))
def test_result_of_any_bytes_is_compared_or_skipped_by_name(written, whole, splices):
    content = json.dumps(whole).encode()
    for at, length, put in splices:
        content = content[:at] + put + content[at + length :]
    result(written).write_bytes(content)
    compared_or_skipped(written)


@MANY
@given(data=st.data(), file=st.sampled_from(["trace.csv", "costs.csv", "latents.safetensors"]))
def test_damaged_files_of_a_run_are_named(written, whole, data, file):
    path = result(written).with_name(file)
    result(written).write_text(json.dumps(whole))
    before = path.read_bytes()
    at, put = data.draw(st.integers(0, len(before))), data.draw(st.binary(max_size=12))
    try:
        after = before[:at] + put + before[at + data.draw(st.integers(0, 30)) :]
        path.write_bytes(after)
        written.damaged_files.clear()
        compared_or_skipped(written)
        assert [*written.damaged_files] == [str(path)] * (after != before)
    finally:
        path.write_bytes(before)


def compared_or_skipped(store):
    records = [*store]
    skipped = [*store.skipped]
    assert len(records) + len(skipped) == 2 and all(RECORD.spec.key in line for line in skipped)
    assert len(results.faults(store)) <= 2
    if len(records) < 2:
        return
    comparison = compare(records, lambda _: store)
    with Console(width=140, quiet=True) as console:
        console.print(tables.terminal(comparison))
    assert json.loads(export.as_json(comparison))["notes"] is not None and export.as_csv(comparison)
    for what in ("runs", "members", "traces"):
        frames.plain(frames.TABLES[what](records, lambda _: store))


def test_fuzz_begins_from_what_is_whole(written, whole, tmp_path):
    result(written).write_text(json.dumps(whole))
    assert [asdict(r.spec) for r in written if r.spec == RECORD.spec] and not written.skipped
    text = "\n".join(f"{k} = {toml(v)}" for k, v in WHOLE.items())
    (tmp_path / "study.toml").write_text(text)
    assert plan(*study_file.read(tmp_path / "study.toml"))
