"""Folder of one run: read its record, and publish a finished run there.

A run takes its folder by one rename, which the system refuses where files stand. A failed run is replaced from inside:
its folder is held open and its files are moved out of it, so a run that took the folder in the meantime is never
touched. Hence a good run survives any concurrent writing. There are no locks. A kill at any moment leaves the old
record, the new one, or an empty folder that `recover` fills.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lso_bench.errors import DamagedError
from lso_bench.record import Record
from lso_bench.store import result_files
from lso_bench.store.schema import record_from

RESULT = "result.json"
RETRYABLE = ("failed", "timeout")  # statuses of runs that may be tried again
MEND = "delete its folder and run again"  # remedy for a damaged run
KEY = re.compile("[0-9a-f]{16}")
NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)  # errors of renaming a folder onto a folder with files
NO_FSYNC = (
    errno.EINVAL,
    errno.ENOTSUP,
    errno.EBADF,
    errno.ENOSYS,
)  # errors where folders cannot be synced: older CIFS, shared folders, FUSE
TRIES = 1000  # attempts, each lost to another writer; a writer publishes once, so this limit is never reached

State = Literal["absent", "again", "done", "damaged"]


class Standing(NamedTuple):
    """State of a run's folder, its record if readable, and the reason and the remedy if damaged."""

    state: State
    record: Record | None = None
    why: str = ""


def read(place: Path) -> Record:
    """Return the record in a run's folder, without trace and tensors.

    Raises:
        ValueError: the record is unreadable; the message says where and why.
    """
    return _read(place)[0]


def _read(place: Path) -> tuple[Record, dict[str, Any]]:
    """Return the record, as `read` does, and the parsed result.json."""
    try:
        record = record_from(raw := result_files.result(place))
    except OSError as error:
        raise ValueError(f"{place}: {error.strerror}: {RESULT}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{place}: {type(error).__name__}: {error}") from error
    if record.spec.key != place.name:
        raise ValueError(f"{place}: ValueError: holds the run {record.spec.key}")
    return record, raw


def judge(place: Path) -> Standing:
    """Return the state of a run's folder.

    A failed run has the state `again`: it may be tried again. A run that lacks a file named in its result is damaged
    and has a record. The contents of these files are not checked.
    """
    try:
        return _read_state(place)
    except ValueError as error:
        if _is_free(place):
            return Standing("absent")
        damage = error
    try:
        return _read_state(place)  # another writer may have published in the meantime
    except ValueError:
        return Standing("damaged", why=f"{damage}; {_mend(damage)}.")


def _read_state(place: Path) -> Standing:
    record, raw = _read(place)
    names = raw.get("sha256")
    if lost := _first_missing(place, names if isinstance(names, dict) else {}):
        return Standing("damaged", record, f"{lost}; {MEND}.")
    return Standing("again" if record.status in RETRYABLE else "done", record)


def _first_missing(place: Path, names: Iterable[str]) -> str:
    """Return the first of these files that is missing or no plain file, with the reason; empty if all are present."""
    for name in names:
        try:
            result_files.check(place / name)
        except (OSError, ValueError) as error:
            return f"{place / name}: {error.strerror if isinstance(error, OSError) else error}"
    return ""


def publish(work: Path, place: Path) -> bool:
    """Move the finished run in the folder `work` to `place`, which must be free or hold a failed run.

    Returns:
        False if another writer was first.

    Raises:
        DamagedError: the result at `place` cannot be read.
        OSError: the folder cannot be written; `work` and the files at `place` are still present.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(TRIES):
        try:
            os.rename(work, place)
            return True
        except OSError as error:
            standing = judge(place)
            if standing.state == "done":
                return False
            if standing.state == "damaged":
                raise DamagedError(standing.why) from error
            if standing.state == "absent" and error.errno not in NOT_EMPTY:
                raise
        if standing.state == "again" and _replace(work, place, work.with_name(f"{work.name}.failed{attempt}")):
            return True
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(place))


def recover(work: Path, place: Path) -> None:
    """Move a good run that waits in the folder `work` to `place`, if it is complete and `place` is free.

    A run waits if its writer was killed after emptying the folder of a failed run, or if a damaged result was in its
    way.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        if _is_free(place) and _is_whole(work) and status(work) not in RETRYABLE:
            os.rename(work, place)


def sync(path: Path) -> None:
    """Wait until a file is on the disk, or the entries of a folder if its file system supports that.

    Raises:
        OSError: the sync failed.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in NO_FSYNC or not path.is_dir():
            raise
    finally:
        os.close(opened)


def _is_free(place: Path) -> bool:
    """Return whether a run can be renamed to `place`: it does not exist, or is an empty folder."""
    try:
        return not os.listdir(place)
    except FileNotFoundError:
        return not os.path.lexists(place)
    except OSError:
        return False


def _mend(damage: ValueError) -> str:
    if isinstance(damage.__cause__, PermissionError):
        return "give yourself the right to read it, and run again"
    if "newer than" in str(damage):
        return "or give another --results"
    return MEND


@contextmanager
def _failed_run(place: Path) -> Iterator[int | None]:
    """Open the folder of a failed run; None if it no longer holds one.

    A folder that held a failed run never holds a good one, because a good run arrives as a folder of its own. So every
    operation through the open folder affects that failed run, or fails.
    """
    try:
        folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        is_unchanged = judge(place).state == "again" and os.path.samestat(os.fstat(folder), os.lstat(place))
        yield folder if is_unchanged else None
    except FileNotFoundError:
        yield None
    finally:
        os.close(folder)


def _replace(work: Path, place: Path, aside: Path) -> bool:
    """Put `work` in the place of a failed run, whose files go to `aside`; return False if another writer was faster."""
    failed_too = status(work) in RETRYABLE
    with _failed_run(place) as folder:
        if folder is None:
            return False
        if failed_too:
            return _move(work / RESULT, folder)
        aside.mkdir()
        for name in sorted(os.listdir(folder), key=RESULT.__eq__):  # move the record last
            with suppress(FileNotFoundError):
                os.rename(name, aside / name, src_dir_fd=folder)
        try:
            os.rename(work, place)
            return True
        except OSError as error:
            if error.errno in NOT_EMPTY:
                return False
            _move(aside / RESULT, folder)
            raise


def _move(result: Path, folder: int) -> bool:
    """Move a result into an open folder; return False if that folder is gone."""
    try:
        os.rename(result, RESULT, dst_dir_fd=folder)
        return True
    except FileNotFoundError:
        return False


def status(place: Path) -> str:
    """Return the status in a result, unchecked."""
    return result_files.result(place)["status"]


def _is_whole(work: Path) -> bool:
    """Return whether all files that the result names exist with their hashes."""
    hashes = result_files.result(work)["sha256"]
    return all(
        hashlib.sha256(result_files.content(work / name)).hexdigest() == digest for name, digest in hashes.items()
    )
