"""A results folder as one file, for a colleague: packed to the same bytes each time, and let in only as it was packed.

The file is a tar archive under Zstandard: first `manifest.json` with the sha256 and size of every file, then the files
by name, without times and owners. Reading takes nothing else than plain files that the manifest names, so that no link,
device or path can lead out of the folder that they are unpacked into.
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

from lso_bench.errors import UnusableError, UsageError
from lso_bench.store.store import MARKER_FILE, STALE, Store
from lso_bench.vae import foreign
from lso_bench.vae.cache import cache_folder
from lso_bench.vae.durable import output, writing
from lso_bench.vae.errors import UnusableError as NotWrittenError

FORMAT = 1  # of the manifest
MANIFEST = "manifest.json"
LEVEL = 10  # of Zstandard; of results/reference, 0.4 s for 10 MB; 15 takes 6 times as long and saves 2 %
LARGEST = 16 * 2**30  # bytes of all files together
LARGEST_MANIFEST = 128 * 2**20  # bytes; about half a million files
MAX_EXPANSION = 200  # times the size of the archive that its files may take; those of results/reference take 2.7
SMALL = 64 * 2**20  # bytes that any archive may swell to
WINDOW = 2**26  # bytes that Zstandard may keep
LEFT = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{8}")  # name of a folder that an archive is being unpacked into
BLOCK = tarfile.BLOCKSIZE
LONGEST = 4096  # bytes of a name, and 255 of each of its parts, as Linux takes them
LONGEST_PART = 255
CHUNK = 2**20  # bytes read at once


def open_results(path: Path) -> Store:
    """The runs of a results folder or of an archive of one, for reading.

    Raises:
        UnusableError: neither of them, or an archive that is damaged or not as `pack` makes them.
    """
    if not path.exists() or path.is_dir():
        return Store(path, readonly=True)
    remarks: list[str] = []
    store = Store(unpack(path, remarks.append), readonly=True)
    store.remarks.extend(remarks)
    return store


def pack(folder: Path, path: Path) -> int:
    """Write all that a results folder holds, but work in progress, into the archive `path`; how many files.

    Raises:
        UsageError: `path` lies in the folder itself.
        UnusableError: `folder` is no results folder or holds what `unpack` would refuse, or `path` cannot be written.
    """
    Store(folder, readonly=True)
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise UsageError(f"{path} would become a part of itself; say -o with a place outside of {folder}.")
    files = {name: folder / name for name in sorted(_names(folder))}
    with output(path) as f:
        total, packed = _write(f, files)
        _check_swelling(total, packed, folder)
    return len(files)


def holds(folder: Path, path: Path) -> bool:
    """Whether a folder holds, unchanged, every file of the runs in an archive; False if `path` is none."""
    try:
        with _reading(path), foreign.opened(path, LARGEST) as f:
            runs = {name: kept for name, kept in _known(f).items() if name.startswith("runs/")}
    except UnusableError:
        return False
    try:
        return all(foreign.sha256(folder / name, size) == digest for name, (size, digest) in runs.items())
    except (OSError, ValueError):
        return False


def unpack(path: Path, say: Callable[[str], object] = lambda _: None) -> Path:
    """The folder with the files of an archive, in the user's cache. One that is there already is looked at as the
    archive is when it is unpacked; what differs is made anew, and `say` is told so.

    Raises:
        UnusableError: damaged, not as `pack` makes them, too large, or no room.
    """
    with _reading(path):
        digest = foreign.sha256(path, LARGEST)
    place = cache_folder() / "archives" / digest
    _sweep(place.parent)
    if os.path.lexists(place):
        with _reading(path), foreign.opened(path, LARGEST) as f:
            odd = _unlike(place, _known(f))
        if not odd:
            return place
        say(f"What was unpacked of {path} before is unusable ({odd}) and is made anew.")
        with _keeping(place):
            _remove(place)
    work = place.with_name(f"{digest}.{uuid.uuid4().hex[:8]}")
    try:
        with _keeping(work):
            work.mkdir(parents=True)
        with _keeping(work), _reading(path), foreign.opened(path, LARGEST) as f:
            _read(f, path.stat().st_size, work)
        with _keeping(place):
            _renamed(work, place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return place


def _renamed(work: Path, place: Path) -> None:
    try:
        work.rename(place)
    except OSError:
        if not place.is_dir():  # no other process was first
            raise


@contextmanager
def _keeping(place: Path) -> Iterator[None]:
    """Its body writes to the cache.

    Raises:
        UnusableError: it could not; says the mend.
    """
    try:
        with writing(place):
            yield
    except NotWrittenError as error:
        raise UnusableError(
            f"{str(error).rstrip('.')}; an archive is unpacked there. Make room or move away what is in the way, or "
            "set LSO_BENCH_CACHE to another folder."
        ) from error


def _unlike(place: Path, known: Mapping[str, tuple[int, str]]) -> str:
    """How what lies in a folder differs from a manifest, in words; empty where it does not."""
    if place.is_symlink() or not place.is_dir():
        return "it is no folder"
    there: set[str] = set()
    for here, folders, files in os.walk(place):
        at = Path(here)
        if odd := [name for name in folders if (at / name).is_symlink()]:
            return f"{odd[0]} is a link"
        there.update((at / file).relative_to(place).as_posix() for file in files)
    if odd := there ^ known.keys():
        return f"{min(odd)!r} is missing or left over"
    for name, (size, digest) in known.items():
        try:
            if (place / name).is_symlink() or foreign.sha256(place / name, size) != digest:
                return f"{name!r} does not match its sha256"
        except (OSError, ValueError) as error:
            return str(error)
    return ""


def _remove(place: Path) -> None:
    """What stands in the cache, and no file that a link leads to."""
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed left of their unpacking."""
    for work in folder.glob("*.*"):
        with suppress(OSError):
            if LEFT.fullmatch(work.name) and time.time() - work.lstat().st_mtime > STALE:
                _remove(work)


