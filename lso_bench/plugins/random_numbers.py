"""Global random numbers of torch, NumPy and Python for one piece of code alone."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator
from torch import Tensor

# Context in which code draws global random numbers; `passing` explains the arguments.
Numbers = Callable[[list[str], bool], AbstractContextManager[None]]


class Stream:
    """Global random numbers of torch, NumPy and Python for one plugin alone.

    Args:
        seed: of all of them.
        free: whether the plugin may seed them, and draw from NumPy's.
    """

    def __init__(self, seed: int, free: bool = False):
        self.seed, self._free = seed, free
        self._torch = torch.Generator().manual_seed(seed).get_state()
        self._cuda: Tensor | None = None
        self._numpy, self._python = np.random.MT19937(seed), random.Random(seed).getstate()

    @contextmanager
    def drawn(self, changed: list[str], watched: bool = False) -> Iterator[None]:
        """Let global random numbers come from this stream within the context; arguments as in `passing`."""
        watched &= not self._free
        with _restored_generators():
            self._begin()
            before, numbers = torch.initial_seed(), watched and _numpy_state()
            try:
                yield
            finally:
                self._torch, self._python = torch.get_rng_state(), random.getstate()
                self._cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
                changed += ["torch's seed"] * (not self._free and torch.initial_seed() != before)
                changed += ["NumPy's global random numbers"] * (watched and _numpy_state() != numbers)

    def _begin(self) -> None:
        torch.set_rng_state(self._torch)
        random.setstate(self._python)
        set_bit_generator(self._numpy)  # copying its state takes ten times as long
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(self.seed) if self._cuda is None else torch.cuda.set_rng_state(self._cuda)


@contextmanager
def _restored_generators() -> Iterator[None]:
    """Restore the global random generators of torch, NumPy and Python at the end of the context."""
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
    """Let draws from torch's and Python's generators continue from their states, and restore these at the end.

    Args:
        changed: receives the names of generators that were seeded.
        watched: whether it also receives NumPy's if it was drawn from; this takes a while.
    """
    with _restored_generators():
        set_bit_generator(_spare_generator())
        seed, numbers = torch.initial_seed(), watched and _numpy_state()
        try:
            yield
        finally:
            changed += ["torch's seed"] * (torch.initial_seed() != seed)
            changed += ["NumPy's global random numbers"] * (watched and _numpy_state() != numbers)


@contextmanager
def shared(changed: list[str], watched: bool) -> Iterator[None]:
    """Let draws change the generators of the whole process."""
    yield


@cache
def _spare_generator() -> np.random.MT19937:
    """Return NumPy's generator for code without a stream."""
    return np.random.MT19937(0)


def _numpy_state() -> tuple[int, bytes]:
    """Return the state of NumPy's global generator. (Python's is not compared: libraries draw from it.)"""
    state: Any = get_bit_generator().state
    return state["state"]["pos"], state["state"]["key"].tobytes()
