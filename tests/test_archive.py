"""Archives of results: what was packed comes back, the same bytes each time, and nothing else is let in."""

import io
import json
import os
import shutil
import tarfile
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from made import searched
from zstandard import ZstdCompressor, ZstdDecompressor

from lso_bench.commands.compare import compare
from lso_bench.errors import UnusableError, UsageError
from lso_bench.files.paths import cache_folder
from lso_bench.store import archive
from lso_bench.store import unpack as unpacking
from lso_bench.store.store import Store
from lso_bench.store.unpack import unpack

WAYS = {"random": [[9.0, 5.0, 4.0], [8.0, 6.0, 6.0]]}


@pytest.fixture
def results(tmp_path):
    """A results folder with two runs, a picture, work in progress and another results folder inside."""
    folder = tmp_path / "results"
    for init in (0, 1):
        Store(folder).add(searched(WAYS, init=init))
    Store(folder / "reference").add(searched(WAYS, init=2))
    (folder / "pictures").mkdir()
    (folder / "pictures" / "é.png").write_bytes(b"\x89PNG")
    (folder / "tmp" / "left.over").touch()
    return folder


@pytest.fixture
def packed(results, tmp_path):
    archive.pack(results, tmp_path / "r.tar.zst")
    return tmp_path / "r.tar.zst"


def test_archive_holds_every_run_and_file_but_work_in_progress_and_other_results(results, packed):
    store = archive.open_results(packed)
    assert {r.spec.key for r in store} == {searched(WAYS, init=i).spec.key for i in (0, 1)} and not store.skipped
    spec = searched(WAYS).spec
    ours, theirs = store.tensors(spec), Store(results).tensors(spec)
    assert ours and theirs and torch.equal(ours["z"], theirs["z"])
    assert (store.folder / "pictures" / "é.png").read_bytes() == b"\x89PNG"
    assert not (store.folder / "tmp").exists() and not (store.folder / "reference").exists()


def test_same_folder_gives_the_same_bytes_wherever_and_whenever_it_is_packed(results, packed, tmp_path):
    moved = results.rename(tmp_path / "elsewhere")
    for file in moved.rglob("*.csv"):
        file.touch()
    archive.pack(moved, tmp_path / "again.tar.zst")
    assert (tmp_path / "again.tar.zst").read_bytes() == packed.read_bytes()


def test_archive_is_unpacked_once(packed):
    place, said = unpack(packed), []
    before = place.stat().st_ino
    assert unpack(packed, said.append) == place and place.stat().st_ino == before and not said


def result_in(place):
    return next(place.glob("runs/*/*/result.json"))


def linked(place):
    shutil.copytree(place, place.with_name("copy"))
    shutil.rmtree(place)
    place.symlink_to(place.with_name("copy"))


def in_place_of_a_file(make):
    def change(place):
        path = result_in(place)
        content = path.read_bytes()
        path.unlink()
        make(path, content)

    return change


def elsewhere(path, content):
    target = path.parents[4].parent / "elsewhere"
    target.write_bytes(content)
    path.symlink_to(target)


UNPACKED = {
    "empty": lambda p: [shutil.rmtree(p), p.mkdir()],
    "a file": lambda p: [shutil.rmtree(p), p.write_text("x")],
    "a pipe": lambda p: [shutil.rmtree(p), os.mkfifo(p)],
    "a link": linked,
    "a link to nothing": lambda p: [shutil.rmtree(p), p.symlink_to("nowhere")],
    "one more": lambda p: (p / "more").touch(),
    "a folder that is a link": lambda p: (p / "more").symlink_to("/"),
    "one less": lambda p: result_in(p).unlink(),
    "other bytes": lambda p: result_in(p).write_bytes(result_in(p).read_bytes().replace(b"random", b"wander")),
    "longer": lambda p: os.truncate(result_in(p), 2**40),
    "shorter": lambda p: os.truncate(result_in(p), 3),
    "a file that is a pipe": in_place_of_a_file(lambda path, _: os.mkfifo(path)),
    "a file that is a link": in_place_of_a_file(elsewhere),
    "a file that is a folder": in_place_of_a_file(lambda path, _: path.mkdir()),
}


@pytest.mark.parametrize("change", UNPACKED.values(), ids=UNPACKED)
def test_what_was_unpacked_before_and_is_not_as_it_was_packed_is_made_anew_and_said(packed, change):
    keys = {r.spec.key for r in archive.open_results(packed)}
    change(unpack(packed))
    store = archive.open_results(packed)
    assert {r.spec.key for r in store} == keys and not store.skipped
    (line,) = store.remarks
    assert "is unusable" in line and "made anew" in line and "r.tar.zst" in line
    assert archive.open_results(packed).remarks == []