def _names(folder: Path) -> Iterator[str]:
    """The files of a results folder, without work in progress and without results folders inside it."""
    for here, folders, files in os.walk(folder):
        at = Path(here)
        inner = [f for f in folders if (at / f / MARKER_FILE).is_file()] + (["tmp"] if at == folder else [])
        folders[:] = [f for f in folders if f not in inner]
        for path in (at / name for name in folders + files):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise UnusableError(f"{path} is no plain file; move it away.")
        for name in ((at / file).relative_to(folder).as_posix() for file in files):
            if not _is_inside(name):
                raise UnusableError(f"{folder / name} has a name that no archive takes; rename it, or move it away.")
            yield name


def _is_inside(name: str) -> bool:
    """Whether a name is that of a file inside a folder, and can be shown."""
    path = PurePosixPath(name)
    if not name.isprintable() or len(name.encode()) > LONGEST:
        return False
    short = all(len(part.encode()) <= LONGEST_PART for part in path.parts)
    return name == str(path) != "." and not path.is_absolute() and ".." not in path.parts and short


def _most(size: int) -> int:
    """Bytes that an archive of so many bytes may swell to."""
    return min(LARGEST, max(SMALL, MAX_EXPANSION * size))


def _check_swelling(total: int, packed: int, folder: Path) -> None:
    """Refuse to write what nobody could read."""
    if total > _most(packed):
        raise UnusableError(
            f"{folder} holds {total / 1e9:.3g} GB, and an archive of it ({packed / 1e9:.3g} GB) may hold "
            f"{_most(packed) / 1e9:.3g} GB; move away what is no result."
        )


def _write(f: IO[bytes], files: Mapping[str, Path]) -> tuple[int, int]:
    """Write these files; the bytes that the archive swells to, and those that it has."""
    from zstandard import FLUSH_FRAME, ZstdCompressor

    known: dict[str, Any] = {}
    for name, path in files.items():
        with path.open("rb") as content:
            known[name] = {"sha256": hashlib.file_digest(content, "sha256").hexdigest(), "size": path.stat().st_size}
    manifest = json.dumps({"format": FORMAT, "files": known}, indent=0).encode()
    if len(manifest) > LARGEST_MANIFEST:
        raise UnusableError(f"{len(files)} files are too many for an archive; move away what is no result.")
    headers = {name: _header(name, kept["size"]) for name, kept in known.items()}
    with ZstdCompressor(LEVEL).stream_writer(f, closefd=False) as out:
        out.write(_header(MANIFEST, len(manifest)) + manifest + _filling(len(manifest)))
        for name, path in files.items():
            out.write(headers[name])
            with path.open("rb") as content:
                _copied(content, out, known[name])
            out.write(_filling(known[name]["size"]))
        out.write(bytes(2 * BLOCK))
        out.flush(FLUSH_FRAME)
        packed = out.tell()
    blocks = sum(len(headers[name]) + kept["size"] + BLOCK for name, kept in known.items())
    return blocks + len(manifest) + 4 * BLOCK, packed


def _copied(content: IO[bytes], out: Any, known: Mapping[str, Any]) -> None:
    """Copy a file, which must be as it was."""
    sha, left = hashlib.sha256(), known["size"]
    while piece := content.read(min(CHUNK, left)):
        sha.update(piece)
        out.write(piece)
        left -= len(piece)
    if left or content.read(1) or sha.hexdigest() != known["sha256"]:
        raise UnusableError(f"{content.name} changed while it was packed; pack again when nothing writes there.")


def _header(name: str, size: int) -> bytes:
    """That of a file, after one with its name where that is too long for the old form (USTAR) of archives."""
    member = tarfile.TarInfo(name)
    member.size = size
    try:
        return member.tobuf(tarfile.USTAR_FORMAT)
    except ValueError:
        return member.tobuf(tarfile.PAX_FORMAT)


