"""Pack a results folder into one archive file, and unpack such archives safely.

The same folder always gives the same bytes. The file is a tar archive under Zstandard: first `manifest.json` with the
sha256 and size of every file, then the files sorted by name, without times and owners. Reading accepts only plain files
that the manifest names, so no link, device or path can lead out of the target folder.
"""

import hashlib
import json
import os
import re
import shutil
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lso_bench.errors import UnusableError, UsageError, WriteError
from lso_bench.files import safe_read
from lso_bench.files.atomic_write import output, reporting_disk_errors
from lso_bench.files.cache import cache_folder
from lso_bench.store.store import MARKER_FILE, STALE, Store

FORMAT = 1  # version of the manifest
MANIFEST = "manifest.json"
LEVEL = 10  # of Zstandard; results/reference (10 MB) takes 0.4 s; level 15 takes 6 times as long and saves 2 %
LARGEST = 16 * 2**30  # bytes of all files together
LARGEST_MANIFEST = 128 * 2**20  # bytes; about half a million files
MAX_EXPANSION = 200  # largest ratio of unpacked to packed size; results/reference has 2.7
SMALL = 64 * 2**20  # bytes that any archive may expand to
WINDOW = 2**26  # bytes, the largest window of Zstandard
UNPACKING = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{8}")  # name of the folder of an unpacking in progress
BLOCK = tarfile.BLOCKSIZE
LONGEST = 4096  # bytes of a path on Linux; each part has at most 255
LONGEST_PART = 255
CHUNK = 2**20  # bytes read at once


def open_results(path: Path) -> Store:
    """Open a results folder, or an archive of one, for reading.

    Raises:
        UnusableError: `path` is neither, or the archive is damaged or was not written by `pack`.
    """
    if not path.exists() or path.is_dir():
        return Store(path, readonly=True)
    remarks: list[str] = []
    store = Store(unpack(path, remarks.append), readonly=True)
    store.remarks.extend(remarks)
    return store


def pack(folder: Path, path: Path) -> int:
    """Write a results folder, except work in progress, into the archive `path`; return the number of files.

    Raises:
        UsageError: `path` lies in the folder itself.
        UnusableError: `folder` is no results folder or holds files that `unpack` would refuse, or `path` cannot be
            written.
    """
    Store(folder, readonly=True)
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise UsageError(f"{path} would become a part of itself; say -o with a place outside of {folder}.")
    files = {name: folder / name for name in sorted(_file_names(folder))}
    with output(path) as f:
        total, packed = _write(f, files)
        _check_expansion(total, packed, folder)
    return len(files)


def holds(folder: Path, path: Path) -> bool:
    """Return whether a folder holds every file of the runs in an archive, unchanged; False if `path` is no archive."""
    try:
        with _reporting_damage(path), safe_read.opened(path, LARGEST) as f:
            runs = {name: entry for name, entry in _read_manifest_alone(f).items() if name.startswith("runs/")}
    except UnusableError:
        return False
    try:
        return all(safe_read.sha256(folder / name, size) == digest for name, (size, digest) in runs.items())
    except (OSError, ValueError):
        return False


