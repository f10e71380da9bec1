"""Detect random numbers that code draws, from any generator."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

SOURCES = (  # functions and classes that seed a generator
    (np.random, "default_rng"),
    (np.random, "RandomState"),
    (np.random, "seed"),
    (random, "seed"),
    (random.Random, "seed"),
)


class Draws(TorchDispatchMode):
    """Context in which `drawn` becomes true if PyTorch draws, or if a generator of NumPy or of Python is seeded."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = False
        self._originals = [getattr(module, name) for module, name in SOURCES]

    def __enter__(self) -> "Draws":
        for (module, name), original in zip(SOURCES, self._originals, strict=True):
            setattr(module, name, _SeedingNotice(original, self))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for (module, name), original in zip(SOURCES, self._originals, strict=True):
            setattr(module, name, original)

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: Sequence = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.drawn |= torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


class _SeedingNotice:
    """Wrapper of a function or class that seeds a generator; it works in class comparisons as well."""

    def __init__(self, original: Callable, draws: Draws):
        self._original, self._draws = original, draws

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self._draws.drawn = True
        return self._original(*arguments, **options)

    def __get__(self, instance: object, owner: type) -> Any:
        return lambda *arguments, **options: self(instance, *arguments, **options)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._original)  # pyright: ignore[reportArgumentType]


class GlobalDraws:
    """Context in which `drawn` becomes true if NumPy's global generator is drawn from."""

    def __init__(self) -> None:
        self.drawn = False
        self._before = b"", 0

    def __enter__(self) -> "GlobalDraws":
        self._before = _numpy_state()
        return self

    def __exit__(self, *error: object) -> None:
        self.drawn |= _numpy_state() != self._before


def _numpy_state() -> tuple[bytes, int]:
    state: Any = np.random.get_state(legacy=False)
    return state["state"]["key"].tobytes(), state["state"]["pos"]