@pytest.mark.parametrize("place", ["cache", "cache/archives"])
def test_what_stands_in_the_way_of_unpacking_is_named_with_the_mend_and_left(packed, tmp_path, monkeypatch, place):
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("mine")
    with pytest.raises(UnusableError, match=r"Cannot write .*Not a directory.*move away.*LSO_BENCH_CACHE") as error:
        archive.open_results(packed)
    assert "damaged" not in str(error.value) and (tmp_path / place).read_text() == "mine"


def test_cache_without_room_is_named_and_the_archive_is_not_blamed(packed, tmp_path, monkeypatch):
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**6, 10**6, 0))
    with pytest.raises(UnusableError, match=r"the files of the archive take .* 0 GB are free; .*Make room") as error:
        archive.open_results(packed)
    assert "damaged" not in str(error.value) and not list((tmp_path / "cache" / "archives").iterdir())


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda p: p.symlink_to("/dev/zero"), lambda p: [p.touch(), os.truncate(p, 2**36)]]
)
def test_archive_that_has_no_end_is_named_and_never_read(tmp_path, make):
    make(tmp_path / "x.tar.zst")
    with pytest.raises(UnusableError, match=r"x\.tar\.zst is no archive of results, or damaged"):
        archive.open_results(tmp_path / "x.tar.zst")


def test_what_a_killed_process_was_unpacking_is_swept_a_day_later_and_nothing_else(packed):
    folder = unpack(packed).parent
    left, new, foreign = (folder / name for name in (f"{'0' * 64}.01234567", f"{'1' * 64}.01234567", "mine.old"))
    for path in (left, new, foreign):
        (path / "inner").mkdir(parents=True)
    for path in (left, foreign):
        os.utime(path, (0, 0))
    unpack(packed)
    assert not left.exists() and new.exists() and foreign.exists() and unpack(packed).exists()


def test_compare_reads_an_archive_as_the_folder_that_it_was_made_of(capsys, results, packed):
    (results / "tmp" / "left.over").unlink()
    compare([results])
    of_folder = capsys.readouterr().out
    compare([packed])
    assert capsys.readouterr().out == of_folder != ""


def test_pack_refuses_what_would_lose_something(results, tmp_path):
    with pytest.raises(UsageError, match="a part of itself"):
        archive.pack(results, results / "pictures" / "r.tar.zst")
    with pytest.raises(UnusableError, match="no results folder"):
        archive.pack(results / "pictures", tmp_path / "r.tar.zst")
    for place in ("/etc/hostname", "/etc"):
        (results / "pictures" / "link").symlink_to(place)
        with pytest.raises(UnusableError, match="link is no plain file"):
            archive.pack(results, tmp_path / "r.tar.zst")
        (results / "pictures" / "link").unlink()
    assert not list(tmp_path.glob("*r.tar.zst*"))


def member(name, content=b"", **attributes):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def forge(path: Path, *members, claimed=None, format=tarfile.USTAR_FORMAT):
    """An archive of these members, whose manifest claims `claimed`, by default just what they are."""
    entries = {i.name: {"sha256": sha256(c).hexdigest(), "size": len(c)} for i, c in members}
    manifest = json.dumps({"format": 1, "files": entries if claimed is None else claimed}).encode()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for info, content in (member("manifest.json", manifest), *members):
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(ZstdCompressor().compress(file.getvalue()))
    return path


def raw(path: Path, *blocks):
    """An archive whose manifest claims a file `a`, of one byte, and holds these bytes in its place."""
    manifest = json.dumps({"format": 1, "files": {"a": known()}}).encode()
    first = [member("manifest.json", manifest)[0].tobuf(), manifest.ljust(512, b"\0")]
    path.write_bytes(ZstdCompressor().compress(b"".join([*first, *blocks])))


ESCAPES = ["/outside", "../outside", "a/../../outside", "a//b", "./a", "a/", "", ".", "a\x1b[31m", "a\nb"]


@pytest.mark.parametrize("name", ESCAPES)
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    path = forge(tmp_path / "x.tar.zst", member("plain", b"x"), claimed={name: {"sha256": "", "size": 1}})
    with pytest.raises(UnusableError, match="cannot be the name"):
        unpack(path)


