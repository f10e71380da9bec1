"""Global random numbers of torch, NumPy and Python that one piece of code alone draws."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator
from torch import Tensor

# Within, code draws global random numbers; see `passing` for the arguments.
Numbers = Callable[[list[str], bool], AbstractContextManager[None]]


class Stream:
    """Global random numbers that one plugin alone draws: those of torch, NumPy and Python.

    Args:
        seed: of all of them.
        free: whether it may seed them, and draw from NumPy's.
    """

    def __init__(self, seed: int, free: bool = False):
        self.seed, self._free = seed, free
        self._torch = torch.Generator().manual_seed(seed).get_state()
        self._cuda: Tensor | None = None
        self._numpy, self._python = np.random.MT19937(seed), random.Random(seed).getstate()

    @contextmanager
    def drawn(self, changed: list[str], watched: bool = False) -> Iterator[None]:
        """Within, whoever draws global random numbers draws from this stream; as `passing`."""
        watched &= not self._free
        with _kept():
            self._begin()
            before, numbers = torch.initial_seed(), watched and _numbers()
            try:
                yield
            finally:
                self._torch, self._python = torch.get_rng_state(), random.getstate()
                self._cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
                changed += ["torch's seed"] * (not self._free and torch.initial_seed() != before)
                changed += ["NumPy's global random numbers"] * (watched and _numbers() != numbers)

    def _begin(self) -> None:
        torch.set_rng_state(self._torch)
        random.setstate(self._python)
        set_bit_generator(self._numpy)  # a copy of its state takes ten times as long
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(self.seed) if self._cuda is None else torch.cuda.set_rng_state(self._cuda)


@contextmanager
def _kept() -> Iterator[None]:
    """The global random generators of torch, NumPy and Python stand afterwards where they stood."""
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    cpu, python, numpy = torch.get_rng_state(), random.getstate(), get_bit_generator()
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        random.setstate(python)
        set_bit_generator(numpy)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)


@contextmanager
def passing(changed: list[str], watched: bool) -> Iterator[None]:
    """Draws from torch's and Python's generators go on from where these stand, and leave them there.

    Args:
        changed: takes the names of those that were seeded.
        watched: whether it also takes NumPy's, if they were drawn from; this takes a while.
    """
    with _kept():
        set_bit_generator(_spare())
        seed, numbers = torch.initial_seed(), watched and _numbers()
        try:
            yield
        finally:
            changed += ["torch's seed"] * (torch.initial_seed() != seed)
            changed += ["NumPy's global random numbers"] * (watched and _numbers() != numbers)


@contextmanager
def shared(changed: list[str], watched: bool) -> Iterator[None]:
    """Draws are those of the whole process."""
    yield


@cache
def _spare() -> np.random.MT19937:
    """NumPy's numbers for whoever has no stream."""
    return np.random.MT19937(0)


def _numbers() -> tuple[int, bytes]:
    """The state of NumPy's global generator. (Python's is not looked at: libraries draw from it for themselves.)"""
    state: Any = get_bit_generator().state
    return state["state"]["pos"], state["state"]["key"].tobytes()
