"""Time of a search by phase."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Seconds by phase. A phase inside another pauses it, so the phases sum to the total."""

    def __init__(self, settle: Callable[[], None] = lambda: None):
        self.seconds: dict[str, float] = {}
        self._settle = settle  # waits for pending work on a device
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Count the time of the body for `phase`."""
        self._add_elapsed()
        self._running.append(phase)
        try:
            yield
        finally:
            self._add_elapsed()
            self._running.pop()

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def _add_elapsed(self) -> None:
        self._settle()
        now = time.perf_counter()
        if self._running:
            phase = self._running[-1]
            self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._since
        self._since = now
