"""Runs one after the other in this process."""

from collections.abc import Iterator, Sequence

from lso_bench.executors import ExecutionOptions, Queue
from lso_bench.executors.worker import work
from lso_bench.record import Record
from lso_bench.runner.cache import Loaded
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun


def serial(planned: Sequence[PlannedRun], store: Store, options: ExecutionOptions) -> Iterator[Record]:
    """Yield the record of each finished run. There is no time limit, and no restart if this process dies."""
    loaded, queue = Loaded(), Queue(planned, store, options.say)
    while queue:
        if attempt := queue.take():
            yield work(attempt.planned, store, options.place, loaded, attempt.provenance("none"))
        else:
            queue.wait()
