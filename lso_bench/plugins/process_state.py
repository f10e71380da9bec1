"""Parts of a process's state that all code in it shares, each with a function to read and one to set it."""

import locale
import logging
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR1
AUTOCAST = "cpu", "cuda"  # devices
TINY = 5e-324  # the smallest double: a product of it is 0 where denormal numbers are flushed


class Part(NamedTuple):
    """Part of the state of this process that all code in it shares."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # it was deleted


def _default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)  # a default device slows every call down


def _environment(before: dict[Any, Any]) -> None:
    """Set the environment variables that differ. Copies of `os.environ` take a hundred times as long."""
    for key in _variables().keys() - before.keys():
        del os.environb[key]
    for key, value in before.items() - _variables().items():
        os.environb[key] = value


def _variables() -> dict[Any, Any]:
    return os.environ._data.copy()  # pyright: ignore[reportAttributeAccessIssue]


def _filters() -> tuple[Any, list[Any]]:
    return warnings.filters, [*warnings.filters]


def _set_filters(before: tuple[Any, list[Any]]) -> None:
    with warnings.catch_warnings():
        pass  # leaving the context clears Python's cache of filter decisions
    warnings.filters, warnings.filters[:] = before  # pyright: ignore[reportAttributeAccessIssue]


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in SIGNALS]


def _set_handlers(before: list[Any]) -> None:
    for number, handler in zip(SIGNALS, before, strict=True):
        if handler is not None:  # None: not installed by Python, which cannot install it again
            signal.signal(number, handler)


def _locale() -> list[str]:
    return locale.setlocale(locale.LC_ALL).split(";")  # one text a category, or one for all


def _backend() -> str:
    """Return matplotlib's backend; empty for the one that draws files, or if none is chosen."""
    rc = getattr(sys.modules.get("matplotlib"), "rcParams", {})
    chosen = dict.get(rc, "backend")  # rcParams' own lookup would choose a backend
    return chosen.lower() if isinstance(chosen, str) and chosen.lower() != "agg" else ""


def _set_backend(before: str) -> None:
    dict.__setitem__(sys.modules["matplotlib"].rcParams, "backend", before or "agg")


def _cudnn() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32


def _set_cudnn(before: tuple[bool, ...]) -> None:
    cudnn = torch.backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = before  # pyright: ignore[reportAttributeAccessIssue]


def _log() -> tuple[int, list[Any]]:
    return logging.root.level, [*logging.root.handlers]


def _set_log(before: tuple[int, list[Any]]) -> None:
    logging.root.setLevel(before[0])
    logging.root.handlers[:] = before[1]


def _alarm_is_set() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _set_alarm(before: bool) -> None:
    if not before:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _temporary() -> str | None:
    try:
        return tempfile.gettempdir()
    except OSError:
        return None  # no folder can be written


def _autocast() -> tuple[int, bool, list[tuple[bool, torch.dtype]]]:
    """Return the number of entered autocasts, whether they cache cast weights, and the settings of each device."""
    entered = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    devices = [(torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in AUTOCAST]
    return entered, torch.is_autocast_cache_enabled(), devices


def _set_autocast(before: tuple[int, bool, list[tuple[bool, torch.dtype]]]) -> None:
    """Restore the state; the cache of cast weights is cleared, as at the end of the outermost autocast."""
    entered, cached, devices = before
    for _ in range(_autocast()[0] - entered):
        torch.autocast_decrement_nesting()
    for _ in range(entered - _autocast()[0]):
        torch.autocast_increment_nesting()
    torch.clear_autocast_cache()
    torch.set_autocast_cache_enabled(cached)
    for device, (enabled, dtype) in zip(AUTOCAST, devices, strict=True):
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)


PARTS = (
    Part("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Part("the default device", lambda: torch.empty(0).device, _default_device),
    Part("the gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    Part("the number of threads", torch.get_num_threads, torch.set_num_threads),
    Part("deterministic algorithms", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    Part("the precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    Part("cuDNN's settings", _cudnn, _set_cudnn),
    Part("autocast", _autocast, _set_autocast),
    Part("anomaly detection", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    Part("the flushing of denormal numbers", lambda: TINY * 1.0 == 0.0, torch.set_flush_denormal),
    Part("NumPy's error handling", np.geterr, lambda before: np.seterr(**before)),
    Part("the working directory", _folder, lambda before: before is None or os.chdir(before)),
    Part("the environment variable", _variables, _environment),
    Part("sys.path", lambda: [*sys.path], lambda before: sys.path.__setitem__(slice(None), before)),
    Part("warning filters", _filters, _set_filters),
    Part("signal handlers", _handlers, _set_handlers),
    Part("a pending alarm", _alarm_is_set, _set_alarm),
    Part("the root logger", _log, _set_log),
    Part("the folder of temporary files", _temporary, lambda before: setattr(tempfile, "tempdir", before)),
    Part("the locale", _locale, lambda before: locale.setlocale(locale.LC_ALL, ";".join(before))),
    Part("matplotlib's backend", _backend, _set_backend),
    Part("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
)
