"""The folder of one run: the record that stands in it, and how a finished run takes its place.

A folder is taken by one rename, which the system refuses where files stand. A run that failed gives way from inside:
its folder is held open and its files are moved out of it, so that a run which took the folder meanwhile is never
touched. Hence a good run stays whatever else is written at the same time. There are no locks, and a kill at any moment
leaves the old record, the new one, or an empty folder that `recover` fills.
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
from lso_bench.store import safe_read
from lso_bench.store.schema import record_from

RESULT = "result.json"
RETRYABLE = ("failed", "timeout")  # status of a run that gives way to another try
MEND = "delete its folder and run again"  # of a run that is damaged
KEY = re.compile("[0-9a-f]{16}")
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)  # why a folder is not renamed onto another
NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS)  # of a folder: older CIFS, shared folders, FUSE
TRIES = 1000  # each after another writer was faster; a writer publishes once, so that so many are never needed

State = Literal["absent", "again", "done", "damaged"]


class Standing(NamedTuple):
    """The state of a run's folder, with its record where it can be read, and where it is damaged with the reason and
    the mend."""

    state: State
    record: Record | None = None
    why: str = ""


def read(place: Path) -> Record:
    """The record that stands in a run's folder, without trace and tensors.

    Raises:
        ValueError: it is not readable; says where and why.
    """
    return _read(place)[0]


def _read(place: Path) -> tuple[Record, dict[str, Any]]:
    """As `read`, with what its result.json says."""
    try:
        record = record_from(raw := safe_read.result(place))
    except OSError as error:
        raise ValueError(f"{place}: {error.strerror}: {RESULT}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{place}: {type(error).__name__}: {error}") from error
    if record.spec.key != place.name:
        raise ValueError(f"{place}: ValueError: holds the run {record.spec.key}")
    return record, raw


def judge(place: Path) -> Standing:
    """The state of a run's folder. A run that failed is `again`: it may be tried again. One that lacks a file which its
    result names is damaged, and has a record; whether these files are as they were is not looked at.
    """
    try:
        return _readable(place)
    except ValueError as error:
        if _is_free(place):
            return Standing("absent")
        damage = error
    try:
        return _readable(place)  # another writer may have taken it between two looks
    except ValueError:
        return Standing("damaged", why=f"{damage}; {_mend(damage)}.")


def _readable(place: Path) -> Standing:
    record, raw = _read(place)
    names = raw.get("sha256")
    if lost := _lost(place, names if isinstance(names, dict) else {}):
        return Standing("damaged", record, f"{lost}; {MEND}.")
    return Standing("again" if record.status in RETRYABLE else "done", record)


def _lost(place: Path, names: Iterable[str]) -> str:
    """The first of these files that is gone or no plain file, and why; empty where all are there."""
    for name in names:
        try:
            safe_read.check(place / name)
        except (OSError, ValueError) as error:
            return f"{place / name}: {error.strerror if isinstance(error, OSError) else error}"
    return ""


def publish(work: Path, place: Path) -> bool:
    """Put the finished run in the folder `work` at `place`, onto nothing or a run that failed.

    Returns:
        False: another writer was first.

    Raises:
        DamagedError: what stands at `place` cannot be read.
        OSError: the folder cannot be written; `work` and what stood at `place` are still there.
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
            if standing.state == "absent" and error.errno not in TAKEN:
                raise
        if standing.state == "again" and _replace(work, place, work.with_name(f"{work.name}.failed{attempt}")):
            return True
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(place))


def recover(work: Path, place: Path) -> None:
    """Put a good run that waits in the folder `work` where it belongs, if it is whole and nothing stands there.

    It waits where its writer was killed after it had emptied the folder of a failed run, or where a damaged result
    stood in its way.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        if _is_free(place) and _is_whole(work) and status(work) not in RETRYABLE:
            os.rename(work, place)


def sync(path: Path) -> None:
    """Wait until a file is on the disk, or the names in a folder where its file system can say so.

    Raises:
        OSError: it is not.
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
    """Whether a run can be renamed there: nothing stands there, or an empty folder."""
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
def _failed(place: Path) -> Iterator[int | None]:
    """The folder of a failed run, held open; None where it no longer is one.

    A folder that held a failed run never holds a good one, which comes as a folder of its own. So whatever is done by
    way of the open folder is done to that failed run or fails.
    """
    try:
        folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        is_it = judge(place).state == "again" and os.path.samestat(os.fstat(folder), os.lstat(place))
        yield folder if is_it else None
    except FileNotFoundError:
        yield None
    finally:
        os.close(folder)


def _replace(work: Path, place: Path, aside: Path) -> bool:
    """Put `work` in the place of a failed run, whose files go to `aside`; False where another writer was faster."""
    failed_too = status(work) in RETRYABLE
    with _failed(place) as folder:
        if folder is None:
            return False
        if failed_too:
            return _moved(work / RESULT, folder)
        aside.mkdir()
        for name in sorted(os.listdir(folder), key=RESULT.__eq__):  # the record last
            with suppress(FileNotFoundError):
                os.rename(name, aside / name, src_dir_fd=folder)
        try:
            os.rename(work, place)
            return True
        except OSError as error:
            if error.errno in TAKEN:
                return False
            _moved(aside / RESULT, folder)
            raise


def _moved(result: Path, folder: int) -> bool:
    """Move a result into an open folder; False where that folder is gone."""
    try:
        os.rename(result, RESULT, dst_dir_fd=folder)
        return True
    except FileNotFoundError:
        return False


def status(place: Path) -> str:
    """The status that a result says, unchecked."""
    return safe_read.result(place)["status"]


def _is_whole(work: Path) -> bool:
    """Whether all files that its result names are there, with their hashes."""
    hashes = safe_read.result(work)["sha256"]
    return all(hashlib.sha256(safe_read.content(work / name)).hexdigest() == digest for name, digest in hashes.items())
