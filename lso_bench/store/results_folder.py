"""Results folder: its marker file, the entries of its runs, and the sweeping of its work in progress."""

import json
import os
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

from lso_bench.errors import UnusableError
from lso_bench.files.atomic_write import disk_error_reason
from lso_bench.spec import SCHEMA
from lso_bench.store import result_files
from lso_bench.store.run_folder import KEY, RESULT, recover, sync

MARKER_FILE = "lso-bench.json"  # file that marks a results folder
STALE = 24 * 3600  # seconds after which work in progress is swept
WAITING = "waits"  # in the name of a folder in tmp/ with a good run whose place was not free
EXPECTED_NAMES = {
    MARKER_FILE,
    "runs",
    "tmp",
    "metrics",
    "pictures",
    "traversals",
    "reproduction",
    "studies",
    "reference",
    "README.md",
    "lost+found",  # in the root of a fresh volume
}


def check(folder: Path) -> None:
    """Refuse a folder without a readable marker file, or of a newer schema.

    Raises:
        UnusableError: the message says what it is.
    """
    try:
        version = result_files.note(folder / MARKER_FILE)["format"]
        if type(version) is not int:
            raise ValueError(f"its format is {version!r}, no whole number")
    except FileNotFoundError as error:
        raise UnusableError(
            f"{folder} is no results folder (no {MARKER_FILE} in it); `lso-bench run` makes one."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnusableError(f"{folder / MARKER_FILE} cannot be read ({error}).") from error
    if version > SCHEMA:
        raise UnusableError(f"{folder} has format {version}, newer than {SCHEMA}; update lso-bench.")


def prepare(folder: Path) -> None:
    """Make a results folder, or check an existing one and sweep its work in progress.

    Raises:
        UnusableError: the folder has unrelated files, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARKER_FILE).exists():
            if unexpected := sorted(p.name for p in folder.iterdir() if is_foreign(p)):
                raise UnusableError(
                    f"{folder} is no results folder and not empty ({unexpected[0]}); give another --results."
                )
            mark = folder / f"{MARKER_FILE}.{uuid.uuid4().hex[:8]}"
            mark.write_text(json.dumps({"format": SCHEMA}))
            sync(mark)
            mark.replace(folder / MARKER_FILE)
        (folder / "tmp").mkdir(exist_ok=True)
        if not os.access(folder / "tmp", os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise UnusableError(
            f"Cannot write to {folder}: {disk_error_reason(error, folder)}; give another folder with --results."
        ) from error
    check(folder)
    _sweep(folder)


def _sweep(folder: Path) -> None:
    """Publish waiting runs of killed writers, and delete old work in progress. A linked tmp/ is left alone."""
    if (folder / "tmp").is_symlink():
        return
    for work in (folder / "tmp").iterdir():
        key, _, suffix = work.name.partition(".")
        waits = suffix.startswith(WAITING)
        try:
            if KEY.fullmatch(key) and (waits or run_path(folder, key).is_dir()):
                recover(work, run_path(folder, key))
            if not waits and time.time() - work.lstat().st_mtime > STALE:
                shutil.rmtree(work, ignore_errors=True) if work.is_dir() else work.unlink()
        except OSError:
            pass  # swept by another process, or not permitted


def run_path(folder: Path, key: str) -> Path:
    """Return the path of the folder of a run, which need not exist."""
    return folder / "runs" / key[:2] / key


def fingerprints(folder: Path) -> dict[str, str]:
    """Return, for each entry `ab/abcdef0123456789` among the runs, a text that changes with its result."""
    runs = folder / "runs"
    paths = [e.path for prefix in _entries(runs) for e in _run_entries(prefix)]
    return {path[len(f"{runs}/") :]: _fingerprint(path) for path in paths}


def unfinished(folder: Path) -> list[str]:
    """Return the keys of runs in progress, and of interrupted runs."""
    with suppress(PermissionError):
        names = {work.name.partition(".")[0] for work in _entries(folder / "tmp")}
        return sorted(name for name in names if KEY.fullmatch(name))
    return []


def is_foreign(path: Path) -> bool:
    """Return whether an entry shows that a folder is not for results alone.

    Hidden files do not, nor does another results folder inside.
    """
    return not (
        path.name in EXPECTED_NAMES or path.name.startswith((MARKER_FILE, ".")) or (path / MARKER_FILE).exists()
    )


def _entries(folder: Path | os.DirEntry) -> list[os.DirEntry]:
    """Return the entries of a folder except hidden files; empty if it is no folder."""
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if not e.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _run_entries(prefix: os.DirEntry) -> list[os.DirEntry]:
    """Return the entries of a folder of runs; the folder itself if it is no folder or cannot be read."""
    try:
        return _entries(prefix) if prefix.is_dir() else [prefix]
    except OSError:  # no permission, or a link to itself
        return [prefix]


def _fingerprint(run: str) -> str:
    try:
        stat = os.stat(f"{run}/{RESULT}")
    except OSError as error:
        return str(error.strerror)
    return f"{stat.st_ino} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_size}"
