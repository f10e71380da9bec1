"""Read the records of a results folder through a database in the user's cache, because reading 10,000 files is slow.

Each run is read from its file once. It counts as unchanged while its folder's name and the inode, times and size of its
result stay the same. The fields that most runs share are stored once. If the database has any fault, it is rebuilt or
ignored, and the answer is the same.
"""

import gc
import hashlib
import json
import os
import sqlite3
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from lso_bench.files.paths import cache_folder
from lso_bench.record import Record, SearchResult
from lso_bench.spec import SCHEMA, Seeds, Spec, spec_from_json
from lso_bench.store.columns import Columns
from lso_bench.store.schema import PLAIN
from lso_bench.store.store import Store

FORMAT = 5  # version of the database; each version has its own file
COLUMNS = zlib.crc32(" ".join(f.name for part in (Record, SearchResult, Spec) for f in fields(part)).encode())
WAIT = 2.0  # seconds to wait for another process that writes it
UNUSABLE_NOW = {  # errors that leave the database as it is: locked, full, or read-only
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
}
TABLES = (
    "CREATE TABLE IF NOT EXISTS heads (digest TEXT PRIMARY KEY, text TEXT)",
    "CREATE TABLE IF NOT EXISTS runs "
    "(name TEXT PRIMARY KEY, stamp TEXT, head TEXT, own TEXT, rows BLOB, images BLOB, crc INT)",
)
SHARED_FIELDS = ("status", "versions", "usual")  # fields of a record that most runs have in common
RUN_FIELDS = tuple(name for name in PLAIN if name not in SHARED_FIELDS)


@dataclass(frozen=True)
class _SharedPart:
    """Values that several records have in common."""

    spec: dict[str, Any]  # the fields of their specs, except the seeds
    rest: dict[str, Any]  # SHARED
    names: tuple[str, ...]  # of their `Columns`


class _OtherRunsError(Exception):
    """Another process that sees other runs writes the database."""


def records(store: Store) -> list[Record]:
    """Return the same records as `list(store)`, in the same order; unreadable results are listed in `store.skipped`.

    Records with the same shared part share its dictionaries.
    """
    path = path_of(store.folder)
    store.remarks += _obstacles(path.parent)
    for _ in range(2):
        try:
            _check(path)
            with _without_garbage_collection():
                return _read_database(path, store)
        except OSError:
            break
        except _OtherRunsError:
            _discard(path)
        except Exception as error:  # any fault of the database: the files are read instead
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in UNUSABLE_NOW:
                break
            if not _discard(path):
                break
            store.remarks.append(
                f"{path}, an index of {store.folder}, is damaged and is made anew ({_describe(error)})."
            )
    return list(store)


def path_of(folder: Path) -> Path:
    """Return the path of the database of a results folder; deleting it costs only time."""
    name = hashlib.sha256(os.path.realpath(folder).encode(errors="surrogateescape")).hexdigest()[:16]
    return cache_folder() / "index" / f"{name}-{FORMAT}.{SCHEMA}.{COLUMNS:08x}.sqlite"


def _check(path: Path) -> None:
    """Refuse files that SQLite should not open: SQLite follows links and writes to devices.

    Raises:
        ValueError: the database or one of its journals is no plain file.
        OSError: the folder cannot be read.
    """
    for file in _files(path):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(file).st_mode):
                raise ValueError(f"{file.name} is no plain file")


def _obstacles(folder: Path) -> list[str]:
    """Return a message if the folder of the databases cannot exist because a file stands in its path."""
    for path in (folder, *folder.parents):
        if os.path.lexists(path):
            remedy = f"move {path}, which is no folder, away, or set LSO_BENCH_CACHE to another"
            return [] if path.is_dir() else [f"No index can be kept in {folder}, and every result is read: {remedy}."]
    return []


def _files(path: Path) -> list[Path]:
    """Return the paths of the database and of the files that SQLite may keep beside it."""
    return [path.with_name(path.name + ending) for ending in ("", "-journal", "-wal", "-shm")]


