"""A good run that was published stays, whatever other writers do, in every order, and wherever one is killed."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from interleaved import CALLS, Orders
from test_store import record

from lso_bench.errors import DamagedError, UnusableError
from lso_bench.store import run_folder
from lso_bench.store.run_folder import RETRYABLE, judge, publish
from lso_bench.store.store import Store, counted

SPEC = record().spec


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """The result of a run by its status; the two good ones differ."""
    ways = {"ok": record(loss=1.0), "ok too": record(loss=2.0)}
    ways |= {status: replace(record(), status=status, members=[], error="of then") for status in RETRYABLE}
    texts = {}
    for name, result in ways.items():
        store = Store(tmp_path_factory.mktemp("r"))
        store.add(replace(result, trace=None, tensors={}))
        texts[name] = next(store.folder.glob("runs/*/*/result.json")).read_bytes()
    return texts


class Folder:
    """A results folder with one run and writers of it."""

    def __init__(self, folder: Path, texts: dict[str, bytes]):
        self.place, self.tmp, self.texts = folder / "runs" / SPEC.key[:2] / SPEC.key, folder / "tmp", texts

    def begin(self, standing: str, *writers: str):
        """Make it anew; a function for each writer, which gives whether it was the first."""
        shutil.rmtree(self.place.parents[1], ignore_errors=True)
        shutil.rmtree(self.tmp, ignore_errors=True)
        self.place.parent.mkdir(parents=True)
        if standing != "absent":
            self.put(self.place, standing)
        works = [self.tmp / f"{SPEC.key}.host.{i}.x" for i in range(len(writers))]
        for work, writer in zip(works, writers, strict=True):
            self.put(work, writer)
        return [lambda work=work: publish(work, self.place) for work in works]

    def put(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True)
        (folder / "result.json").write_bytes(self.texts[name])

    @property
    def stands(self) -> str:
        """The name of the result that stands in the run's place."""
        try:
            text = (self.place / "result.json").read_bytes()
        except FileNotFoundError:
            return "absent"
        return next(name for name, known in self.texts.items() if known == text)


GOOD = ("ok", "ok too")
PAIRS = [("ok", "failed"), ("ok", "timeout"), ("ok", "ok too"), ("failed", "timeout")]


@pytest.mark.parametrize("standing", ["absent", "failed", "ok"])
@pytest.mark.parametrize("writers", PAIRS, ids="-".join)
def test_good_run_once_published_stays_in_every_order_of_two_writers(tmp_path, texts, monkeypatch, standing, writers):
    folder, seen = Folder(tmp_path, texts), []
    good_ones = [name for name in writers if name in GOOD]

    def begin():
        seen[:] = [standing]
        return folder.begin(standing, *writers)

    orders = Orders(begin, lambda: check_that_good_runs_stay(seen, folder.stands), tmp_path, monkeypatch)
    ends = {(folder.stands, *results) for results in orders.results()}
    if standing == "ok":
        assert ends == {("ok", False, False)}
    elif len(good_ones) == 2:
        assert ends == {("ok", True, False), ("ok too", False, True)}
    elif good_ones:
        assert ends == {("ok", True, True), ("ok", True, False)}  # the other came before it, or after
    else:
        assert {stands for stands, *_ in ends} == {*writers}


def check_that_good_runs_stay(seen: list[str], stands: str) -> None:
    assert seen[-1] not in GOOD or stands == seen[-1], seen
    seen.append(stands)


def killed_at(monkeypatch, stop: int):
    """The process of a writer is killed before the file operation of that number."""
    seen = 0

    def watched(call):
        def counted(*path, **options):
            nonlocal seen
            seen += 1
            if seen > stop:
                os._exit(9)
            return call(*path, **options)

        return counted

    for name in CALLS:
        monkeypatch.setattr(os, name, watched(getattr(os, name)))


@pytest.mark.parametrize("standing", ["absent", "failed", "ok"])
@pytest.mark.parametrize("writer", ["ok", "failed"])
def test_writer_killed_at_any_operation_loses_no_record(tmp_path, texts, monkeypatch, standing, writer):
    """The next command finds the old record or the new one, and a good one stays."""
    folder, stop = Folder(tmp_path, texts), 0
    while True:
        (write,) = folder.begin(standing, writer)
        if not (child := os.fork()):
            killed_at(monkeypatch, stop)
            write()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        Store(tmp_path)
        allowed = {"ok"} if standing == "ok" else {standing, writer}
        assert folder.stands in allowed and judge(folder.place).state != "damaged", stop
        if status == 0:
            break
        stop += 1
    assert stop >= 1


