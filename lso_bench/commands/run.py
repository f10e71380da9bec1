"""The command `run`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lso_bench.api.execution import address_of, execution_options
from lso_bench.api.output import say
from lso_bench.commands.dry_run import print_plan
from lso_bench.commands.ending import print_end
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
    names,
    numbers,
    outside,
)
from lso_bench.commands.setting_options import setting_values, with_setting_options
from lso_bench.commands.view import All, Table, View, Wide, show, tables_named
from lso_bench.errors import UsageError, unknown

if TYPE_CHECKING:
    from lso_bench.analysis.comparison import Comparison
    from lso_bench.store.store import Store
    from lso_bench.study.completeness import Completeness


@with_setting_options(before="compile")
def run(
    context: typer.Context,
    study: Annotated[
        Path | None, typer.Argument(parser=outside, help="A study file (TOML), instead of models, tasks and how.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help=f"{LISTED}; `lso-bench list models`, or your own ./mine.py.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help=f"{LISTED}. Settings follow (ink:target=0.3); ./file.py is a name, too.")
    ] = None,
    searcher: Annotated[list[str], typer.Option(help=f"{LISTED}.")] = ["adam"],  # noqa: B006
    starts: Annotated[
        list[str] | None, typer.Option(help="random, encoder, other, origin, data; several latents: data:10.")
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="none, box:3, ball:10, quantiles:0.01; several with commas.")
    ] = None,
    decoding: Annotated[
        str | None, typer.Option(help="teacher, mean, soft, sample or greedy [default: what fits].")
    ] = None,
    seed: Annotated[list[str], typer.Option(help="Of starts, and of searches; several with commas.")] = ["0"],  # noqa: B006
    search_seed: Annotated[list[str] | None, typer.Option(help="Of searches [default: --seed].")] = None,
    train_seed: Annotated[list[str], typer.Option(help="Of the models' training; several with commas.")] = ["0"],  # noqa: B006
    protocol: Annotated[
        str,
        typer.Option(help="quick: 1,000 steps at most, to threshold 0.01 of target images; paper: to 0."),
    ] = "quick",
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
    arch: Arch = None,
    latent: Latent = 32,
    device: Device = "auto",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Draw what was found, and figures, at the end.")
    ] = True,
    table: Table = None,
    show_all: All = False,
    wide: Wide = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run.")] = False,
    **settings,
) -> None:
    """Search the latent spaces of models on tasks, and compare what was run. What is done already is not run again."""
    from lso_bench.api.study import Study
    from lso_bench.executors.resources import RequestedResources
    from lso_bench.store.store import Store
    from lso_bench.study import completeness
    from lso_bench.study import grid as studies
    from lso_bench.study.recorded_weights import check_weights

    view = View("json" if json else "table", tables_named(table), show_all, wide)
    described = (
        Study.from_file(_checked_file(study, context))
        if study
        else Study.from_grid(*_study_from_options(**context.params))
    )
    requested = RequestedResources(jobs, timeout, retries, isolation, memory, gpu, address_of(executor, address))
    execution_options(1, device, data_dir, compile, capture, requested)  # report faults before a long planning
    if shard:
        studies.shard([], shard)
    planned = described.plan(quiet, shard, results)
    typed = {} if study else {k: context.params[k] or None for k in studies.PROTOCOLS["paper"]}
    for line in studies.plan_warnings(planned, replace(described.protocol, **typed), described.grid.train_seeds):
        say(line)
    options = execution_options(len(planned), device, data_dir, compile, capture, requested)
    if dry_run:
        print_plan(planned, results, options.jobs or 1, json)
        return
    check_weights(planned, results)
    from lso_bench.api.carry_out import carry_out

    store = Store(results)
    named_keys = carry_out(planned, store, options, quiet, say)
    state = completeness.check(planned, store)
    from lso_bench.api.results import Results  # only now: neither a plan nor a worker needs SciPy's statistics

    compared = Results([store], state.records, {r.spec.key: store for r in state.records}).compare()
    show(compared, replace(view, folders=[results]), complete=True, quiet=quiet)
    if pictures:
        _draw(store, state, compared.comparison)
    print_end(state.without(store.damaged_files), named_keys)


def _draw(store: "Store", state: "Completeness", comparison: "Comparison") -> None:
    """Write the pictures of the runs, and say where they are."""
    from lso_bench.report import figure_files  # imported late: an error of a name shall not wait for matplotlib

    checkpoints = {key: run.checkpoint for key, run in state.runs.items()}
    for path in figure_files.pictures(store, state.records, checkpoints, comparison):
        say(f"{'texts' if path.suffix == '.txt' else 'picture'}: {path}")


def _checked_file(path: Path, context: typer.Context) -> Path:
    """Return the path of a study file, with which the command line may only say where and how to run it."""
    allowed = {"study", "compile", "capture", "device", "results", "data_dir", "json", "quiet", "dry_run", "shard"}
    allowed |= {"pictures", "jobs", "timeout", "retries", "isolation", "memory", "gpu", "executor", "address"}
    allowed |= {"table", "show_all", "wide"}
    command_line = [k for k in context.params if getattr(context.get_parameter_source(k), "name", "") == "COMMANDLINE"]
    if misplaced := [f"--{k.replace('_', '-')}" for k in command_line if k not in allowed]:
        if not path.exists():
            raise UsageError(f"No study file {str(path)!r}; if it is a name, say which: --task {path}, for one.")
        raise UsageError(f"With a study file, say {', '.join(misplaced)} in it.")
    return path


def _study_from_options(model: list[str] | None, task: list[str] | None, protocol: str, **options) -> tuple:
    """Return grid and protocol from the options of `run`."""
    from lso_bench.study import grid as study
    from lso_bench.study.file import rule

    if not (model and task):
        raise UsageError("Wanted --model and --task, or a study file; `lso-bench list tasks` shows what there is.")
    if protocol not in study.PROTOCOLS:
        raise unknown("protocol", protocol, list(study.PROTOCOLS))
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
    starts = None if listed["starts"] is None else tuple(listed["starts"])
    settings = setting_values(options)
    settings |= {k: v for k, v in study.PROTOCOLS[protocol].items() if settings[k] is None}
    return grid, study.Protocol(starts=starts, decoding=options["decoding"], **settings)
