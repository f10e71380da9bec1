"""Notice of random numbers that code draws, from whatever generator."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

SOURCES = (  # of generators that are seeded
    (np.random, "default_rng"),
    (np.random, "RandomState"),
    (np.random, "seed"),
    (random, "seed"),
    (random.Random, "seed"),
)


class Draws(TorchDispatchMode):
    """Within, `drawn` becomes true when PyTorch draws, or when a generator of NumPy or of Python is seeded."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = False
        self._before = [getattr(holder, name) for holder, name in SOURCES]

    def __enter__(self) -> "Draws":
        for (holder, name), begin in zip(SOURCES, self._before, strict=True):
            setattr(holder, name, _Noticed(begin, self))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for (holder, name), begin in zip(SOURCES, self._before, strict=True):
            setattr(holder, name, begin)

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: Sequence = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.drawn |= torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


class _Noticed:
    """Stands for a function or class that seeds a generator, also where a class is compared with it."""

    def __init__(self, begin: Callable, draws: Draws):
        self._begin, self._draws = begin, draws

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        self._draws.drawn = True
        return self._begin(*arguments, **more)

    def __get__(self, instance: object, owner: type) -> Any:
        return lambda *arguments, **more: self(instance, *arguments, **more)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._begin)  # pyright: ignore[reportArgumentType]
