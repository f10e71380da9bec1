"""Notes what a plugin under test changes in this process, and what it prints."""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lso_bench.process import lasting_threads
from lso_bench.testing.promise import UnmetRequirementError
from lso_bench.vae.containment import contained
from lso_bench.vae.random_numbers import Numbers, passing

PRINTED = "stdout, by printing"
THREADS = "the threads that run, by one that is no daemon and has not ended"
OFTEN = 2  # times that a method changes something, before that is its doing: a library may do so when first imported


class Watch:
    """What plugin code changed, by the method that did."""

    def __init__(self) -> None:
        self._changes: dict[str, Counter[str]] = {}

    @contextmanager
    def during(self, method: str, numbers: Numbers = passing, times: int = 1) -> Iterator[None]:
        """Within, `method` of the plugin runs, as in a run; what it prints is shown on stderr.

        Args:
            method: "score", say.
            numbers: the global random numbers that it draws.
            times: as how many calls it counts.

        Raises:
            vae.containment.ExitError: it raised what ends a program.
        """
        with tempfile.TemporaryFile("w+", errors="replace") as out:
            changed, threads = list[str](), lasting_threads()
            try:
                with contained(numbers, out) as changed:
                    yield
            finally:
                out.seek(0)
                if printed := out.read():
                    sys.stderr.write(printed)
                    changed.append(PRINTED)
                if {*lasting_threads()} - {*threads}:
                    changed.append(THREADS)
                self._changes.setdefault(method, Counter()).update(times * [*dict.fromkeys(changed)])

    def check(self) -> None:
        """Refuse a plugin that changed anything.

        Raises:
            BrokenPromiseError: names the methods, and what each changed.
        """
        often = {m: [k for k, n in names.items() if n >= OFTEN] for m, names in self._changes.items()}
        if changes := [f"{method} changes {', '.join(names)}" for method, names in often.items() if names]:
            raise UnmetRequirementError(
                f"wanted the rest of the program left as it is, got code where {'; '.join(changes)}; put back what you "
                "change (a run does so for you), and print to stderr"
            )