def test_files_of_a_failed_run_give_way_and_no_others(tmp_path, texts):
    folder = Folder(tmp_path, texts)
    (write,) = folder.begin("failed", "ok")
    (folder.place / "trace.csv").write_text("of the failed one")
    assert write() and [p.name for p in folder.place.iterdir()] == ["result.json"] and folder.stands == "ok"


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_failed_run_is_put_back_where_the_disk_refuses_the_good_one(tmp_path, texts, monkeypatch, error):
    folder, rename = Folder(tmp_path, texts), os.rename
    (write,) = folder.begin("failed", "ok")
    refusals = iter([errno.ENOTEMPTY, error])

    def refused(old, new, **options):
        if not options:
            raise OSError(next(refusals), "refused")
        rename(old, new, **options)

    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(OSError, match="refused"):
        write()
    assert folder.stands == "failed"


@pytest.mark.parametrize("code", ["EINVAL", "ENOTSUP", "EBADF"])
def test_file_system_that_cannot_sync_folders_is_no_reason_to_fail(tmp_path, monkeypatch, code):
    sync = os.fsync

    def refused(file):
        if os.path.isdir(f"/proc/self/fd/{file}"):
            raise OSError(getattr(errno, code), "no folder")
        sync(file)

    monkeypatch.setattr(os, "fsync", refused)
    store = Store(tmp_path / "r")
    assert store.add(record()) and SPEC in store


def test_nothing_fails_a_run_that_is_published(tmp_path, monkeypatch):
    store, sync = Store(tmp_path / "r"), os.fsync

    def refused(file):
        if SPEC in store:
            raise OSError(errno.EIO, "too late")
        sync(file)

    monkeypatch.setattr(os, "fsync", refused)
    assert store.add(record()) and SPEC in store and not [*(tmp_path / "r" / "tmp").iterdir()]


def test_file_that_is_not_on_the_disk_is_not_published(tmp_path, monkeypatch):
    store = Store(tmp_path / "r")

    def refused(file):
        raise OSError(errno.EINVAL, "strict")

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(UnusableError, match="strict"):
        store.add(record())
    assert SPEC not in store


DAMAGES = {
    "torn": lambda place: (place / "result.json").write_text('{"schema": 2, "spec": {'),
    "no result": lambda place: (place / "trace.csv").write_text("step,start\n"),
    "FIFO": lambda place: os.mkfifo(place / "result.json"),
    "folder": lambda place: (place / "result.json").mkdir(),
    "another run": lambda place: (place / "result.json").write_text(json.dumps({"schema": 1})),
    "newer": lambda place: (place / "result.json").write_text(json.dumps({"schema": 99})),
    "no status": lambda place: (place / "result.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_result_is_judged_alike_and_a_good_run_waits_for_its_place(tmp_path, damage):
    store = Store(tmp_path / "r")
    place = tmp_path / "r" / "runs" / SPEC.key[:2] / SPEC.key
    place.mkdir(parents=True)
    DAMAGES[damage](place)
    assert SPEC not in store and store.judge(SPEC).state == "damaged" and counted(store.standings()) == {"damaged": 1}
    for refuse in (lambda: store.get(SPEC), lambda: store.add(record())):
        with pytest.raises(DamagedError, match=f"{place}.*(run again|another --results)"):
            refuse()
    assert [p.name for p in place.iterdir()]  # untouched
    shutil.rmtree(place)
    assert SPEC in Store(tmp_path / "r")
    assert [*run_folder.read(place).members] == record().members and not [*(tmp_path / "r" / "tmp").iterdir()]


def test_failed_run_does_not_wait_for_a_damaged_place(tmp_path):
    store = Store(tmp_path / "r")
    place = tmp_path / "r" / "runs" / SPEC.key[:2] / SPEC.key
    place.mkdir(parents=True)
    (place / "notes").touch()
    with pytest.raises(DamagedError):
        store.add(replace(record(), status="timeout"))
    assert not [*(tmp_path / "r" / "tmp").iterdir()]


def test_run_is_published_though_the_results_folder_was_deleted_meanwhile(tmp_path):
    store = Store(tmp_path / "r")
    shutil.rmtree(tmp_path / "r")
    assert store.add(record()) and SPEC in Store(tmp_path / "r", readonly=True)
