"""The records of a results folder by way of a database in the user's cache, for reading 10,000 files is slow.

A run is read from its file once; it counts as the same as long as its folder's name, and the inode, times and size of
its result are. What runs have in common, most of what they say beside their searches, is kept and made once for all.
Whatever is wrong with the database, it is made anew, or left aside, and the answer is the same.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lso_bench.record import Record
from lso_bench.spec import SCHEMA, Seeds, Spec, spec_from_json
from lso_bench.store.columns import Columns
from lso_bench.store.schema import PLAIN
from lso_bench.store.store import Store
from lso_bench.vae.cache import cache_folder

FORMAT = 4  # of the database; one of another format is another file
WAIT = 2.0  # seconds for another process that writes it
ASIDE = {  # reasons to leave it as it is: locked, full, or not to be written
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
SHARED = ("status", "versions", "usual")  # of a record: in its head, which most runs have in common with others
OWN = tuple(name for name in PLAIN if name not in SHARED)


@dataclass(frozen=True)
class _Head:
    """What several records have in common."""

    spec: dict[str, Any]  # the fields of their specs, but the seeds
    rest: dict[str, Any]  # SHARED
    names: tuple[str, ...]  # of their `Columns`
    words: tuple[str, ...]


class _OtherRunsError(Exception):
    """Another process, which sees other runs, writes the database."""


def records(store: Store) -> list[Record]:
    """What `list(store)` gives, in the same order; what is not readable is named in `store.skipped`.

    Records of one head share its dictionaries.
    """
    path = path_of(store.folder)
    store.remarks += _in_the_way(path.parent)
    for _ in range(2):
        try:
            _check(path)
            with _uncollected():
                return _through(path, store)
        except OSError:
            break
        except _OtherRunsError:
            _discard(path)
        except Exception as error:  # whatever is wrong with it: the files are read instead, or say what is
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in ASIDE:
                break
            if not _discard(path):
                break
            store.remarks.append(f"{path}, an index of {store.folder}, is damaged and is made anew ({_brief(error)}).")
    return list(store)


def path_of(folder: Path) -> Path:
    """Where the database of a results folder lies; deleting it costs time, nothing else."""
    name = hashlib.sha256(os.path.realpath(folder).encode(errors="surrogateescape")).hexdigest()[:16]
    return cache_folder() / "index" / f"{name}-{FORMAT}.{SCHEMA}.sqlite"


def _check(path: Path) -> None:
    """Refuse what SQLite should not open: it follows links, and writes to devices.

    Raises:
        ValueError: something other than a plain file stands there, or at one of its journals.
        OSError: nobody may look.
    """
    for file in _files(path):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(file).st_mode):
                raise ValueError(f"{file.name} is no plain file")


def _in_the_way(folder: Path) -> list[str]:
    """A line where something else stands at the place of the folder of the databases, which is left as it is."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            free = f"move {place}, which is no folder, away, or set LSO_BENCH_CACHE to another"
            return [] if place.is_dir() else [f"No index can be kept in {folder}, and every result is read: {free}."]
    return []


def _files(path: Path) -> list[Path]:
    """The database and what SQLite may keep beside it."""
    return [path.with_name(path.name + ending) for ending in ("", "-journal", "-wal", "-shm")]


def _discard(path: Path) -> bool:
    """Remove the database; whether nothing of it is left."""
    for file in _files(path):
        with suppress(OSError):
            file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    return not any(map(os.path.lexists, _files(path)))


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector, which looks again and again at what was just made, for a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _through(path: Path, store: Store) -> list[Record]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=WAIT)) as database:
        for table in TABLES:
            database.execute(table)
        there = store.fingerprints()
        known = dict(database.execute("SELECT name, stamp FROM runs"))
        if known != there:
            _update(database, store, known, there)
        database.execute("BEGIN")  # both tables as they are at one moment
        heads = {digest: _head(digest, text) for digest, text in database.execute("SELECT * FROM heads")}
        rows = database.execute("SELECT * FROM runs ORDER BY name")
        found = [*_records((row for row in rows if there.get(row[0]) == row[1]), heads, store)]
    if len(found) + len(store.skipped) < len(there):
        raise _OtherRunsError
    return found


def _update(database: sqlite3.Connection, store: Store, known: dict[str, str], there: dict[str, str]) -> None:
    """Make the rows those of the runs that are there."""
    with database:
        database.executemany("DELETE FROM runs WHERE name = ?", [(n,) for n in known.keys() - there.keys()])
        for name in sorted(n for n, stamp in there.items() if known.get(n) != stamp):
            text, own, numbers, images = _read(store, name)
            digest = _digest(text)
            row = name, there[name], digest, own, numbers, images, _sum(digest, own, numbers, images)
            database.execute("INSERT OR IGNORE INTO heads VALUES (?, ?)", (digest, text))
            database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        database.execute("DELETE FROM heads WHERE digest NOT IN (SELECT head FROM runs)")


def _read(store: Store, name: str) -> tuple[str, str, bytes, bytes]:
    """The text of its head, what is its own, its searches and their images; of what is not readable just why."""
    try:
        record = store.read(name)
    except ValueError as error:
        at = store.folder / "runs" / name  # which may be called otherwise the next time
        return "", str(error).removeprefix(str(at)), b"", b""
    members = Columns.from_members(record.members)
    spec, shared, own = asdict(record.spec), *({k: getattr(record, k) for k in of} for of in (SHARED, OWN))
    own["seeds"], spec["seeds"] = spec["seeds"], {}
    head = json.dumps([spec, shared, members.names, members.words])
    return head, json.dumps(own), members.rows.tobytes(), members.images.tobytes()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sum(digest: str, own: str, rows: bytes, images: bytes) -> int:
    return zlib.crc32(images, zlib.crc32(rows, zlib.crc32((digest + own).encode())))


def _head(digest: str, text: str) -> _Head | None:
    """None: of what is not readable."""
    if _digest(text) != digest:
        raise ValueError("a damaged head")
    if not text:
        return None
    spec, shared, names, words = json.loads(text)
    fields = vars(spec_from_json(spec))
    del fields["seeds"]
    return _Head(fields, shared, tuple(names), tuple(words))


def _records(rows: Iterable[tuple], heads: Mapping[str, _Head | None], store: Store) -> Iterator[Record]:
    store.skipped = []
    for name, _, digest, text, numbers, images, crc in rows:
        if _sum(digest, text, numbers, images) != crc:
            raise ValueError("a damaged row")
        head = heads[digest]
        if head is None:
            store.skipped.append(f"{store.folder / 'runs' / name}{text}")
            continue
        own = json.loads(text)
        spec = Spec(**head.spec, seeds=Seeds(**own.pop("seeds")))
        object.__setattr__(spec, "key", name.rpartition("/")[2])  # as was found when the file was read, and dear
        matrix = np.frombuffer(numbers).reshape(-1, len(head.names))
        members = Columns(head.names, head.words, matrix, np.frombuffer(images, "S16"))
        yield Record(spec, members=members, **head.rest, **own)
