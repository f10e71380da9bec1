"""Carry out planned runs, and print how they went."""

from collections.abc import Collection
from dataclasses import replace

import typer

from lso_bench.commands.exit_status import INCOMPLETE, UNUSABLE
from lso_bench.commands.output import say

SHOWN = 4  # runs named in a message


def carry_out(planned: list, store, options, quiet: bool) -> set[str]:
    """Carry out the runs that are not done, and print which are done or damaged; return the keys of damaged ones."""
    from lso_bench.study import completeness

    state = completeness.check(planned, store)
    for line in state.damaged():
        say(line)
    if done := state.are("done"):
        say(f"{len(done)} of {len(state.runs)} runs are done already, in {store.folder}.")
        _print_other_versions(r for r in state.records if state.states[r.spec.key] == "done")
    _execute(state.are("absent", "again"), store, options, quiet)
    return {*state.damages}


def print_end(state, named_keys: Collection[str] = ()) -> None:
    """Print which planned runs are missing or damaged, and exit with their status; `named_keys` were printed before."""
    for line in (*state.damaged(except_keys=named_keys), *state.incomplete()):
        say(line)
    if not state.complete:
        raise typer.Exit(UNUSABLE if state.damages else INCOMPLETE)


def _execute(todo: list, store, options, quiet: bool) -> None:
    """Carry out these runs, and print a line for each finished one."""
    from lso_bench.analysis.caveats import stood_still
    from lso_bench.executors.local import local
    from lso_bench.executors.ray_cluster import cluster
    from lso_bench.executors.serial import serial
    from lso_bench.progress import study_progress
    from lso_bench.store.heartbeat import Heartbeat, clear, heartbeat

    clear(store.folder)  # heartbeats of killed processes
    if not todo:
        return
    failed, keys = 0, {p.spec.key for p in todo}
    carry_out = serial if options.isolation == "none" else cluster if options.address else local
    with (
        heartbeat(store.folder, Heartbeat(f"{len(todo)} runs", total=len(todo))) as note,
        study_progress(quiet, store.folder, keys) as count,
    ):
        for done, record in enumerate(carry_out(todo, store, replace(options, say=say)), 1):
            failed += record.status != "ok"
            note.update(done, len(todo), failed=failed)
            count(done, failed)
            summary = f"{record.seconds.get('total', 0):.0f} s" if record.status == "ok" else record.error or ""
            warning = stood_still(record)
            say(f"{record.spec.title}: {record.status}, {summary}{f'; {warning}' if warning else ''}")


def _print_other_versions(records) -> None:
    """Print a line for each task and searcher of which another version made some of these runs."""
    from lso_bench.study.grid import runs_of_other_versions

    for plugin_name, keys in runs_of_other_versions(records).items():
        suffix = f", {len(keys) - SHOWN} more" * (len(keys) > SHOWN)
        examples = ", ".join(f"runs/{k[:2]}/{k}" for k in keys[:SHOWN]) + suffix
        say(
            f"{len(keys)} of them were made by another version of {plugin_name}, and are not run again: give another "
            f"--results, or move them away ({examples})."
        )
