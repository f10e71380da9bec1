"""Run the code of a plugin so that what it changes in this process ends with it."""

import ctypes
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, TextIO

import torch

from lso_bench.vae.errors import EndedError
from lso_bench.vae.process_state import PARTS
from lso_bench.vae.random_numbers import Numbers, passing

NAMED = 3  # environment variables at most that a message names


class ExitError(Exception):
    """Plugin code that raised what ends a program: SystemExit, KeyboardInterrupt or the like."""


def reason(error: Exception) -> str:
    """Return what a message says of an error that plugin code raised."""
    return str(error) if isinstance(error, ExitError) else f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class _Call:
    """A call of plugin code that has not ended."""

    changed: list[str]
    watched: bool  # whether changes of random numbers are looked for, which takes half a millisecond


_call: ContextVar[_Call | None] = ContextVar("call", default=None)


@contextmanager
def contained(numbers: Numbers = passing, out: TextIO | None = None) -> Iterator[list[str]]:
    """Within, a plugin's code runs: what it prints goes to stderr, what it changes of `PARTS` is put back at the end.

    Args:
        numbers: the global random numbers that it draws.
        out: a file that what it prints goes to instead.

    Yields:
        What it changed, in words; filled at the end.

    Raises:
        ExitError: it raised what ends a program, and nobody had asked this program to end.
    """
    changed, around = list[str](), _call.get()
    watched = out is not None or (around is not None and around.watched)
    token = _call.set(_Call(changed, watched))
    with ExitStack() as stack:
        stack.callback(lambda: around.changed.extend(changed) if around is not None else None)
        stack.callback(_call.reset, token)
        if out or around is None:
            stack.enter_context(_aside(out))
        stack.enter_context(numbers(changed, watched))
        stack.callback(_restore, [part.read() for part in PARTS], changed)
        try:
            yield changed
        except (Exception, GeneratorExit):
            raise
        except BaseException as error:
            if _is_for_all(error):
                raise
            raise ExitError(f"{type(error).__name__}: {error}".removesuffix(": ")) from error


def _is_for_all(error: BaseException) -> bool:
    """Whether it is Ctrl-C or a signal that ends this program, and no plugin's doing."""
    if isinstance(error, KeyboardInterrupt):
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, EndedError)


def _restore(before: Sequence[Any], changed: list[str]) -> None:
    for part, state in zip(PARTS, before, strict=True):
        if (after := part.read()) != state:
            changed.append(_said(part.name, state, after))
            part.write(state)


def _said(name: str, before: Any, after: Any) -> str:
    if isinstance(before, dict):
        keys = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        return f"{name} {', '.join(os.fsdecode(k) for k in keys[:NAMED])}{' ...' * (len(keys) > NAMED)}"
    if isinstance(before, bool | int | str | torch.dtype | torch.device):
        return f"{name} (now {after})"
    return name


@contextmanager
def _aside(out: TextIO | None) -> Iterator[None]:
    """What is printed, in Python or in C, goes to `out`, else to stderr."""
    shown = out or sys.stderr or io.StringIO()
    if sys.stdout:
        sys.stdout.flush()
    was = _copy(1)
    _point(1, out.fileno() if out else 2)
    try:
        with redirect_stdout(shown):
            yield
    finally:
        shown.flush()
        _libc().fflush(None)
        if was is None:
            os.close(1)
        else:
            os.dup2(was, 1)
            os.close(was)


def _copy(stream: int) -> int | None:
    try:
        return os.dup(stream)
    except OSError:
        return None  # it is closed


def _point(stream: int, target: int) -> None:
    """Let `stream` write where `target` does; nowhere, if that is closed."""
    try:
        os.dup2(target, stream)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)


def stdout_to_stderr() -> None:
    """Let the whole process write to stderr what it writes to stdout, to its end."""
    _point(1, 2)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None)
