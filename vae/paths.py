"""Paths from outside (options, environment variables, study files), in which `~` and `~name` are home folders."""

import os
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

from lso_bench.vae.errors import UnusableError
from lso_bench.vae.notation import read, write


def from_outside(path: str | Path) -> Path:
    """The path that a user wrote.

    Raises:
        UnusableError: no home folder is known for its `~`.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        start = Path(path).parts[0]
        known = f"no user {start[1:]!r} is known here" if start != "~" else "no home folder is known here"
        raise UnusableError(
            f"{str(path)!r} begins with a home folder, and {known}; write the path in full, or ./{path}."
        ) from error


def plugin(text: str) -> str:
    """The name of a plugin or data set, with its settings, whose file or folder may begin with `~`.

    Raises:
        UnusableError: as `from_outside`.
    """
    name, settings = read(text)
    return write(str(from_outside(name)), settings) if name.startswith("~") else text


def cache_folder() -> Path:
    """Where what can be made again is kept: `LSO_BENCH_CACHE`, else the user's cache."""
    return from_outside(os.environ.get("LSO_BENCH_CACHE") or user_cache_path("lso-bench"))


def data_folder() -> Path:
    """Where data sets lie unless said otherwise: `LSO_BENCH_DATA`, else a folder in the user's cache."""
    return from_outside(os.environ.get("LSO_BENCH_DATA") or cache_folder() / "data")


def own_folder() -> Path:
    """Where checkpoints that the user trained lie: `LSO_BENCH_CHECKPOINTS`, else a folder of the user's data."""
    return from_outside(os.environ.get("LSO_BENCH_CHECKPOINTS") or user_data_path("lso-bench") / "checkpoints")