def unpack(path: Path, report: Callable[[str], object] = lambda _: None) -> Path:
    """Return the folder in the user's cache that holds the files of an archive.

    An existing folder is checked against the archive as during unpacking. A folder that differs is unpacked again, and
    `report` receives a message about it.

    Raises:
        UnusableError: the archive is damaged, was not written by `pack`, is too large, or the disk has no room.
    """
    with _reporting_damage(path):
        digest = safe_read.sha256(path, LARGEST)
    place = cache_folder() / "archives" / digest
    _sweep(place.parent)
    if os.path.lexists(place):
        with _reporting_damage(path), safe_read.opened(path, LARGEST) as f:
            difference = _difference(place, _read_manifest_alone(f))
        if not difference:
            return place
        report(f"What was unpacked of {path} before is unusable ({difference}) and is made anew.")
        with _reporting_cache_errors(place):
            _remove(place)
    work = place.with_name(f"{digest}.{uuid.uuid4().hex[:8]}")
    try:
        with _reporting_cache_errors(work):
            work.mkdir(parents=True)
        with _reporting_cache_errors(work), _reporting_damage(path), safe_read.opened(path, LARGEST) as f:
            _read(f, path.stat().st_size, work)
        with _reporting_cache_errors(place):
            _rename(work, place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return place


def _rename(work: Path, place: Path) -> None:
    try:
        work.rename(place)
    except OSError:
        if not place.is_dir():  # no other process was first
            raise


@contextmanager
def _reporting_cache_errors(place: Path) -> Iterator[None]:
    """Turn errors of writing to the cache in the body into an error with advice.

    Raises:
        UnusableError: the body could not write.
    """
    try:
        with reporting_disk_errors(place):
            yield
    except WriteError as error:
        raise UnusableError(
            f"{str(error).rstrip('.')}; an archive is unpacked there. Make room or move away what is in the way, or "
            "set LSO_BENCH_CACHE to another folder."
        ) from error


def _difference(place: Path, manifest: Mapping[str, tuple[int, str]]) -> str:
    """Describe how a folder differs from a manifest; empty where it does not."""
    if place.is_symlink() or not place.is_dir():
        return "it is no folder"
    present: set[str] = set()
    for subfolder, folders, files in os.walk(place):
        parent = Path(subfolder)
        if unexpected := [name for name in folders if (parent / name).is_symlink()]:
            return f"{unexpected[0]} is a link"
        present.update((parent / file).relative_to(place).as_posix() for file in files)
    if unexpected := present ^ manifest.keys():
        return f"{min(unexpected)!r} is missing or left over"
    for name, (size, digest) in manifest.items():
        try:
            if (place / name).is_symlink() or safe_read.sha256(place / name, size) != digest:
                return f"{name!r} does not match its sha256"
        except (OSError, ValueError) as error:
            return str(error)
    return ""


def _remove(place: Path) -> None:
    """Remove an entry of the cache; a link is removed, its target is not."""
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()


def _sweep(folder: Path) -> None:
    """Remove unfinished folders of killed processes."""
    for work in folder.glob("*.*"):
        with suppress(OSError):
            if UNPACKING.fullmatch(work.name) and time.time() - work.lstat().st_mtime > STALE:
                _remove(work)


def _file_names(folder: Path) -> Iterator[str]:
    """Yield the names of the files of a results folder, without work in progress and nested results folders."""
    for subfolder, folders, files in os.walk(folder):
        parent = Path(subfolder)
        inner = [f for f in folders if (parent / f / MARKER_FILE).is_file()] + (["tmp"] if parent == folder else [])
        folders[:] = [f for f in folders if f not in inner]
        for path in (parent / name for name in folders + files):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise UnusableError(f"{path} is no plain file; move it away.")
        for name in ((parent / file).relative_to(folder).as_posix() for file in files):
            if not _is_inside(name):
                raise UnusableError(f"{folder / name} has a name that no archive takes; rename it, or move it away.")
            yield name


def _is_inside(name: str) -> bool:
    """Return whether a name is printable and names a file inside a folder."""
    path = PurePosixPath(name)
    if not name.isprintable() or len(name.encode()) > LONGEST:
        return False
    short = all(len(part.encode()) <= LONGEST_PART for part in path.parts)
    return name == str(path) != "." and not path.is_absolute() and ".." not in path.parts and short


def _max_unpacked_size(size: int) -> int:
    """Return the number of bytes that an archive of `size` bytes may expand to."""
    return min(LARGEST, max(SMALL, MAX_EXPANSION * size))


def _check_expansion(total: int, packed: int, folder: Path) -> None:
    """Refuse to write an archive that no reader would accept."""
    if total > _max_unpacked_size(packed):
        raise UnusableError(
            f"{folder} holds {total / 1e9:.3g} GB, and an archive of it ({packed / 1e9:.3g} GB) may hold "
            f"{_max_unpacked_size(packed) / 1e9:.3g} GB; move away what is no result."
        )


def _write(f: IO[bytes], files: Mapping[str, Path]) -> tuple[int, int]:
    """Write the files; return the unpacked and the packed size in bytes."""
    from zstandard import FLUSH_FRAME, ZstdCompressor

    entries: dict[str, Any] = {}
    for name, path in files.items():
        with path.open("rb") as content:
            entries[name] = {"sha256": hashlib.file_digest(content, "sha256").hexdigest(), "size": path.stat().st_size}
    manifest = json.dumps({"format": FORMAT, "files": entries}, indent=0).encode()
    if len(manifest) > LARGEST_MANIFEST:
        raise UnusableError(f"{len(files)} files are too many for an archive; move away what is no result.")
    headers = {name: _header(name, entry["size"]) for name, entry in entries.items()}
    with ZstdCompressor(LEVEL).stream_writer(f, closefd=False) as out:
        out.write(_header(MANIFEST, len(manifest)) + manifest + _padding(len(manifest)))
        for name, path in files.items():
            out.write(headers[name])
            with path.open("rb") as content:
                _copy_unchanged(content, out, entries[name])
            out.write(_padding(entries[name]["size"]))
        out.write(bytes(2 * BLOCK))
        out.flush(FLUSH_FRAME)
        packed = out.tell()
    blocks = sum(len(headers[name]) + entry["size"] + BLOCK for name, entry in entries.items())
    return blocks + len(manifest) + 4 * BLOCK, packed


def _copy_unchanged(content: IO[bytes], out: Any, entry: Mapping[str, Any]) -> None:
    """Copy a file, and check that its content still has the recorded hash."""
    sha, remaining = hashlib.sha256(), entry["size"]
    while chunk := content.read(min(CHUNK, remaining)):
        sha.update(chunk)
        out.write(chunk)
        remaining -= len(chunk)
    if remaining or content.read(1) or sha.hexdigest() != entry["sha256"]:
        raise UnusableError(f"{content.name} changed while it was packed; pack again when nothing writes there.")


def _header(name: str, size: int) -> bytes:
    """Return the header of a file. A name too long for USTAR comes first, in an extended header (pax)."""
    member = tarfile.TarInfo(name)
    member.size = size
    try:
        return member.tobuf(tarfile.USTAR_FORMAT)
    except ValueError:
        return member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    """Return the zeros that fill the last block of a file of `size` bytes."""
    return bytes(-size % BLOCK)


@dataclass
class _LimitedReader:
    """Reader of decompressed bytes, up to a limit."""

    pull: Callable[[int], bytes]
    remaining: int

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes.

        Raises:
            ValueError: the stream ends early, or exceeds the limit.
        """
        self.remaining -= size
        if self.remaining < 0:
            raise ValueError("it swells beyond what results of its size can be")
        content = self.pull(size)
        while len(content) < size and (chunk := self.pull(size - len(content))):
            content += chunk
        if len(content) != size:
            raise ValueError("it ends too early")
        return content


@contextmanager
def _decompressed(f: IO[bytes], limit: int) -> Iterator[_LimitedReader]:
    """Open the tar archive in a Zstandard stream, limited to `limit` bytes.

    Raises:
        ValueError: the stream is not compressed by Zstandard, or damaged.
    """
    from zstandard import ZstdDecompressor, ZstdError

    try:
        yield _LimitedReader(ZstdDecompressor(max_window_size=WINDOW).stream_reader(f, closefd=False).read, limit)
    except ZstdError as error:
        raise ValueError(error) from error


def _read(f: IO[bytes], size: int, folder: Path) -> None:
    with _decompressed(f, _max_unpacked_size(size)) as source:
        _read_files(source, folder)


def _read_manifest_alone(f: IO[bytes]) -> dict[str, tuple[int, str]]:
    """Read the manifest of an archive without its files."""
    with _decompressed(f, LARGEST_MANIFEST + 2 * BLOCK) as source:
        return _read_manifest(source)


def _read_manifest(source: _LimitedReader) -> dict[str, tuple[int, str]]:
    header = _next_header(source)
    if header.name != MANIFEST or header.size > LARGEST_MANIFEST:
        raise ValueError(f"wanted {MANIFEST} first, got {header.name!r}")
    manifest = _manifest(source.read(header.size))
    source.read(len(_padding(header.size)))
    return manifest


def _read_files(source: _LimitedReader, folder: Path) -> None:
    """Write every file of the manifest into `folder`, each once and with the stated size and hash."""
    manifest = _read_manifest(source)
    total = sum(size for size, _ in manifest.values())
    if total > (free := shutil.disk_usage(folder).free):
        sizes = f"the files of the archive take {total / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free"
        raise WriteError(f"Cannot write {folder}: {sizes}")
    while manifest:
        member = _next_header(source)
        size, digest = manifest.pop(member.name, (None, ""))
        if size != member.size:
            raise ValueError(f"{member.name!r} is not in its manifest, or of another size")
        target = folder / member.name
        with reporting_disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(source, target, member.size, digest)
        source.read(len(_padding(member.size)))


def _next_header(source: _LimitedReader) -> tarfile.TarInfo:
    """Return the next header, which must be that of a plain file."""
    member = tarfile.TarInfo.frombuf(source.read(BLOCK), "utf-8", "strict")
    if member.type == tarfile.XHDTYPE:
        name = _long_name(source, member.size)
        member = tarfile.TarInfo.frombuf(source.read(BLOCK), "utf-8", "strict")
        member.name = name
    if member.type != tarfile.REGTYPE or member.size < 0:
        raise ValueError(f"{member.name!r} is no plain file")
    return member


def _long_name(source: _LimitedReader, size: int) -> str:
    """Return the name in an extended header: one record `LENGTH path=NAME` in the pax format of POSIX."""
    if not 0 < size <= LONGEST + BLOCK:
        raise ValueError(f"a header of {size} bytes")
    text = source.read(size)
    source.read(len(_padding(size)))
    length, _, record = text.partition(b" ")
    if length != str(size).encode() or not (record.startswith(b"path=") and record.endswith(b"\n")):
        raise ValueError("a header that is no name")
    return record[len(b"path=") : -1].decode()


def _manifest(text: bytes) -> dict[str, tuple[int, str]]:
    """Parse a manifest into size and sha256 by name; names must stay inside a folder."""
    raw: dict[str, Any] = safe_read.parsed(text)
    if raw["format"] != FORMAT:
        raise ValueError(f"its manifest has format {raw['format']!r}, wanted {FORMAT}")
    manifest = {name: (entry["size"], entry["sha256"]) for name, entry in raw["files"].items()}
    for name, (size, digest) in manifest.items():
        if not (_is_inside(name) and type(size) is int and size >= 0 and isinstance(digest, str)):
            raise ValueError(f"{name!r} cannot be the name of one of its files")
    return manifest


def _copy(source: _LimitedReader, target: Path, size: int, digest: str) -> None:
    sha = hashlib.sha256()
    with target.open("xb") as f:
        for offset in range(0, size, CHUNK):
            chunk = source.read(min(CHUNK, size - offset))
            sha.update(chunk)
            f.write(chunk)
    if sha.hexdigest() != digest:
        raise ValueError(f"{target.name!r} does not match its sha256")


@contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    """Turn any error of reading the archive `path` into one error that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, tarfile.TarError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UnusableError(f"{path} is no archive of results, or damaged ({why}); ask for it again.") from error
