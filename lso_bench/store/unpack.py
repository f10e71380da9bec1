"""Unpack an archive of results into the user's cache, and accept nothing that `lso_bench.store.archive` did not pack.

`tarfile` reads the members as a stream, from a reader that bounds the bytes of each step. Only plain files are written
that the manifest names, each once and with its size and sha256.
"""

import io
import os
import re
import shutil
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lso_bench.errors import UnusableError, WriteError
from lso_bench.files import safe_read
from lso_bench.files.atomic_write import reporting_disk_errors
from lso_bench.files.paths import cache_folder
from lso_bench.store.results_folder import STALE

FORMAT = 1  # version of the manifest
MANIFEST = "manifest.json"
LARGEST = 16 * 2**30  # bytes of all files together
LARGEST_MANIFEST = 128 * 2**20  # bytes; about half a million files
MAX_EXPANSION = 200  # largest ratio of unpacked to packed size; results/reference has 2.7
SMALL = 64 * 2**20  # bytes that any archive may expand to
WINDOW = 2**26  # bytes, the largest window of Zstandard
UNPACKING = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{8}")  # name of the folder of an unpacking in progress
LONGEST = 4096  # bytes of a path on Linux; each part has at most 255
LONGEST_PART = 255
READ_AHEAD = tarfile.RECORDSIZE  # bytes that `tarfile` reads at once
LARGEST_HEADER = LONGEST + 8 * tarfile.BLOCKSIZE + READ_AHEAD  # bytes that `tarfile` may read to find the next file


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
        difference = _difference(place, read_manifest(path))
        if not difference:
            return place
        report(f"What was unpacked of {path} before is unusable ({difference}) and is made anew.")
        with _reporting_cache_errors(place):
            _remove(place)
    work = place.with_name(f"{digest}.{uuid.uuid4().hex[:8]}")
    try:
        with _reporting_cache_errors(work):
            work.mkdir(parents=True)
            with _reporting_damage(path), safe_read.opened(path, LARGEST) as f:
                _unpack_files(f, work)
        with _reporting_cache_errors(place):
            _rename(work, place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return place


def read_manifest(path: Path) -> dict[str, tuple[int, str]]:
    """Return the size and the sha256 of each file in an archive, by name.

    Raises:
        UnusableError: the archive is damaged, or was not written by `pack`.
    """
    with _reporting_damage(path), safe_read.opened(path, LARGEST) as f:
        return _manifest(_members(f), max_unpacked_size(path.stat().st_size))


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


def is_inside(name: str) -> bool:
    """Return whether a name is printable and names a file inside a folder."""
    path = PurePosixPath(name)
    if not name.isprintable() or len(name.encode()) > LONGEST:
        return False
    short = all(len(part.encode()) <= LONGEST_PART for part in path.parts)
    return name == str(path) != "." and not path.is_absolute() and ".." not in path.parts and short


def max_unpacked_size(size: int) -> int:
    """Return the number of bytes that an archive of `size` bytes may expand to."""
    return min(LARGEST, max(SMALL, MAX_EXPANSION * size))


class _LimitedReader(io.RawIOBase):
    """Reader of decompressed bytes, up to a limit that is set anew for each header and each file."""

    def __init__(self, f: IO[bytes]):
        from zstandard import ZstdDecompressor

        self.content = ZstdDecompressor(max_window_size=WINDOW).stream_reader(f, closefd=False)
        self.remaining = LARGEST_HEADER

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes.

        Raises:
            ValueError: the stream exceeds the limit, is not compressed by Zstandard, or damaged.
        """
        from zstandard import ZstdError

        try:
            content = self.content.read(size)
        except ZstdError as error:
            raise ValueError(error) from error
        self.remaining -= len(content)
        if self.remaining < 0:
            raise ValueError("it swells beyond what results of its size can be")
        return content


def _members(f: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the open archive with each of its plain files, which must be read before the next one.

    Raises:
        ValueError, tarfile.TarError: a member is no plain file, or the archive ends or is damaged.
    """
    source = _LimitedReader(f)
    with tarfile.open(fileobj=source, mode="r|", bufsize=READ_AHEAD, encoding="utf-8", errors="strict") as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # new in Python 3.11.4
        for member in tar:
            if member.type != tarfile.REGTYPE or member.pax_headers.keys() - {"path"}:
                raise ValueError(f"{member.name!r} is no plain file")
            source.remaining = member.size + READ_AHEAD
            yield tar, member
            source.remaining = LARGEST_HEADER
    raise ValueError("it ends too early")


def _manifest(members: Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]], most: int) -> dict[str, tuple[int, str]]:
    """Read the manifest, which comes first: size and sha256 by name; names must stay inside a folder."""
    tar, header = next(members)
    content = tar.extractfile(header)
    if header.name != MANIFEST or not content or header.size > min(most, LARGEST_MANIFEST):
        raise ValueError(f"wanted {MANIFEST} first, got {header.name!r}")
    raw: dict[str, Any] = safe_read.parsed(content.read())
    if raw["format"] != FORMAT:
        raise ValueError(f"its manifest has format {raw['format']!r}, wanted {FORMAT}")
    manifest = {name: (entry["size"], entry["sha256"]) for name, entry in raw["files"].items()}
    for name, (size, digest) in manifest.items():
        if not (is_inside(name) and type(size) is int and size >= 0 and isinstance(digest, str)):
            raise ValueError(f"{name!r} cannot be the name of one of its files")
    return manifest


def _unpack_files(f: IO[bytes], folder: Path) -> None:
    """Write every file of the manifest into `folder`, each once and with the stated size and hash."""
    members, most = _members(f), max_unpacked_size(os.fstat(f.fileno()).st_size)
    manifest = _manifest(members, most)
    total = sum(size for size, _ in manifest.values())
    if total > (free := shutil.disk_usage(folder).free):
        sizes = f"the files of the archive take {total / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free"
        raise WriteError(f"Cannot write {folder}: {sizes}")
    if total > most:
        raise ValueError("it swells beyond what results of its size can be")
    while manifest:
        tar, member = next(members)
        target = folder / member.name
        if member.size != manifest.get(member.name, (None,))[0] or os.path.lexists(target):
            raise ValueError(f"{member.name!r} is not in its manifest, of another size, or present already")
        with reporting_disk_errors(target):
            tar.extract(member, folder, set_attrs=False)
        size, digest = manifest.pop(member.name)
        if safe_read.sha256(target, size) != digest:
            raise ValueError(f"{member.name!r} does not match its sha256")


@contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    """Turn any error of reading the archive `path` into one error that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, tarfile.TarError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UnusableError(f"{path} is no archive of results, or damaged ({why}); ask for it again.") from error
