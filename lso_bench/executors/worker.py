"""One run from its plan to its published record, in whatever process."""

import resource
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from lso_bench import streams
from lso_bench.errors import DamagedError, LsoBenchError, PluginError
from lso_bench.executors import Attempt, ExecutionOptions, LostRun
from lso_bench.limits import is_want_of_memory
from lso_bench.plotting.numbers import fixed
from lso_bench.process import settle_memory
from lso_bench.record import Record
from lso_bench.runner.cache import Loaded
from lso_bench.runner.loop import Progress
from lso_bench.runner.run import Place, run, versions_of
from lso_bench.store.heartbeat import Heartbeat, HeartbeatFile, heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun
from lso_bench.vae.containment import stdout_to_stderr
from lso_bench.vae.errors import UnusableError


def work(
    planned: PlannedRun,
    store: Store,
    place: Place,
    loaded: Loaded,
    beside: dict[str, Any],
    local_copy: PlannedRun | None = None,
) -> Record:
    """Its record, published with `beside` among its versions, without trace and tensors; done already, that of then.

    A run that fails for a reason of its own (a task that raises, say) has a record of status `failed`. `at_home`: the
    same run with the files that it names where they lie on this machine, if that is elsewhere.

    Raises:
        UnusableError, vae.errors.UnusableError: data, checkpoint or results folder cannot be used.
    """
    spec, standing = planned.spec, store.judge(planned.spec)
    if standing.state == "done" and standing.record:
        return standing.record
    if standing.state == "damaged":  # what was computed could not be put there
        return Record(spec, "failed", error=standing.why)
    try:
        with heartbeat(store.folder, Heartbeat(spec.title, spec.key)) as note:
            record = attempt(local_copy or planned, place, loaded, partial(_report, note))
            return publish(replace(record, spec=spec, versions=record.versions | beside), store)
    except Exception as error:  # beside the run itself, as a thread or a file that no memory is left for
        if not (short := short_of_memory(error)):
            raise
        return publish(Record(spec, "failed", versions=beside, error=short), store)


def _report(note: HeartbeatFile, p: Progress) -> None:
    note.update(p.step, p.steps, f"{p.left} of {p.members} at their end, mean loss {fixed(p.mean_loss, 2)}")


def attempt(planned: PlannedRun, place: Place, loaded: Loaded, report: Any) -> Record:
    """The record of a run, whatever it raises but for an error of ours that ends everything."""
    try:
        return run(planned.spec, planned.checkpoint, place, report, loaded, planned.identity)
    except PluginError as error:
        why = short_of_memory(error) or str(error)
    except (LsoBenchError, UnusableError) as error:
        if not (why := short_of_memory(error)):
            raise
    except Exception as error:  # whatever else
        why = short_of_memory(error) or f"{type(error).__name__}: {error}"
    return Record(planned.spec, "failed", versions=versions_of(place), error=why)


def publish(record: Record, store: Store) -> Record:
    """The record as it stands in the folder: this one, or that of another who was first.

    One that cannot be kept, or whose folder holds a damaged result, is a failed record that says so; others go on.
    """
    try:
        if store.add(record):
            return replace(record, trace=None, costs=None, tensors={})
        return store.get(record.spec)
    except PluginError as error:
        failed = Record(record.spec, "failed", error=str(error))
        with suppress(PluginError):  # not even this can be written where a plugin has changed what writes it
            store.add(failed)
        return failed
    except DamagedError as error:
        return Record(record.spec, "failed", error=str(error))


def outcome(answer: Record | LostRun, attempt: Attempt, store: Store, options: ExecutionOptions) -> Record | None:
    """The published record of an attempt that is over; None where its process died and it is to be tried again."""
    if isinstance(answer, Record):
        return answer
    if not answer.late:
        attempt.deaths.append(answer.why)
        if len(attempt.deaths) <= options.retries:
            return None
    why = answer.why if answer.late else f"{answer.why}; tries: {len(attempt.deaths)}"
    status, beside = "timeout" if answer.late else "failed", attempt.provenance(options.isolation)
    return publish(Record(attempt.planned.spec, status, versions=beside, error=why), store)


def settle(threads: int, memory: int | None) -> None:
    """In a worker process, before its first run: its threads, and the bytes that it may take, on Linux.

    What is printed there goes to stderr, for stdout is the command's.
    """
    streams.settle()
    settle_memory()
    stdout_to_stderr()
    torch.set_num_threads(threads)
    if memory is not None and sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def short_of_memory(error: BaseException) -> str:
    """That the memory was too small, and the mend; empty where the error is another."""
    if not is_want_of_memory(error):
        return ""
    most, said = resource.getrlimit(resource.RLIMIT_DATA)[0], str(error).splitlines() or [type(error).__name__]
    limit = "" if most == resource.RLIM_INFINITY else f" (limit {most / 2**30:.3g} GB)"
    return f"out of memory{limit}: {said[0].rstrip(':')}; give it more by --memory or fewer --jobs"
