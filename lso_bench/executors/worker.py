"""One run from its plan to its published record, in any process."""

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
from lso_bench.plugins.containment import stdout_to_stderr
from lso_bench.process import settle_memory
from lso_bench.record import Record
from lso_bench.runner.cache import Loaded
from lso_bench.runner.loop import Progress
from lso_bench.runner.placement import Placement, versions_of
from lso_bench.runner.run import run
from lso_bench.store.heartbeat import Heartbeat, HeartbeatFile, heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun


def work(
    planned: PlannedRun,
    store: Store,
    place: Placement,
    loaded: Loaded,
    provenance: dict[str, Any],
    local_copy: PlannedRun | None = None,
) -> Record:
    """Carry out a run, publish its record, and return it without trace and tensors; a finished run is only read.

    A run that fails by itself, for example because a task raises, has a record of status `failed`.

    Args:
        provenance: entries for the versions of the record.
        local_copy: the same run with the paths of its files on this machine, if they differ.

    Raises:
        UnusableError: data, checkpoint or results folder cannot be used.
    """
    spec, standing = planned.spec, store.judge(planned.spec)
    if standing.state == "done" and standing.record:
        return standing.record
    if standing.state == "damaged":  # a new result could not be stored there
        return Record(spec, "failed", error=standing.why)
    try:
        with heartbeat(store.folder, Heartbeat(spec.title, spec.key)) as note:
            record = attempt(local_copy or planned, place, loaded, partial(_report, note))
            return publish(replace(record, spec=spec, versions=record.versions | provenance), store)
    except Exception as error:  # outside of the run itself, such as a thread or file that found no memory
        if not (memory_error := short_of_memory(error)):
            raise
        return publish(Record(spec, "failed", versions=provenance, error=memory_error), store)


def _report(note: HeartbeatFile, p: Progress) -> None:
    note.update(p.step, p.steps, f"{p.left} of {p.members} at their end, mean loss {fixed(p.mean_loss, 2)}")


def attempt(planned: PlannedRun, place: Placement, loaded: Loaded, report: Any) -> Record:
    """Return the record of a run; any exception gives a failed record, except errors that concern all runs."""
    try:
        return run(planned.spec, planned.checkpoint, place, report, loaded, planned.identity)
    except PluginError as error:
        why = short_of_memory(error) or str(error)
    except LsoBenchError as error:
        if not (why := short_of_memory(error)):
            raise
    except Exception as error:  # any error of a plugin
        why = short_of_memory(error) or f"{type(error).__name__}: {error}"
    return Record(planned.spec, "failed", versions=versions_of(place), error=why)


def publish(record: Record, store: Store) -> Record:
    """Publish a record, and return the one in the folder: this one, or that of a faster writer.

    A record that cannot be stored, or whose folder holds a damaged result, gives a failed record; other runs go on.
    """
    try:
        if store.add(record):
            return replace(record, trace=None, costs=None, tensors={})
        return store.get(record.spec)
    except PluginError as error:
        failed = Record(record.spec, "failed", error=str(error))
        with suppress(PluginError):  # a plugin may have changed the code that writes
            store.add(failed)
        return failed
    except DamagedError as error:
        return Record(record.spec, "failed", error=str(error))


def outcome(answer: Record | LostRun, attempt: Attempt, store: Store, options: ExecutionOptions) -> Record | None:
    """Return the published record of a finished attempt; None if its process died and it is to be tried again."""
    if isinstance(answer, Record):
        return answer
    if not answer.late:
        attempt.deaths.append(answer.why)
        if len(attempt.deaths) <= options.retries:
            return None
    why = answer.why if answer.late else f"{answer.why}; tries: {len(attempt.deaths)}"
    status, provenance = "timeout" if answer.late else "failed", attempt.provenance(options.isolation)
    return publish(Record(attempt.planned.spec, status, versions=provenance, error=why), store)


def settle(threads: int, memory: int | None) -> None:
    """Set up a worker process before its first run: its threads and, on Linux, its memory limit in bytes.

    Its standard output goes to stderr, because stdout belongs to the command.
    """
    streams.settle()
    settle_memory()
    stdout_to_stderr()
    torch.set_num_threads(threads)
    if memory is not None and sys.platform == "linux":
        hard_limit = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = memory if hard_limit == resource.RLIM_INFINITY else min(memory, hard_limit)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard_limit))


def short_of_memory(error: BaseException) -> str:
    """Return a message about lack of memory, with the remedy; empty for other errors."""
    if not is_want_of_memory(error):
        return ""
    limit_bytes, lines = resource.getrlimit(resource.RLIMIT_DATA)[0], str(error).splitlines() or [type(error).__name__]
    limit = "" if limit_bytes == resource.RLIM_INFINITY else f" (limit {limit_bytes / 2**30:.3g} GB)"
    return f"out of memory{limit}: {lines[0].rstrip(':')}; give it more by --memory or fewer --jobs"
