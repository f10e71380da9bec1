"""The records of a results folder by way of a database in the user's cache, for reading 10,000 files is slow.

A run is read from its file once; it counts as the same as long as its folder's name, and the inode, time and size of
its result are. Whatever is wrong with the database, it is made anew, or left aside, and the answer is the same.
"""

import gc
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np

from lso_bench.columns import Columns
from lso_bench.record import Record
from lso_bench.spec import SCHEMA, spec_from_json
from lso_bench.store import Store
from vae.cache import cache_folder

FORMAT = 1  # of the database; one of another format is another file
WAIT = 2.0  # seconds for another process that writes it
SCALARS = ("status", "counts", "seconds", "versions", "error", "joint", "usual")
TABLE = (
    "CREATE TABLE IF NOT EXISTS runs "
    "(name TEXT PRIMARY KEY, stamp TEXT, head TEXT, layout TEXT, rows BLOB, images BLOB, crc INT)"
)


def records(store: Store) -> list[Record]:
    """What `list(store)` gives, in the same order; what is not readable is named in `store.skipped`."""
    path = path_of(store.folder)
    for _ in range(2):
        try:
            return _through(path, store)
        except OSError:
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                break  # locked, full or not to be written
            _discard(path)  # of another form
        except (sqlite3.Error, ValueError, KeyError, TypeError, AttributeError):
            _discard(path)  # garbage
    return list(store)


def path_of(folder: Path) -> Path:
    """Where the database of a results folder lies; deleting it costs time, nothing else."""
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return cache_folder() / "index" / f"{name}-{FORMAT}.{SCHEMA}.sqlite"


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _through(path: Path, store: Store) -> list[Record]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=WAIT)) as database:
        database.execute(TABLE)
        there = store.stamps()
        known = dict(database.execute("SELECT name, stamp FROM runs"))
        with database:
            database.executemany("DELETE FROM runs WHERE name = ?", [(n,) for n in known.keys() - there.keys()])
            fresh = sorted(n for n, stamp in there.items() if known.get(n) != stamp)
            database.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", _read(store, fresh, there))
        rows = sorted(row for row in database.execute("SELECT * FROM runs") if there.get(row[0]) == row[1])
    if len(rows) < len(there):
        raise ValueError("another process writes other runs")
    gc.disable()  # it looks again and again at what was just made, for a third of the time
    try:
        return [*_records(rows, store)]
    finally:
        gc.enable()


def _read(store: Store, names: Iterable[str], stamps: dict[str, str]) -> Iterator[tuple]:
    for name in names:
        try:
            record = store.read(name)
        except ValueError as error:
            why = str(error).removeprefix(str(store.folder))  # which may be called otherwise the next time
            yield _summed(name, stamps[name], json.dumps(why), "", b"", b"")
            continue
        members = Columns.of(record.members)
        head = {k: getattr(record, k) for k in SCALARS} | {"spec": asdict(record.spec), "key": record.spec.key}
        layout = json.dumps([members.names, members.words])
        yield _summed(name, stamps[name], json.dumps(head), layout, members.rows.tobytes(), members.images.tobytes())


def _summed(*row: str | bytes) -> tuple:
    return (*row, _sum(row))


def _sum(row: tuple) -> int:
    _, _, head, layout, rows, images = row
    return zlib.crc32(images, zlib.crc32(rows, zlib.crc32((head + layout).encode())))


def _records(rows: Iterable[tuple], store: Store) -> Iterator[Record]:
    store.skipped = []
    for *row, crc in rows:
        if _sum(tuple(row)) != crc:
            raise ValueError("a damaged row")
        _, _, text, layout, numbers, images = row
        head = json.loads(text)
        if isinstance(head, str):
            store.skipped.append(f"{store.folder}{head}")
            continue
        spec = spec_from_json(head.pop("spec"))
        vars(spec)["key"] = head.pop("key")  # found when the file was read, and dear
        names, words = _layout(layout)
        matrix = np.frombuffer(numbers).reshape(-1, len(names))
        yield Record(spec, members=Columns(names, words, matrix, np.frombuffer(images, "S16")), **head)


@lru_cache(maxsize=1024)
def _layout(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names, words = json.loads(text)
    return tuple(names), tuple(words)