def _discard(path: Path) -> bool:
    """Remove the database; return whether all of its files are gone."""
    for file in _files(path):
        with suppress(OSError):
            file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    return not any(map(os.path.lexists, _files(path)))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector, which would take a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _read_database(path: Path, store: Store) -> list[Record]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=WAIT)) as database:
        for table in TABLES:
            database.execute(table)
        fingerprints = store.fingerprints()
        stored = dict(database.execute("SELECT name, stamp FROM runs"))
        if stored != fingerprints:
            _update(database, store, stored, fingerprints)
        database.execute("BEGIN")  # read both tables in one transaction
        heads = {digest: _parse_shared(digest, text) for digest, text in database.execute("SELECT * FROM heads")}
        rows = database.execute("SELECT * FROM runs ORDER BY name")
        restored = [*_records((row for row in rows if fingerprints.get(row[0]) == row[1]), heads, store)]
    if len(restored) + len(store.skipped) < len(fingerprints):
        raise _OtherRunsError
    return restored


def _update(database: sqlite3.Connection, store: Store, stored: dict[str, str], fingerprints: dict[str, str]) -> None:
    """Make the rows of the database match the current runs."""
    with database:
        database.executemany("DELETE FROM runs WHERE name = ?", [(n,) for n in stored.keys() - fingerprints.keys()])
        for name in sorted(n for n, stamp in fingerprints.items() if stored.get(n) != stamp):
            text, run_json, numbers, images = _read(store, name)
            digest = _digest(text)
            crc = _checksum(digest, run_json, numbers, images)
            row = name, fingerprints[name], digest, run_json, numbers, images, crc
            database.execute("INSERT OR IGNORE INTO heads VALUES (?, ?)", (digest, text))
            database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        database.execute("DELETE FROM heads WHERE digest NOT IN (SELECT head FROM runs)")


def _read(store: Store, name: str) -> tuple[str, str, bytes, bytes]:
    """Return a run's shared part as JSON, its own fields as JSON, its searches and its images; or the error message."""
    try:
        record = store.read(name)
    except ValueError as error:
        folder = store.folder / "runs" / name  # it may have another path the next time
        return "", str(error).removeprefix(str(folder)), b"", b""
    members = Columns.from_members(record.members)
    spec = asdict(record.spec)
    shared, run_fields = ({k: getattr(record, k) for k in names} for names in (SHARED_FIELDS, RUN_FIELDS))
    run_fields["seeds"], spec["seeds"] = spec["seeds"], {}
    run_fields["words"] = members.words  # texts of searches are among them
    head = json.dumps([spec, shared, members.names])
    return head, json.dumps(run_fields), members.rows.tobytes(), members.images.tobytes()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _checksum(digest: str, run_json: str, rows: bytes, images: bytes) -> int:
    return zlib.crc32(images, zlib.crc32(rows, zlib.crc32((digest + run_json).encode())))


def _parse_shared(digest: str, text: str) -> _SharedPart | None:
    """Parse a shared part; None for unreadable results."""
    if _digest(text) != digest:
        raise ValueError("a damaged head")
    if not text:
        return None
    spec, shared, names = json.loads(text)
    values = vars(spec_from_json(spec))
    del values["seeds"]
    return _SharedPart(values, shared, tuple(names))


def _records(rows: Iterable[tuple], heads: Mapping[str, _SharedPart | None], store: Store) -> Iterator[Record]:
    store.skipped = []
    for name, _, digest, text, numbers, images, crc in rows:
        if _checksum(digest, text, numbers, images) != crc:
            raise ValueError("a damaged row")
        shared = heads[digest]
        if shared is None:
            store.skipped.append(f"{store.folder / 'runs' / name}{text}")
            continue
        run_fields = json.loads(text)
        spec = Spec(**shared.spec, seeds=Seeds(**run_fields.pop("seeds")))
        object.__setattr__(spec, "key", name.rpartition("/")[2])  # verified when the file was read; hashing is slow
        matrix = np.frombuffer(numbers).reshape(-1, len(shared.names))
        members = Columns(shared.names, tuple(run_fields.pop("words")), matrix, np.frombuffer(images, "S16"))
        yield Record(spec, members=members, **shared.rest, **run_fields)
