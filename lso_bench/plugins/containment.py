"""Run plugin code so that its changes to this process are undone when it ends."""

import ctypes
import io
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from traceback import walk_tb
from typing import Any, TextIO

import torch

from lso_bench.errors import EndedError
from lso_bench.files.sanitize import one_line
from lso_bench.plugins import sources
from lso_bench.plugins.process_state import PARTS
from lso_bench.plugins.random_numbers import Numbers, passing

NAMED = 3  # most environment variables that a message names
# Shapes in errors of torch.distributions
SHAPES = r" \(Tensor of shape \([\d, ]*\)\)|\((?:\w+: torch\.Size\(\[[\d, ]*\]\)(?:, )?)+\)"
LONGEST = 400  # characters of an error's text; a network that lacks its weights names every tensor


class ExitError(Exception):
    """Exit of plugin code: it raised SystemExit, KeyboardInterrupt or another exception that ends a program."""


def reason(error: Exception) -> str:
    """Return the text of a message about an error that plugin code raised, in one line without a final stop."""
    text = str(error) if isinstance(error, ExitError) else f"{type(error).__name__}: {error}"
    text, dumped, _ = text.partition(", but found invalid values")  # torch.distributions print all of them
    text = re.sub(SHAPES, "", text) + ", got others" if dumped else text
    text = one_line(" ".join(text.split()), LONGEST).rstrip(".")
    return ", ".join([text, *getattr(error, "__notes__", ())])  # the text that was scored


def place(error: Exception) -> str:
    """Return the file and line of the user's code that raised an error, as ` (mine.py, line 5)`; empty if none did."""
    for frame, line in reversed([*walk_tb(error.__traceback__)]):
        if sources.is_own(str(frame.f_globals.get("__name__", ""))):
            file = Path(frame.f_code.co_filename).name
            is_cell = file.startswith("<") or "ipykernel" in frame.f_code.co_filename
            return f" ({'a cell' if is_cell else file}, line {line})"
    return ""


@dataclass(frozen=True)
class _Call:
    """A running call of plugin code."""

    changed: list[str]
    watched: bool  # whether to detect changes of random numbers, which takes half a millisecond


_call: ContextVar[_Call | None] = ContextVar("call", default=None)


@contextmanager
def contained(numbers: Numbers = passing, out: TextIO | None = None) -> Iterator[list[str]]:
    """Run plugin code: its output goes to stderr, and its changes of `PARTS` are undone at the end.

    Args:
        numbers: the global random numbers that it draws.
        out: a file for its output, instead of stderr.

    Yields:
        The names of what it changed; filled at the end.

    Raises:
        ExitError: it raised an exception that ends a program, without Ctrl-C or a signal to this program.
    """
    changed, outer = list[str](), _call.get()
    watched = out is not None or (outer is not None and outer.watched)
    token = _call.set(_Call(changed, watched))
    with ExitStack() as stack:
        stack.callback(lambda: outer.changed.extend(changed) if outer is not None else None)
        stack.callback(_call.reset, token)
        if out or outer is None:
            stack.enter_context(_redirect_stdout(out))
        stack.enter_context(numbers(changed, watched))
        stack.callback(_restore, [part.read() for part in PARTS], changed)
        try:
            yield changed
        except (Exception, GeneratorExit):
            raise
        except BaseException as error:
            if _ends_this_program(error):
                raise
            raise ExitError(f"{type(error).__name__}: {error}".removesuffix(": ")) from error


def _ends_this_program(error: BaseException) -> bool:
    """Return whether an exception is Ctrl-C or a signal that ends this program, not raised by a plugin."""
    if isinstance(error, KeyboardInterrupt):
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, EndedError)


def _restore(before: Sequence[Any], changed: list[str]) -> None:
    for part, state in zip(PARTS, before, strict=True):
        if (after := part.read()) != state:
            changed.append(_describe_change(part.name, state, after))
            part.write(state)


def _describe_change(name: str, before: Any, after: Any) -> str:
    if isinstance(before, dict):
        keys = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        return f"{name} {', '.join(os.fsdecode(k) for k in keys[:NAMED])}{' ...' * (len(keys) > NAMED)}"
    if isinstance(before, bool | int | str | torch.dtype | torch.device):
        return f"{name} (now {after})"
    return name


@contextmanager
def _redirect_stdout(out: TextIO | None) -> Iterator[None]:
    """Redirect what Python or C prints to `out`, else to stderr."""
    sink = out or sys.stderr or io.StringIO()
    if sys.stdout:
        sys.stdout.flush()
    saved = _duplicate(1)
    _redirect(1, out.fileno() if out else 2)
    try:
        with redirect_stdout(sink):
            yield
    finally:
        sink.flush()
        _libc().fflush(None)
        if saved is None:
            os.close(1)
        else:
            os.dup2(saved, 1)
            os.close(saved)


def _duplicate(stream: int) -> int | None:
    try:
        return os.dup(stream)
    except OSError:
        return None  # closed


def _redirect(stream: int, target: int) -> None:
    """Redirect the descriptor `stream` to `target`; to the null device, if `target` is closed."""
    try:
        os.dup2(target, stream)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream)
        os.close(null)


def stdout_to_stderr() -> None:
    """Redirect stdout to stderr for the rest of this process."""
    _redirect(1, 2)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None)
