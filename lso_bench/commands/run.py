"""The command `run`."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.bounds import WHOLE
from lso_bench.commands.compare import show
from lso_bench.commands.exit_status import INCOMPLETE, UNUSABLE
from lso_bench.commands.options import (
    LISTED,
    Address,
    Arch,
    Capture,
    DataDir,
    Device,
    Executor,
    Gpu,
    Isolation,
    Jobs,
    Json,
    Latent,
    Memory,
    Quiet,
    Results,
    Retries,
    Timeout,
    address_of,
    execution_options,
    limits,
    names,
    numbers,
    outside,
)
from lso_bench.commands.output import say
from lso_bench.errors import UsageError, unknown
from lso_bench.files.sanitize import printable

SHOWN = 4  # runs named in a message


def run(
    context: typer.Context,
    study: Annotated[
        Path | None, typer.Argument(parser=outside, help="A study file (TOML), instead of models, tasks and how.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help=f"{LISTED}; `lso-bench list models`.")] = None,
    task: Annotated[
        list[str] | None, typer.Option(help=f"{LISTED}. Settings follow (ink:target=0.3); ./file.py is a name, too.")
    ] = None,
    searcher: Annotated[list[str], typer.Option(help=f"{LISTED}.")] = ["adam"],  # noqa: B006
    starts: Annotated[
        list[str] | None, typer.Option(help="random, encoder, other, origin, data; several codes: data:10.")
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="none, box:3, ball:10, quantiles:0.01; several with commas.")
    ] = None,
    decoding: Annotated[str | None, typer.Option(help="teacher, mean, sample or greedy [default: what fits].")] = None,
    seed: Annotated[list[str], typer.Option(help="Of starts, and of searches; several with commas.")] = ["0"],  # noqa: B006
    search_seed: Annotated[list[str] | None, typer.Option(help="Of searches [default: --seed].")] = None,
    train_seed: Annotated[list[str], typer.Option(help="Of the models' training; several with commas.")] = ["0"],  # noqa: B006
    budget: Annotated[
        int | None, typer.Option(min=1, max=WHOLE, help="Evaluations a problem [default: 300 without gradients].")
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, max=WHOLE, help="Steps down the gradient [default: --budget, else the protocol's]."),
    ] = None,
    protocol: Annotated[str, typer.Option(help="quick: 300 steps; paper: down to threshold 0.")] = "quick",
    patience: Annotated[
        int | None, typer.Option(min=1, max=WHOLE, help="Steps without a better score; then a problem ends.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.0, help="Of a run's search; then it ends.")] = None,
    thresholds: Annotated[
        list[str] | None, typer.Option(help="Changes of the loss at which a search has converged [default: 0.05 to 0].")
    ] = None,
    check_every: Annotated[int, typer.Option(min=1, max=WHOLE, help="Steps between two looks at that change.")] = 100,
    joint: Annotated[bool, typer.Option("--joint", help="All problems stay until their mean has converged.")] = False,
    compile: Annotated[
        bool, typer.Option("--compile", help="The decoder by torch.compile; needs a C++ compiler.")
    ] = False,
    capture: Capture = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help='Leave some runs out: "model=vae searcher=bo"; may stand several times.')
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(help='Do some otherwise: "searcher=bo budget=100"; of several that fit a run the last counts.'),
    ] = None,
    shard: Annotated[str | None, typer.Option(help="Only the 3rd of 16 parts of the runs: 3/16.")] = None,
    executor: Executor = "local",
    address: Address = None,
    jobs: Jobs = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    isolation: Isolation = None,
    memory: Memory = None,
    gpu: Gpu = 1.0,
    arch: Arch = "small",
    latent: Latent = 32,
    device: Device = "auto",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Draw what was found, and figures, at the end.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run.")] = False,
) -> None:
    """Search the latent spaces of models on tasks, and compare what was run. What is done already is not run again."""
    from lso_bench.executors.resources import RequestedResources
    from lso_bench.progress import planning
    from lso_bench.store.store import Store
    from lso_bench.study import completeness
    from lso_bench.study import grid as studies

    grid, run_protocol = _read_study(study, context) if study else _study_from_options(**context.params)
    requested = RequestedResources(jobs, timeout, retries, isolation, memory, gpu, address_of(executor, address))
    execution_options(1, device, data_dir, compile, capture, requested)  # report faults before a long planning
    if shard:
        studies.shard([], shard)
    planned = studies.plan(grid, run_protocol, planning(quiet))
    defaults = studies.Protocol
    changed = {
        "--max-steps": run_protocol.max_steps if study else max_steps,
        "--joint": run_protocol.joint,
        "--thresholds": run_protocol.thresholds != defaults.thresholds,
        "--check-every": run_protocol.check_every != defaults.check_every,
    }
    descents = [option for option, is_changed in changed.items() if is_changed]
    for line in studies.plan_warnings(planned, descents):
        say(line)
    options = execution_options(len(planned), device, data_dir, compile, capture, requested)
    planned = studies.shard(planned, shard) if shard else planned
    if dry_run:
        _dry_run(planned, results, options.jobs or 1, json)
        return
    store = Store(results)
    named_keys = carry_out(planned, store, options, quiet)
    state = completeness.check(planned, store)
    from lso_bench.analysis.comparison import compare  # only now: neither a plan nor a worker needs SciPy's statistics

    comparison = compare(state.records, lambda _: store)
    show(comparison, "json" if json else "table")
    if pictures:
        from lso_bench.report import figure_files  # imported late: an error of a name shall not wait for matplotlib

        for path in figure_files.pictures(
            store, state.records, {p.spec.key: p.checkpoint for p in planned}, comparison
        ):
            say(f"picture: {path}")
    print_end(state.without(store.damaged_files), named_keys)


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


def _read_study(path: Path, context: typer.Context) -> tuple:
    """Read grid and protocol from a study file; the command line may then only say where and how to run it."""
    from lso_bench.study import file

    allowed = {"study", "compile", "capture", "device", "results", "data_dir", "json", "quiet", "dry_run", "shard"}
    allowed |= {"pictures", "jobs", "timeout", "retries", "isolation", "memory", "gpu", "executor", "address"}
    command_line = [k for k in context.params if getattr(context.get_parameter_source(k), "name", "") == "COMMANDLINE"]
    if misplaced := [f"--{k.replace('_', '-')}" for k in command_line if k not in allowed]:
        if not path.exists():
            raise UsageError(f"No study file {str(path)!r}; if it is a name, say which: --task {path}, for one.")
        raise UsageError(f"With a study file, say {', '.join(misplaced)} in it.")
    return file.read(path)


def _study_from_options(model: list[str] | None, task: list[str] | None, protocol: str, **options) -> tuple:
    """Return grid and protocol from the options of `run`."""
    from lso_bench.study import grid as study
    from lso_bench.study.file import rule

    if not (model and task):
        raise UsageError("Wanted --model and --task, or a study file; `lso-bench list tasks` shows what there is.")
    if protocol not in study.STEPS:
        raise unknown("protocol", protocol, list(study.STEPS))
    listed = {k: names(k, options[k]) if options[k] else None for k in ("region", "starts")}
    grid = study.Grid(
        models=names("model", model),
        tasks=names("task", task),
        searchers=names("searcher", options["searcher"]),
        seeds=numbers("seed", options["seed"]),
        search_seeds=numbers("search-seed", options["search_seed"]) if options["search_seed"] else None,
        train_seeds=numbers("train-seed", options["train_seed"]),
        regions=listed["region"],
        arch=options["arch"],
        latent=options["latent"],
        rules=tuple(rule(text, kind) for kind in ("exclude", "override") for text in options[kind] or ()),
    )
    if options["seconds"] == float("inf"):
        raise UsageError("--seconds wants a finite number; without it there is no limit.")
    settings = {k: options[k] for k in ("decoding", "budget", "seconds", "patience", "check_every", "joint")}
    settings["seconds"] = None if settings["seconds"] is None else settings["seconds"] + 0.0  # no minus zero
    settings |= {"thresholds": limits(options["thresholds"])} if options["thresholds"] else {}
    starts = None if listed["starts"] is None else tuple(listed["starts"])
    max_steps = study.STEPS[protocol] if protocol != "quick" else None
    return grid, study.Protocol(starts=starts, max_steps=options["max_steps"] or max_steps, **settings)


def _execute(todo: list, store, options, quiet: bool) -> None:
    """Carry out these runs, and print a line for each finished one."""
    from dataclasses import replace

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


def _dry_run(planned: list, results: Path, jobs: int, json: bool) -> None:
    """Print the grid, which runs are done, and the estimated time of the rest."""
    from lso_bench.store.results_folder import MARKER_FILE
    from lso_bench.store.store import Store
    from lso_bench.study import completeness
    from lso_bench.study.estimate import estimate

    store = Store(results, readonly=True) if (results / MARKER_FILE).exists() else None
    state = completeness.check(planned, store)
    labels = {"done": "done", "damaged": "damaged"}
    rows = [(p, labels.get(state.states[p.spec.key], "to do")) for p in planned]
    if json:
        print(_as_json(rows))
    for p, label in () if json else rows:
        print(printable(f"{p.spec.key}  {label:5}  {p.spec.title}  ({p.checkpoint.name})"))
    for line in state.damaged():
        say(line)
    todo, damaged = state.are("absent", "again"), f", {len(state.damages)} damaged" * bool(state.damages)
    estimated = estimate(todo, store or [])
    say(f"{len(state.runs)} runs: {len(state.are('done'))} done, {len(todo)} to do{damaged}.")
    if estimated.measured:
        say(
            f"About {estimated.seconds / jobs:.0f} s for {estimated.measured} of them, {jobs} at a time, "
            "by runs like them."
        )
    if estimated.unknown:
        say(f"No run like {len(estimated.unknown)} of them was measured yet, as {estimated.unknown[0]}.")


def _as_json(rows: list) -> str:
    """Return a JSON list with an object per run; `state`: to do, done or damaged."""
    from json import dumps

    fields = [(p.spec.key, label, p.spec.title, str(p.checkpoint)) for p, label in rows]
    return dumps([dict(zip(("key", "state", "title", "checkpoint"), f, strict=True)) for f in fields], indent=1)
