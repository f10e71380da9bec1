"""Run many specs, and publish each as soon as it is done."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lso_bench.drive import Progress
from lso_bench.errors import LsoBenchError, PluginError
from lso_bench.record import Record
from lso_bench.run import run
from lso_bench.store import Store
from lso_bench.study import Planned
from vae.errors import UnusableError


def execute(
    planned: Sequence[Planned],
    store: Store,
    data_dir: Path | None = None,
    device: str = "cpu",
    report: Callable[[Planned, Progress], None] = lambda *_: None,
    compile: bool = False,
) -> Iterator[Record]:
    """The record of each, one after the other in this process, published before it is given.

    A run that fails for a reason of its own (a task that raises, say) is published as `failed` and the others go
    on; missing or damaged data and checkpoints end everything, for nothing else would fare better.
    """
    for each in planned:
        try:
            record = run(each.spec, each.checkpoint, data_dir, device, lambda p, each=each: report(each, p), compile)
        except (LsoBenchError, UnusableError):
            raise
        except PluginError as error:
            record = Record(each.spec, "failed", error=str(error))
        except Exception as error:  # whatever else
            record = Record(each.spec, "failed", error=f"{type(error).__name__}: {error}")
        store.add(record)
        yield record
