"""Carry out planned runs, and tell how they went."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from lso_bench.analysis.caveats import stood_still
from lso_bench.executors import ExecutionOptions
from lso_bench.progress import study_progress
from lso_bench.record import Record
from lso_bench.store.heartbeat import Heartbeat, clear, heartbeat
from lso_bench.store.store import Store
from lso_bench.study import completeness
from lso_bench.study.grid import PlannedRun, runs_of_other_versions

SHOWN = 4  # runs named in a message
Say = Callable[[str], None]


def carry_out(
    planned: Sequence[PlannedRun], store: Store, options: ExecutionOptions, quiet: bool, say: Say
) -> set[str]:
    """Carry out the runs that are not done, and say which are done or damaged; return the keys of damaged ones."""
    state = completeness.check(planned, store)
    for line in state.damaged():
        say(line)
    if done := state.are("done"):
        say(f"{len(done)} of {len(state.runs)} runs are done already, in {store.folder}.")
        _say_other_versions((r for r in state.records if state.states[r.spec.key] == "done"), say)
    _execute(state.are("absent", "again"), state.short_titles, store, options, quiet, say)
    return {*state.damages}


def _execute(
    todo: list[PlannedRun],
    titles: Mapping[str, str],
    store: Store,
    options: ExecutionOptions,
    quiet: bool,
    say: Say,
) -> None:
    """Carry out these runs, and say a line for each finished one, with its title by key."""
    from lso_bench.executors.local import local
    from lso_bench.executors.ray_cluster import cluster
    from lso_bench.executors.serial import serial

    clear(store.folder)  # heartbeats of killed processes
    if not todo:
        return
    failed, keys = 0, {p.spec.key for p in todo}
    execute = serial if options.isolation == "none" else cluster if options.address else local
    with (
        heartbeat(store.folder, Heartbeat(f"{len(todo)} runs", total=len(todo))) as note,
        study_progress(quiet, store.folder, keys, titles) as count,
    ):
        for done, record in enumerate(execute(todo, store, replace(options, say=say)), 1):
            failed += record.status != "ok"
            note.update(done, len(todo), failed=failed)
            count(done, failed)
            summary = f"{record.seconds.get('total', 0):.0f} s" if record.status == "ok" else record.error or ""
            warning = stood_still(record)
            say(f"{titles[record.spec.key]}: {record.status}, {summary}{f'; {warning}' if warning else ''}")


def _say_other_versions(records: Iterable[Record], say: Say) -> None:
    """Say a line for each task and searcher of which another version made some of these runs."""
    for plugin_name, keys in runs_of_other_versions(records).items():
        suffix = f", {len(keys) - SHOWN} more" * (len(keys) > SHOWN)
        examples = ", ".join(f"runs/{k[:2]}/{k}" for k in keys[:SHOWN]) + suffix
        say(
            f"{len(keys)} of them were made by another version of {plugin_name}, and are not run again: give another "
            f"--results, or move them away ({examples})."
        )