def _filling(size: int) -> bytes:
    """What fills the last block of a file of that size."""
    return bytes(-size % BLOCK)


@dataclass
class _Bounded:
    """What Zstandard gives, up to a number of bytes."""

    pull: Callable[[int], bytes]
    left: int

    def read(self, size: int) -> bytes:
        """Just so many.

        Raises:
            ValueError: there are not as many, or more than may be.
        """
        self.left -= size
        if self.left < 0:
            raise ValueError("it swells beyond what results of its size can be")
        found = self.pull(size)
        while len(found) < size and (more := self.pull(size - len(found))):
            found += more
        if len(found) != size:
            raise ValueError("it ends too early")
        return found


@contextmanager
def _unpacked(f: IO[bytes], most: int) -> Iterator[_Bounded]:
    """The tar archive in it, of at most so many bytes.

    Raises:
        ValueError: it is not compressed by Zstandard, or damaged.
    """
    from zstandard import ZstdDecompressor, ZstdError

    try:
        yield _Bounded(ZstdDecompressor(max_window_size=WINDOW).stream_reader(f, closefd=False).read, most)
    except ZstdError as error:
        raise ValueError(error) from error


def _read(f: IO[bytes], size: int, folder: Path) -> None:
    with _unpacked(f, _most(size)) as source:
        _read_files(source, folder)


def _known(f: IO[bytes]) -> dict[str, tuple[int, str]]:
    """What the manifest of an archive says, without the files behind it."""
    with _unpacked(f, LARGEST_MANIFEST + 2 * BLOCK) as source:
        return _read_manifest(source)


def _read_manifest(source: _Bounded) -> dict[str, tuple[int, str]]:
    first = _member(source)
    if first.name != MANIFEST or first.size > LARGEST_MANIFEST:
        raise ValueError(f"wanted {MANIFEST} first, got {first.name!r}")
    known = _manifest(source.read(first.size))
    source.read(len(_filling(first.size)))
    return known


def _read_files(source: _Bounded, folder: Path) -> None:
    """Every file that the manifest names, each once and as it says, into `folder`."""
    known = _read_manifest(source)
    total = sum(size for size, _ in known.values())
    if total > (free := shutil.disk_usage(folder).free):
        sizes = f"the files of the archive take {total / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free"
        raise NotWrittenError(f"Cannot write {folder}: {sizes}")
    while known:
        member = _member(source)
        size, digest = known.pop(member.name, (None, ""))
        if size != member.size:
            raise ValueError(f"{member.name!r} is not in its manifest, or of another size")
        target = folder / member.name
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(source, target, member.size, digest)
        source.read(len(_filling(member.size)))


def _member(source: _Bounded) -> tarfile.TarInfo:
    """The next header, if it is that of a plain file; no other kind of tar archive is read."""
    member = tarfile.TarInfo.frombuf(source.read(BLOCK), "utf-8", "strict")
    if member.type == tarfile.XHDTYPE:
        name = _long_name(source, member.size)
        member = tarfile.TarInfo.frombuf(source.read(BLOCK), "utf-8", "strict")
        member.name = name
    if member.type != tarfile.REGTYPE or member.size < 0:
        raise ValueError(f"{member.name!r} is no plain file")
    return member


def _long_name(source: _Bounded, size: int) -> str:
    """The name in a header of its own: one record `LENGTH path=NAME`, as POSIX (pax) has it."""
    if not 0 < size <= LONGEST + BLOCK:
        raise ValueError(f"a header of {size} bytes")
    text = source.read(size)
    source.read(len(_filling(size)))
    length, _, record = text.partition(b" ")
    if length != str(size).encode() or not (record.startswith(b"path=") and record.endswith(b"\n")):
        raise ValueError("a header that is no name")
    return record[len(b"path=") : -1].decode()


def _manifest(text: bytes) -> dict[str, tuple[int, str]]:
    """Size and sha256 by name, of names that stay inside a folder."""
    raw: dict[str, Any] = foreign.parsed(text)
    if raw["format"] != FORMAT:
        raise ValueError(f"its manifest has format {raw['format']!r}, wanted {FORMAT}")
    known = {name: (of["size"], of["sha256"]) for name, of in raw["files"].items()}
    for name, (size, digest) in known.items():
        if not (_is_inside(name) and type(size) is int and size >= 0 and isinstance(digest, str)):
            raise ValueError(f"{name!r} cannot be the name of one of its files")
    return known


def _copy(source: _Bounded, target: Path, size: int, digest: str) -> None:
    sha = hashlib.sha256()
    with target.open("xb") as f:
        for at in range(0, size, CHUNK):
            piece = source.read(min(CHUNK, size - at))
            sha.update(piece)
            f.write(piece)
    if sha.hexdigest() != digest:
        raise ValueError(f"{target.name!r} does not match its sha256")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns whatever is wrong with the archive `path` into one error that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, tarfile.TarError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UnusableError(f"{path} is no archive of results, or damaged ({why}); ask for it again.") from error
