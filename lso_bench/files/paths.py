"""Paths given by users (options, environment variables, study files), with `~` and `~name` for home folders."""

import os
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

from lso_bench.errors import UnusableError


def from_outside(path: str | Path) -> Path:
    """Return the path that a user wrote, with its home folder in full.

    Raises:
        UnusableError: the home folder of its `~` is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        start = Path(path).parts[0]
        problem = f"no user {start[1:]!r} is known here" if start != "~" else "no home folder is known here"
        raise UnusableError(
            f"{str(path)!r} begins with a home folder, and {problem}; write the path in full, or ./{path}."
        ) from error


def absolute(path: str | Path) -> Path:
    """Return the absolute path that a user wrote, which stays where it is when the working folder changes.

    Raises:
        UnusableError: as `from_outside`.
    """
    return from_outside(path).absolute()


def from_here(path: Path) -> Path:
    """Return a path as it is read from the working folder, if it lies in it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def cache_folder() -> Path:
    """Return the folder of files that can be made again: `LSO_BENCH_CACHE`, else the user's cache."""
    return from_outside(os.environ.get("LSO_BENCH_CACHE") or user_cache_path("lso-bench"))


def data_folder() -> Path:
    """Return the default folder of data sets: `LSO_BENCH_DATA`, else a folder in the user's cache."""
    return from_outside(os.environ.get("LSO_BENCH_DATA") or cache_folder() / "data")


def own_folder() -> Path:
    """Return the folder of the user's checkpoints: `LSO_BENCH_CHECKPOINTS`, else a folder of the user's data."""
    return from_outside(os.environ.get("LSO_BENCH_CHECKPOINTS") or user_data_path("lso-bench") / "checkpoints")
