"""The index gives what the files give, whatever happens to it."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from made import searched

from lso_bench.record import Record
from lso_bench.store import index
from lso_bench.store.store import Store
from lso_bench.vae.trained_model import Model

GOOD = [
    searched({"random": [[9.0, 1.0]] * 2}),
    searched({"random": [[9.0, 2.0]], "data:3": [[9.0, 3.0]]}, init=1, model=Model("nevae_se", "omniglot")),
    searched({"random": [[9.0, float("nan")]] * 3}, init=2, thresholds=()),
]
FAILED = Record(replace(GOOD[0].spec, task="ink"), "failed", error="out of memory")
KEYS = ("spec", "status", "members", "counts", "versions", "error", "joint", "usual")


@pytest.fixture
def store(tmp_path):
    results = Store(tmp_path / "r")
    noted = replace(GOOD[1].members[0], beside={"density": 0.5}, image="0123456789abcdef", met=[1, None])
    for r in (GOOD[0], replace(GOOD[1], members=[noted, *GOOD[1].members[1:]]), GOOD[2], FAILED):
        results.add(r)
    stray = tmp_path / "r" / "runs" / "ab" / "abad"
    stray.mkdir(parents=True)
    (stray / "result.json").write_text("{")
    return results


def contents(records):
    """All that a record says; NaN is equal to itself."""
    return [repr([[*v] if k == "members" else v for k in KEYS if (v := getattr(r, k)) is not None]) for r in records]


def agrees(store):
    files, skipped = contents(store), store.skipped
    return contents(index.records(store)) == files and store.skipped == skipped


def heads(store):
    """Count how often the index keeps what runs have in common."""
    with closing(sqlite3.connect(index.path_of(store.folder))) as database:
        return database.execute("SELECT count(*) FROM heads").fetchone()[0]


def test_index_gives_what_the_files_give_at_once_and_again(store):
    assert len(list(store)) == 4 and len(store.skipped) == 1
    assert agrees(store) and index.path_of(store.folder).is_file() and agrees(store)
    assert [r.spec.key for r in index.records(store)] == sorted(r.spec.key for r in (*GOOD, FAILED))


def test_run_that_came_went_or_changed_is_seen(store):
    index.records(store)
    store.add(searched({"random": [[9.0, 4.0]]}, init=7))
    assert len(index.records(store)) == 5 and agrees(store)
    shutil.rmtree(store.folder / "runs" / GOOD[0].spec.key[:2])
    assert agrees(store)
    store.add(replace(FAILED, status="ok", error=None, members=GOOD[0].members))
    assert agrees(store) and "failed" not in {r.status for r in index.records(store)}
    (path,) = store.folder.glob(f"runs/*/{GOOD[2].spec.key}/result.json")
    path.write_text("[]")
    assert agrees(store) and len(store.skipped) == 2


def test_result_rewritten_in_place_is_read_again_even_where_size_and_time_are_put_back(store):
    index.records(store)
    (path,) = store.folder.glob(f"runs/*/{GOOD[0].spec.key}/result.json")
    at, text = path.stat(), path.read_text()
    with path.open("r+") as f:
        f.write(text.replace("9.0", "8.0"))
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert path.stat().st_size == at.st_size and path.read_text() != text and agrees(store)


def test_what_is_skipped_is_named_by_its_path_in_the_working_folder(store, monkeypatch):
    monkeypatch.chdir(store.folder)
    here = Store(Path("."))
    assert agrees(here) and agrees(here)
    assert here.skipped[0].startswith("runs/ab/abad: ")


@pytest.mark.parametrize("make", [Path.touch, lambda p: p.symlink_to("nowhere")], ids=["file", "link to nothing"])
@pytest.mark.parametrize("place", ["cache", "cache/index"])
def test_what_stands_in_the_way_of_the_index_is_left_and_named_with_the_mend(store, tmp_path, monkeypatch, make, place):
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / place).parent.mkdir(exist_ok=True)
    make(tmp_path / place)
    assert agrees(store) and os.path.lexists(tmp_path / place)
    (line,) = store.remarks
    assert f"move {tmp_path / place}, which is no folder, away" in line and "LSO_BENCH_CACHE" in line


def test_folders_do_not_mix(store, tmp_path):
    second = Store(tmp_path / "other")
    assert index.records(second) == [] and len(index.records(store)) == 4 and index.records(second) == []


def folder_with_files(path):
    path.mkdir()
    (path / "mine").touch()


ODD = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to a device": lambda p: p.symlink_to("/dev/zero"),
    "a link to a file": lambda p: [p.with_name("mine").write_bytes(b"mine"), p.symlink_to(p.with_name("mine"))],
    "a huge file": lambda p: [p.write_bytes(b"x"), os.truncate(p, 2**40)],
}


@pytest.mark.parametrize("ending", ["", "-journal", "-wal"])
@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_odd_thing_in_place_of_the_index_is_removed_and_the_index_made_anew(store, make, ending):
    path = index.path_of(store.folder)
    index.records(store)
    place = path.with_name(path.name + ending)
    place.unlink(missing_ok=True)
    make(place)
    assert agrees(store)
    store.remarks.clear()
    assert agrees(store) and store.remarks == [] and stat.S_ISREG(path.lstat().st_mode)
    if path.with_name("mine").exists():
        assert path.with_name("mine").read_bytes() == b"mine"


def test_folder_of_files_in_place_of_the_index_is_left_alone(store):
    path = index.path_of(store.folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder_with_files(path)
    assert agrees(store) and (path / "mine").exists()


def test_damage_is_said_once(store):
    index.records(store)
    index.path_of(store.folder).write_bytes(b"garbage" * 1000)
    for _ in range(2):
        index.records(store)
    (line,) = store.remarks
    assert "damaged" in line and "made anew" in line and str(store.folder) in line


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_garbage_is_made_anew(store, content):
    index.records(store)
    index.path_of(store.folder).write_bytes(content)
    assert agrees(store) and agrees(store)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE runs SET own = 'x' || own",
        "UPDATE runs SET own = NULL",
        "UPDATE runs SET rows = zeroblob(length(rows))",
        "UPDATE runs SET head = (SELECT min(head) FROM runs)",
        "UPDATE heads SET text = replace(text, 'cpu', 'gpu')",
        "UPDATE heads SET text = NULL",
        "DELETE FROM heads",
        *(f"UPDATE runs SET {c} = CAST(x'7bff7d' AS TEXT)" for c in ("own", "stamp", "head")),
        "UPDATE runs SET name = CAST(x'7bff7d' AS TEXT) WHERE name = (SELECT min(name) FROM runs)",
        "UPDATE heads SET text = CAST(x'7bff7d' AS TEXT)",
        "UPDATE runs SET crc = 'x'",
        "UPDATE runs SET rows = 'text', images = 1",
        "UPDATE runs SET own = replace(hex(zeroblob(100000)), '0', '[')",
        "ALTER TABLE runs RENAME TO others; CREATE VIEW runs AS SELECT * FROM others",
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END; DELETE FROM runs",
    ],
)
def test_damaged_row_is_noticed(store, change):
    index.records(store)
    with closing(sqlite3.connect(index.path_of(store.folder))) as database, database:
        database.executescript(change)
    assert agrees(store) and agrees(store)


def test_what_runs_have_in_common_is_kept_once_and_as_long_as_they_are_there(tmp_path):
    store = Store(tmp_path / "r")
    for seed in range(9):
        store.add(
            searched({"random": [[9.0, float(seed)]]}, init=seed, model=Model("vae", ("mnist", "omniglot")[seed % 2]))
        )
    index.records(store)
    assert heads(store) == 2 and agrees(store)
    for record in store:
        if record.spec.model.data == "mnist":
            shutil.rmtree(store.folder / "runs" / record.spec.key[:2] / record.spec.key)
    assert agrees(store) and heads(store) == 1


def test_foreign_table_is_made_anew(store):
    path = index.path_of(store.folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE runs (name TEXT)")
    assert agrees(store)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(stamp) FROM runs").fetchone() == (5,)


def test_locked_index_is_left_aside(store, monkeypatch):
    monkeypatch.setattr(index, "WAIT", 0.0)
    index.records(store)
    store.add(searched({"random": [[9.0, 4.0]]}, init=7))
    with closing(sqlite3.connect(index.path_of(store.folder), isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert agrees(store) and len(index.records(store)) == 5


def test_cache_that_cannot_be_written_costs_time_alone(store, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path / "file"))
    assert agrees(store)