KINDS = {
    "symbolic link": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "link": {"type": tarfile.LNKTYPE, "linkname": "../outside"},
    "device": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
    "pipe": {"type": tarfile.FIFOTYPE},
    "folder": {"type": tarfile.DIRTYPE},
    "sparse file": {"type": tarfile.GNUTYPE_SPARSE},
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_plain_files_are_unpacked(tmp_path, kind):
    with pytest.raises(UnusableError, match="no plain file"):
        unpack(forge(tmp_path / "x.tar.zst", member("a", **KINDS[kind])))
    assert not list((cache_folder() / "archives").glob(f"{sha256((tmp_path / 'x.tar.zst').read_bytes()).hexdigest()}*"))


def known(content=b"x"):
    return {"sha256": sha256(content).hexdigest(), "size": len(content)}


WRONG = {
    "other content": lambda p: forge(p, member("a", b"y"), claimed={"a": known()}),
    "another size": lambda p: forge(p, member("a", b"xx"), claimed={"a": known()}),
    "not in the manifest": lambda p: forge(p, member("b", b"x"), claimed={"a": known()}),
    "twice": lambda p: forge(p, member("a", b"x"), member("a", b"x"), claimed={"a": known(), "b": known()}),
    "missing": lambda p: forge(p, member("a", b"x"), claimed={"a": known(), "b": known()}),
    "no manifest": lambda p: p.write_bytes(ZstdCompressor().compress(member("a", b"x")[0].tobuf() + bytes(2048))),
    "manifest of another kind": lambda p: forge(p, claimed=[1]),
    "long header": lambda p: forge(p, member("a" * 5000, b"x"), format=tarfile.PAX_FORMAT),
    "headers without end": lambda p: raw(p, member("a", type=tarfile.XHDTYPE)[0].tobuf() * 2**16),
    "header with a size": lambda p: forge(p, member("a", b"x", pax_headers={"size": "1"}), format=tarfile.PAX_FORMAT),
    "header for all": lambda p: raw(
        p,
        *[x.ljust(512, b"\0") for x in (member("a", b"9 size=1\n", type=tarfile.XGLTYPE)[0].tobuf(), b"9 size=1\n")],
        *[x.ljust(512, b"\0") for x in (member("a", b"x")[0].tobuf(), b"x")],
    ),
    "file after the end": lambda p: raw(p, bytes(1024), member("a", b"x")[0].tobuf(), b"x".ljust(512, b"\0")),
    "damaged header": lambda p: raw(p, b"\1" * 512, member("a", b"x")[0].tobuf(), b"x".ljust(512, b"\0")),
    "negative size of a header": lambda p: raw(
        p, member("a", type=tarfile.XHDTYPE, size=-512)[0].tobuf(tarfile.GNU_FORMAT), bytes(1024)
    ),
    "negative size": lambda p: forge(p, claimed={"a": {"sha256": "", "size": -1}}),
    "no tar": lambda p: p.write_bytes(ZstdCompressor().compress(b"hello" * 1000)),
    "no zstandard": lambda p: p.write_bytes(b"hello"),
    "empty": lambda p: p.write_bytes(b""),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_not_as_it_was_packed_is_refused_by_name(tmp_path, wrong):
    WRONG[wrong](tmp_path / "x.tar.zst")
    with pytest.raises(UnusableError, match=r"x\.tar\.zst is no archive of results, or damaged"):
        unpack(tmp_path / "x.tar.zst")


BOMBS = {
    "of a name": lambda: [member("a", type=tarfile.XHDTYPE, size=2**26)[0].tobuf(), bytes(2**26)],
    "of a long name of GNU": lambda: [member("a", type=tarfile.GNUTYPE_LONGNAME, size=2**26)[0].tobuf(), b"a" * 2**26],
    "of the holes of a sparse file": lambda: [
        member("a", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, size=2**26)[0].tobuf(
            tarfile.PAX_FORMAT
        ),
        b"99999999\n" + b"1\n" * 2**25,
    ],
}


@pytest.mark.parametrize("header", BOMBS)
def test_header_that_has_no_end_is_refused_in_little_memory(tmp_path, header):
    raw(tmp_path / "x.tar.zst", *BOMBS[header]())
    tracemalloc.start()
    with pytest.raises(UnusableError, match="swells"):
        unpack(tmp_path / "x.tar.zst")
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


def test_archive_that_claims_more_than_the_disk_holds_is_not_unpacked(tmp_path):
    forge(tmp_path / "x.tar.zst", claimed={"a": {"sha256": "", "size": 2**60}})
    with pytest.raises(UnusableError, match=r"the files of the archive take .* are free"):
        unpack(tmp_path / "x.tar.zst")


def test_every_byte_of_an_archive_counts(packed):
    whole = bytearray(packed.read_bytes())
    for at in range(0, len(whole), len(whole) // 40):
        changed = whole.copy()
        changed[at] ^= 0x40
        packed.write_bytes(changed)
        try:
            store = archive.open_results(packed)
        except UnusableError:
            continue
        assert {r.spec.key for r in store} == {searched(WAYS, init=i).spec.key for i in (0, 1)}  # a byte of filling


def test_archive_that_swells_is_refused_before_it_has_swollen(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "SMALL", 2**20)
    path = forge(tmp_path / "x.tar.zst", member("a", bytes(2**24)))
    assert path.stat().st_size < 2**24 / unpacking.MAX_EXPANSION
    with pytest.raises(UnusableError, match="swells"):
        unpack(path)
    assert len(ZstdDecompressor().stream_reader(path.read_bytes()).read()) > 2**24
