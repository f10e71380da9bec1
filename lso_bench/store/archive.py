"""Pack a results folder into one archive file, and open such files as results.

The same folder always gives the same bytes. The file is a tar archive under Zstandard: first `manifest.json` with the
sha256 and size of every file, then the files sorted by name, without times and owners.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lso_bench.errors import UnusableError, UsageError
from lso_bench.files import safe_read
from lso_bench.files.atomic_write import output
from lso_bench.store.results_folder import MARKER_FILE
from lso_bench.store.store import Store
from lso_bench.store.unpack import (
    FORMAT,
    LARGEST_MANIFEST,
    MANIFEST,
    is_inside,
    max_unpacked_size,
    read_manifest,
    unpack,
)

LEVEL = 10  # of Zstandard; results/reference (10 MB) takes 0.4 s; level 15 takes 6 times as long and saves 2 %
BLOCK = tarfile.BLOCKSIZE
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
        manifest = read_manifest(path)
        return all(
            safe_read.sha256(folder / name, size) == digest
            for name, (size, digest) in manifest.items()
            if name.startswith("runs/")
        )
    except (UnusableError, OSError, ValueError):
        return False


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
            if not is_inside(name):
                raise UnusableError(f"{folder / name} has a name that no archive takes; rename it, or move it away.")
            yield name


def _check_expansion(total: int, packed: int, folder: Path) -> None:
    """Refuse to write an archive that no reader would accept."""
    if total > max_unpacked_size(packed):
        raise UnusableError(
            f"{folder} holds {total / 1e9:.3g} GB, and an archive of it ({packed / 1e9:.3g} GB) may hold "
            f"{max_unpacked_size(packed) / 1e9:.3g} GB; move away what is no result."
        )


def _write(f: IO[bytes], files: Mapping[str, Path]) -> tuple[int, int]:
    """Write the files; return the unpacked and the packed size in bytes."""
    from zstandard import FLUSH_FRAME, ZstdCompressor

    entries = {name: _entry(path) for name, path in files.items()}
    manifest = json.dumps({"format": FORMAT, "files": entries}, indent=0).encode()
    if len(manifest) > LARGEST_MANIFEST:
        raise UnusableError(f"{len(files)} files are too many for an archive; move away what is no result.")
    with ZstdCompressor(LEVEL).stream_writer(f, closefd=False) as out:
        out.write(_header(MANIFEST, len(manifest)) + manifest + bytes(-len(manifest) % BLOCK))
        for name, path in files.items():
            out.write(_header(name, entries[name]["size"]))
            _copy_unchanged(path, out, entries[name])
        out.write(bytes(2 * BLOCK))
        out.flush(FLUSH_FRAME)
        return len(manifest) + sum(entry["size"] for entry in entries.values()), out.tell()


def _entry(path: Path) -> dict[str, Any]:
    """Return what the manifest states of a file."""
    with path.open("rb") as content:
        return {"sha256": hashlib.file_digest(content, "sha256").hexdigest(), "size": path.stat().st_size}


def _copy_unchanged(path: Path, out: Any, entry: Mapping[str, Any]) -> None:
    """Copy a file and fill its last block with zeros; refuse a file that no longer has the recorded hash."""
    sha, remaining = hashlib.sha256(), entry["size"]
    with path.open("rb") as content:
        while chunk := content.read(min(CHUNK, remaining)):
            sha.update(chunk)
            out.write(chunk)
            remaining -= len(chunk)
        is_longer = bool(content.read(1))
    if remaining or is_longer or sha.hexdigest() != entry["sha256"]:
        raise UnusableError(f"{path} changed while it was packed; pack again when nothing writes there.")
    out.write(bytes(-entry["size"] % BLOCK))


def _header(name: str, size: int) -> bytes:
    """Return the header of a file. A name too long for USTAR comes first, in an extended header (pax)."""
    member = tarfile.TarInfo(name)
    member.size = size
    try:
        return member.tobuf(tarfile.USTAR_FORMAT)
    except ValueError:
        return member.tobuf(tarfile.PAX_FORMAT)
