"""A disk that is full, fails half way or is read-only: nothing half-published, and it goes on when there is room."""

import os
import resource
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY, fails, preset, random_vae
from made import searched

from lso_bench.errors import UnusableError
from lso_bench.errors import UnusableError as UnusableResults
from lso_bench.files.atomic_write import write_atomic
from lso_bench.report import frames
from lso_bench.store import archive
from lso_bench.store.store import Store
from lso_bench.vae import checkpoint
from lso_bench.vae.architectures.paper import Paper
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training import train
from lso_bench.vae.training_state import Plan

RECORD = searched({"random": [[float(i) for i in range(500)] for _ in range(20)]})  # about 200 kB on disk


@pytest.fixture
def disk(tmp_path):
    """A real disk of 4 MB, mounted for the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@contextmanager
def full(disk: Path, left: int = 0):
    """No more than `left` bytes are free, within."""
    filling = disk / "filling"
    with filling.open("wb") as f:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        f.write(bytes(free - left))
    yield
    filling.unlink()


@contextmanager
def failing_after(size: int):
    """Every write beyond the first so many bytes of a file fails, within."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "filling"}


@pytest.mark.parametrize("left", [0, 4096, 16384, 65536])
def test_run_on_a_full_disk_is_not_published_and_is_when_there_is_room(disk, left):
    store = Store(disk / "r")
    before = files(disk)
    with full(disk, left), pytest.raises(UnusableResults, match=r"Cannot write to .*/r: No space left.* GB free"):
        store.add(RECORD)
    assert files(disk) == before and RECORD.spec not in store and not [*(disk / "r" / "tmp").iterdir()]
    assert store.add(RECORD) and [r.spec.key for r in Store(disk / "r")] == [RECORD.spec.key]


@pytest.mark.parametrize("size", [0, 100, 5000, 50_000])
def test_run_whose_writing_fails_half_way_is_not_published(tmp_path, size):
    store = Store(tmp_path / "r")
    before = files(tmp_path)
    with failing_after(size), pytest.raises(UnusableResults, match="File too large"):
        store.add(RECORD)
    assert files(tmp_path) == before and not [*(tmp_path / "r" / "tmp").iterdir()]
    assert store.add(RECORD)


def test_failed_run_stays_where_the_disk_has_no_room_for_a_good_one(disk):
    store = Store(disk / "r")
    store.add(replace(RECORD, status="failed", members=[], trace=None, error="out of memory"))
    before = files(disk)
    with full(disk), pytest.raises(UnusableResults, match="No space left"):
        store.add(RECORD)
    assert files(disk) == before


WRITERS = {
    "file": lambda p: write_atomic(p, bytes(10**6)),
    "checkpoint": lambda p: checkpoint.write(p, {"a": torch.zeros(10**6)}, {}),
    "model": lambda p: checkpoint.save_model(p, random_vae(TINY), {}),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_was_there_stays_where_the_new_one_finds_no_room(disk, writer):
    path = disk / "it"
    path.write_bytes(b"old")
    with full(disk, 4096), pytest.raises(UnusableError, match=r"Cannot write .*/it: No space left.* GB free"):
        WRITERS[writer](path)
    assert files(disk) == {path: b"old"}
    with failing_after(1000), pytest.raises(UnusableError, match="File too large"):
        WRITERS[writer](path)
    assert files(disk) == {path: b"old"}


def test_archive_and_export_leave_nothing_half_written(disk, tmp_path):
    store = Store(tmp_path / "r")
    store.add(RECORD)
    for write in (
        lambda: archive.pack(store.folder, disk / "r.tar.zst"),
        lambda: frames.export([*store], lambda _: store, "traces", "csv", disk / "t.csv"),
    ):
        with full(disk), pytest.raises(UnusableError, match="No space left"):
            write()
    assert files(disk) == {}


def test_archive_is_not_unpacked_where_there_is_no_room(disk, tmp_path, monkeypatch):
    Store(tmp_path / "r").add(RECORD)
    archive.pack(tmp_path / "r", tmp_path / "r.tar.zst")
    monkeypatch.setenv("LSO_BENCH_CACHE", str(disk / "cache"))
    with full(disk, 8192), pytest.raises(UnusableResults, match="GB are free"):
        archive.open_results(tmp_path / "r.tar.zst")
    assert files(disk) == {} and not [*(disk / "cache" / "archives").iterdir()]
    assert len([*archive.open_results(tmp_path / "r.tar.zst")]) == 1


def test_disk_that_cannot_be_written_is_named(disk):
    Store(disk / "r").add(RECORD)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(UnusableResults, match=r"Cannot write to .*/r: Permission denied"):
        Store(disk / "r")
    with pytest.raises(UnusableError, match=r"Cannot write .*/a: Read-only file system"):
        write_atomic(disk / "a", b"x")
    assert len([*Store(disk / "r", readonly=True)]) == 1


PLAN = Plan(Model("vae", "omniglot", "tiny", 4), 3, anneal_epochs=1.0, threads=1)


@pytest.mark.parametrize("epoch", [0, 1, 3])  # before the first state is kept, in the middle, when all is trained
def test_training_goes_on_to_the_same_weights_when_there_is_room_again(disk, tmp_path, square_data, monkeypatch, epoch):
    monkeypatch.setattr(Paper, "variants", {"paper": {}, "tiny": preset(TINY)})
    whole, path = tmp_path / "whole.safetensors", disk / "m.safetensors"
    train(PLAN, square_data, whole)
    with pytest.raises(UnusableError, match=r"Cannot write .*safetensors: No space left.* GB free"):
        fill_at(disk, epoch, lambda report: train(PLAN, square_data, path, report=report))
    assert not path.exists() and {p.name for p in files(disk)} <= {"m.state.safetensors"}
    for state in files(disk):
        assert len(checkpoint.read(state)[1]["history"]) == epoch
    train(PLAN, square_data, path)
    tensors, undisturbed = checkpoint.read(path)[0], checkpoint.read(whole)[0]
    assert all(torch.equal(tensors[k], undisturbed[k]) for k in undisturbed)


def fill_at(disk, epoch, run):
    """Fill the disk as soon as so many epochs are done."""
    filled = full(disk)
    if epoch == 0:
        filled.__enter__()

    def report(progress):
        if len(progress.history) == epoch:
            filled.__enter__()

    try:
        run(report)
    finally:
        filled.__exit__(None, None, None)


@pytest.mark.faults
def test_full_disk_ends_the_program_with_status_4_and_it_resumes(call, checkpoint, disk):
    arguments = ("run", "--model", "vae", "--task", "glyphs50", "--latent", "4", "--max-steps", "2", "--quiet")
    results = ("--results", disk / "r")
    assert call(*arguments, *results, "--searcher", "sobol", "--region", "box:3", "--budget", "2").returncode == 0
    with full(disk):
        fails(call(*arguments, *results), 4, f"Cannot write to {disk / 'r'}: No space left on device, 0 GB free")
    done = call(*arguments, *results)
    assert done.returncode == 0 and len([*Store(disk / "r")]) == 2, done.stderr
