"""Record the changes that a plugin under test makes in this process, and its printed output."""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lso_bench.plugins.containment import contained
from lso_bench.plugins.random_numbers import Numbers, passing
from lso_bench.process import lasting_threads
from lso_bench.testing.promise import UnmetRequirementError

PRINTED = "stdout, by printing"
THREADS = "the threads that run, by one that is no daemon and has not ended"
OFTEN = 2  # changes that count as the method's own; a library may cause one when first imported


class Watch:
    """Changes by plugin code, by method."""

    def __init__(self) -> None:
        self._changes: dict[str, Counter[str]] = {}

    @contextmanager
    def during(self, method: str, numbers: Numbers = passing, times: int = 1) -> Iterator[None]:
        """Record changes while `method` of the plugin runs, as in a run; its printed output goes to stderr.

        Args:
            method: name of the method, such as "score".
            numbers: global random numbers that the method draws.
            times: number of calls that this one counts for.

        Raises:
            lso_bench.plugins.containment.ExitError: the method raised an exception that ends a program.
        """
        with tempfile.TemporaryFile("w+", errors="replace") as out:
            changed, threads, modules = list[str](), lasting_threads(), len(sys.modules)
            try:
                with contained(numbers, out) as changed:
                    yield
            finally:
                changed = changed if len(sys.modules) == modules else []  # else a library's, on its first import
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
            UnmetRequirementError: names the methods and their changes.
        """
        repeated = {m: [k for k, n in names.items() if n >= OFTEN] for m, names in self._changes.items()}
        if changes := [f"{method} changes {', '.join(names)}" for method, names in repeated.items() if names]:
            raise UnmetRequirementError(
                f"wanted the rest of the program left as it is, got code where {'; '.join(changes)}; put back what you "
                "change (a run does so for you), and print to stderr"
            )
