"""The command line: read arguments, call, print. Nothing heavy is imported before a command runs."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.errors import LsoBenchError, UnusableError, UsageError, unknown
from lso_bench.process import settle_memory, settle_threads

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Benchmarks of latent space optimization: train VAEs, search their latent spaces, compare.",
)

Models = Annotated[str, typer.Option("--model", help="Names, separated by commas; `lso-bench list models`.")]
Data = Annotated[str, typer.Option(help="A name (`lso-bench list data`), ./file.py, or a folder of images.")]
Arch = Annotated[str, typer.Option(help="small, paper or conv; settings follow (small:gated=true).")]
Latent = Annotated[int, typer.Option(min=1, max=1024, help="Latent dimensions.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
DataDir = Annotated[Path | None, typer.Option(help="Where data sets lie [default: $LSO_BENCH_DATA, else the cache].")]
Results = Annotated[Path, typer.Option(help="Folder of results.", envvar="LSO_BENCH_RESULTS")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


@app.command()
def run(
    context: typer.Context,
    study: Annotated[Path | None, typer.Argument(help="A study file (TOML), instead of models, tasks and how.")] = None,
    model: Annotated[str | None, typer.Option(help="Names, separated by commas; `lso-bench list models`.")] = None,
    task: Annotated[str | None, typer.Option(help="Names, separated by commas, or ./file.py.")] = None,
    searcher: Annotated[str, typer.Option(help="Names, separated by commas.")] = "adam",
    starts: Annotated[
        str | None, typer.Option(help="random, encoder, other, origin, data; several codes: data:10.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="none, box:3, ball:10, quantiles:0.01; several with commas.")
    ] = None,
    decoding: Annotated[str | None, typer.Option(help="teacher, mean, sample or greedy [default: what fits].")] = None,
    seed: Annotated[str, typer.Option(help="Of starts, and of searches; several with commas.")] = "0",
    search_seed: Annotated[str | None, typer.Option(help="Of searches [default: --seed].")] = None,
    train_seed: Annotated[str, typer.Option(help="Of the models' training; several with commas.")] = "0",
    budget: Annotated[
        int | None, typer.Option(min=1, help="Evaluations a problem [default: 300 without gradients].")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps down the gradient [default: the protocol's].")
    ] = None,
    protocol: Annotated[str, typer.Option(help="quick: 300 steps; paper: down to threshold 0.")] = "quick",
    patience: Annotated[
        int | None, typer.Option(min=1, help="Steps without a better score; then a problem ends.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.0, help="Of a run's search; then it ends.")] = None,
    joint: Annotated[bool, typer.Option("--joint", help="All problems stay until their mean has converged.")] = False,
    compile: Annotated[
        bool, typer.Option("--compile", help="The decoder by torch.compile; needs a C++ compiler.")
    ] = False,
    arch: Arch = "small",
    latent: Latent = 32,
    device: Device = "auto",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run.")] = False,
) -> None:
    """Search the latent spaces of models on tasks, and compare what was run. What is done already is not run again."""
    from lso_bench import study as studies
    from lso_bench.store import Store

    grid, how = _of_file(study, context) if study else _of_options(**context.params)
    planned = studies.plan(grid, how)
    steps = how.max_steps != studies.Protocol.max_steps if study else max_steps
    descents = [o for o, given in (("--max-steps", steps), ("--joint", how.joint)) if given]
    for line in studies.warnings(planned, descents):
        _say(line)
    if dry_run:
        _dry_run(planned, results)
        return
    on = _device(device)
    store = Store(results)
    todo = [p for p in planned if p.spec not in store]
    if len(todo) < len(planned):
        _say(f"{len(planned) - len(todo)} of {len(planned)} runs are done already, in {results}.")
    _execute(todo, store, data_dir, on, quiet, compile)
    records = _chosen(store, {p.spec.key for p in planned})
    comparison = _print_comparison(records, [store], json, csv=False)
    from lso_bench.report.gallery import pictures  # only now: a wrong name need not wait for matplotlib

    for path in pictures(store, records, {p.spec.key: p.checkpoint for p in planned}, comparison):
        _say(f"picture: {path}")
    if any(r.status != "ok" for r in records):
        raise typer.Exit(3)


@app.command()
def train(
    model: Annotated[str, typer.Option(help="A name; `lso-bench list models`.")],
    data: Data,
    arch: Arch = "small",
    latent: Latent = 32,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: 30; paper 100]")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="By torch.compile; needs a C++ compiler.")] = False,
    capture: Annotated[bool, typer.Option("--capture", help="The step as a CUDA graph; on a GPU.")] = False,
    precision: Annotated[str, typer.Option(help="fp32, or bf16 where the machine multiplies it.")] = "fp32",
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard curves; needs the extra.")] = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Train a model; started again after an interruption, it goes on from there."""
    from lso_bench import training
    from lso_bench.study import named_model

    on = _device(device)
    if capture and on != "cuda":
        raise UsageError("--capture wants a CUDA device; leave it out.")
    named = named_model(model, data, arch, latent, seed)
    plan = training.plan(named, epochs, compile, capture, precision)
    path = training.train(plan, data_dir, on, quiet, tensorboard)
    _say(f"checkpoint: {path}")


@app.command("train-judge")
def train_judge(
    kind: Annotated[str, typer.Argument(help="classifier or density.")],
    data: Annotated[str, typer.Option(help="mnist or omniglot; a density of glyphs, too.")],
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: 12; density 4]")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Train a model that tasks judge images by; interrupted, it begins anew. Tasks use those that ship."""
    from lso_bench import training
    from lso_bench.study import check_data

    check_data(data)
    _say(f"written: {training.train_judge(kind, data, epochs, seed, data_dir, quiet)}")


@app.command()
def evaluate(
    model: Models,
    data: Data,
    arch: Arch = "small",
    latent: Latent = 32,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    each: Annotated[bool, typer.Option("--each", help="Also every latent dimension: activity and KL.")] = False,
    draws: Annotated[int, typer.Option(min=0, help="Seed of the measurement.")] = 0,
    nll_images: Annotated[int, typer.Option(min=0, help="Images for the NLL; 0 leaves it out.")] = 100,
    nll_samples: Annotated[int, typer.Option(min=1, help="Codes an image for the NLL.")] = 500,
    codes: Annotated[int, typer.Option(min=0, help="Codes for the latent consistency; 0 leaves it out.")] = 500,
    device: Device = "auto",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure latent spaces on the test set: -ELBO, NLL, KL, MI, active units, re-encoding, latent consistency."""
    from lso_bench.evaluation import measured
    from lso_bench.report import metrics
    from lso_bench.store import Store
    from lso_bench.study import named_model
    from vae.evaluation import Effort

    models = [named_model(m, data, arch, latent, seed) for m in _names("model", model)]
    if nll_images == 1 or codes == 1:
        raise UsageError("--nll-images and --codes want 2 or more, for a standard error; 0 leaves the measure out.")
    effort = Effort(images=nll_images, samples=nll_samples, codes=codes)
    Store(results)
    found = measured(models, results, data_dir, _device(device), effort, draws, quiet)
    print(metrics.as_json(found)) if json else _out().print(metrics.terminal(found))
    if each and not json:
        _out().print(metrics.dimensions(found))
    _say(f"picture: {metrics.picture(found, results / 'pictures')}")


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Results folders.")],
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    targets: Annotated[
        str, typer.Option(help="Down to the lowest loss of all models (task), or of each (model).")
    ] = "task",
    cost: Annotated[str, typer.Option(help="In the table of targets: steps, evaluations or seconds.")] = "evaluations",
    figures: Annotated[Path | None, typer.Option(help="Folder to draw the comparison into.")] = None,
) -> None:
    """Compare what is in results folders: final losses, cost of convergence, dependence on the start."""
    from lso_bench.store import Store

    stores = [Store(f, readonly=True) for f in folders]
    records = [r for s in stores for r in s]
    for line in (line for s in stores for line in s.skipped):
        _say(f"skipped: {line}")
    if not records:
        raise UnusableError(f"No runs in {', '.join(map(str, folders))}; `lso-bench run` makes some.")
    if targets not in ("task", "model"):
        raise unknown("targets", targets, ["task", "model"])
    if cost not in (costs := ("steps", "evaluations", "seconds")):
        raise unknown("cost", cost, list(costs))
    found = _print_comparison(records, stores, json, csv, targets, cost)
    if figures:
        from lso_bench.report.gallery import figures as draw

        for path in draw(found, figures):
            _say(f"picture: {path}")


@app.command()
def reproduce(
    what: Annotated[
        str, typer.Argument(help="table1, table2, fig1, fig2 or search (section 5.4) of arXiv 2103.11349.")
    ],
    models: Annotated[str | None, typer.Option(help="These rows only; names separated by commas.")] = None,
    data: Annotated[str, typer.Option(help="omniglot, as in the paper; mnist or glyphs.")] = "omniglot",
    arch: Annotated[str | None, typer.Option(help="[default: paper on a GPU, small on a CPU]")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: 30; paper 100]")] = None,
    no_train: Annotated[bool, typer.Option("--no-train", help="Only what is trained and searched already.")] = False,
    compile: Annotated[bool, typer.Option("--compile", help="By torch.compile; needs a C++ compiler.")] = False,
    seed: Annotated[str, typer.Option(help="search: of starts; several with commas.")] = "0",
    searcher: Annotated[str, typer.Option(help="search: another step, as adam:lr=0.03.")] = "adam",
    device: Device = "auto",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be trained.")] = False,
) -> None:
    """Train what is missing, measure, and show the paper's values beside ours. Interrupted, it goes on from there."""
    from lso_bench import reproduce as again
    from lso_bench.store import Store

    on = _device(device)
    rows = _names("models", models) if models else ()
    wanted = again.Wanted(what, data, arch or ("paper" if on == "cuda" else "small"), rows, epochs, compile)
    again.check(wanted)
    seeds = _numbers("seed", seed)
    _check_search(what, data, searcher, seeds)
    for m in () if no_train else again.untrained(again.models_of(wanted)):
        _say(f"to train: {m.name}, d = {m.latent} ({m.arch}, {m.data})")
    if dry_run:
        return
    store, folder = Store(results), results / "reproduction"
    for line in () if no_train else again.train_missing(wanted, data_dir, on, quiet):
        _say(f"failed: {line}")
    if what == "search":
        from lso_bench import latent_search
        from lso_bench.report import latent_search as report

        runs = latent_search.planned(again.trained(wanted), seeds, searcher)
        todo = [] if no_train else [p for p in runs if p.spec not in store]
        _execute(todo, store, data_dir, on, quiet, compile)
        repeated = latent_search.repeated(runs, store)
        _reproduced(repeated.rows, report.terminal(repeated), report.write(repeated, what, folder), json)
        return
    from lso_bench.report import reproduction

    found = again.reproduce(wanted, results, data_dir, on, quiet)
    _reproduced(found.rows, reproduction.terminal(found), reproduction.write(found, what, folder), json)


@app.command()
def traverse(
    model: Models,
    data: Data,
    dimensions: Annotated[str, typer.Option(help="That get a sheet of their own; 0 is the most active.")] = "0",
    steps: Annotated[int, typer.Option(min=2, max=10_000, help="Images of a walk.")] = 100,
    reach: Annotated[float, typer.Option(min=0.0, help="How far it goes, prior standard deviations.")] = 10.0,
    draws: Annotated[int, typer.Option(min=0, help="Seed of the random direction and of the ink.")] = 0,
    arch: Arch = "small",
    latent: Latent = 32,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    device: Device = "auto",
    results: Results = Path("results"),
    data_dir: DataDir = None,
) -> None:
    """Draw walks through latent spaces: every dimension by activity, single ones, a random direction."""
    from lso_bench import traverse as walks
    from lso_bench.store import Store
    from lso_bench.study import named_model

    numbers = _numbers("dimensions", dimensions)
    if not all(0 <= n < latent for n in numbers):
        raise UsageError(f"--dimensions wants numbers from 0 to {latent - 1}, not {dimensions!r}.")
    models = [named_model(m, data, arch, latent, seed) for m in _names("model", model)]
    wanted = walks.Walks(numbers, steps, reach, draws)
    Store(results)
    for m in models:
        for path in walks.traverse(m, wanted, results / "traversals", data_dir, _device(device)):
            _say(f"written: {path}")


@app.command("list")
def list_(kind: Annotated[str, typer.Argument(help="models, data, tasks or searchers.")]) -> None:
    """List what there is."""
    from rich.markup import escape
    from rich.table import Table

    from lso_bench.catalogue import CATALOGUES

    if kind not in CATALOGUES:
        raise unknown("list", kind, list(CATALOGUES))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, what in CATALOGUES[kind].names().items():
        table.add_row(escape(name), escape(what))
    _out().print(table)
    for name, why in CATALOGUES[kind].faults().items():
        _say(f"faulty: {name}: {why}")


@app.command("new-task")
def new_task(
    name: Annotated[str, typer.Argument(help="Of the task; of its file as well.")],
    folder: Annotated[Path, typer.Option(help="Where to write it.")] = Path("."),
) -> None:
    """Write a commented example of a task, to be changed."""
    from lso_bench import example

    path = example.write(name, folder)
    print(path)
    _say(f"Change its score; then say `lso-bench check-task {path}`.")


@app.command("check-task")
def check_task(
    task: Annotated[str, typer.Argument(help="A name, with or without settings, or ./file.py.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Look at everything that a task promises, and say what is missing."""
    from dataclasses import asdict
    from json import dumps

    from lso_bench.testing import examine

    found = []
    for finding in examine(task, data_dir=data_dir):
        found.append(finding)
        if not json:
            print(finding, flush=True)
    if json:
        print(dumps([asdict(f) for f in found], indent=1))
    if missing := sum(f.state == "missing" for f in found):
        _say(f"Task {task!r} breaks {missing} of its promises.")
        raise typer.Exit(2)
    _say(f"Task {task!r} keeps all its promises.")


def main() -> None:
    """The program: settles threads and memory, runs a command, turns our errors into one line and an exit status."""
    settle_threads()
    settle_memory()
    signal.signal(signal.SIGTERM, lambda *_: _stop("Terminated", 143))
    signal.signal(signal.SIGINT, lambda *_: _stop("Interrupted", 130))
    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        app(arguments)
    except Exception as error:  # the last place where anything can be said in one line
        if debug:
            raise
        sys.exit(_explain(error))


def _of_file(path: Path, context: typer.Context) -> tuple:
    """Grid and protocol of a study file, beside which the command line says only where and how to run it."""
    from lso_bench import study_file

    beside = ("study", "compile", "device", "results", "data_dir", "json", "quiet", "dry_run")
    given = [k for k in context.params if getattr(context.get_parameter_source(k), "name", "") == "COMMANDLINE"]
    if odd := [f"--{k.replace('_', '-')}" for k in given if k not in beside]:
        raise UsageError(f"With a study file, say {', '.join(odd)} in it.")
    return study_file.read(path)


def _of_options(model: str | None, task: str | None, protocol: str, **more) -> tuple:
    """Grid and protocol of the options of `run`."""
    from lso_bench import study

    if not (model and task):
        raise UsageError("Wanted --model and --task, or a study file; `lso-bench list tasks` shows what there is.")
    if protocol not in study.STEPS:
        raise unknown("protocol", protocol, list(study.STEPS))
    grid = study.Grid(
        models=_names("model", model),
        tasks=_names("task", task),
        searchers=_names("searcher", more["searcher"]),
        seeds=_numbers("seed", more["seed"]),
        search_seeds=_numbers("search-seed", more["search_seed"]) if more["search_seed"] else None,
        train_seeds=_numbers("train-seed", more["train_seed"]),
        regions=_names("region", more["region"]) if more["region"] else None,
        arch=more["arch"],
        latent=more["latent"],
    )
    if more["seconds"] == float("inf"):
        raise UsageError("--seconds wants a finite number; without it there is no limit.")
    how = {k: more[k] for k in ("decoding", "budget", "seconds", "patience", "joint")}
    starts = tuple(_names("starts", more["starts"])) if more["starts"] else None
    return grid, study.Protocol(starts=starts, max_steps=more["max_steps"] or study.STEPS[protocol], **how)


def _explain(error: Exception) -> int:
    """Say what went wrong in one line; the exit status."""
    from vae.errors import UnusableError as VaeUnusableError

    _say(" ".join(str(error).split()))
    if isinstance(error, LsoBenchError):
        return error.status
    if isinstance(error, VaeUnusableError):
        return UnusableError.status
    _say(f"This is a fault of lso-bench ({type(error).__name__}); --debug shows where.")
    return 1


def _stop(how: str, status: int) -> None:
    _say(f"{how}; finished runs and epochs are kept. The same command goes on from there.")
    sys.exit(status)


def _execute(todo: list, store, data_dir: Path | None, device: str, quiet: bool, compile: bool) -> None:
    from lso_bench.execute import execute
    from lso_bench.progress import shown

    with shown(quiet) as show:

        def report(planned, p) -> None:
            state = f"{p.left} of {p.members} at their end, mean loss {p.mean_loss:.2f}"
            show(planned.spec.title, p.step, p.steps, state)

        for record in execute(todo, store, data_dir, device, report, compile):
            how = f"{record.seconds.get('total', 0):.0f} s" if record.status == "ok" else record.error or ""
            _say(f"{record.spec.title}: {record.status}, {how}")


def _dry_run(planned: Iterable, results: Path) -> None:
    for p in planned:
        done = (results / "runs" / p.spec.key[:2] / p.spec.key / "result.json").is_file()
        print(f"{p.spec.key}  {'done' if done else 'to do':5}  {p.spec.title}  ({p.checkpoint.name})")


def _chosen(store, keys: set[str]) -> list:
    records = [r for r in store if r.spec.key in keys]
    for line in store.skipped:
        _say(f"skipped: {line}")
    return records


def _print_comparison(
    records: list, stores: list, json: bool, csv: bool, targets: str = "task", cost: str = "evaluations"
):
    from lso_bench.compare import compare as comparison_of
    from lso_bench.report import export, tables

    home = {r.spec.key: s for s in stores for r in records if r.spec in s}
    unique = list({r.spec.key: r for r in records}.values())
    found = comparison_of(unique, lambda s: home[s.key], "model" if targets == "model" else "task")
    if json or csv:
        print(export.as_json(found) if json else export.as_csv(found))
    else:
        _out().print(tables.terminal(found, cost))
    return found


def _check_search(what: str, data: str, searcher: str, seeds: list[int]) -> None:
    """Refuse a search that cannot be run, and options of a search where there is none."""
    if what == "search":
        from lso_bench import latent_search

        latent_search.check(data, searcher)
    elif (searcher, seeds) != ("adam", [0]):
        raise UsageError(f"--seed and --searcher belong to `reproduce search`; leave them out of {what}.")


def _reproduced(rows, text, written: list[Path], json: bool) -> None:
    print(rows.to_json(orient="records", indent=1)) if json else _out().print(text)
    for path in written:
        _say(f"written: {path}")


def _names(what: str, text: str) -> list[str]:
    """The names in a list with commas; a comma inside settings (`a:x=1,y=2`) belongs to the name before it."""
    names: list[str] = []
    for part in text.split(","):
        if names and ":" in names[-1] and "=" in part and ":" not in part:
            names[-1] += f",{part}"
        else:
            names.append(part.strip())
    if not all(names):
        raise UsageError(f"--{what} wants names separated by commas, not {text!r}.")
    return list(dict.fromkeys(names))


def _numbers(what: str, text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise UsageError(f"--{what} wants whole numbers separated by commas, not {text!r}.") from error


def _device(name: str) -> str:
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise unknown("device", name, ["auto", "cpu", "cuda"])
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("No CUDA device here; say --device cpu.")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _out():
    from rich.console import Console

    wide = 140  # a narrower terminal wraps the lines of a table; cutting them would lose figures
    return Console(width=max(wide, Console().width) if sys.stdout.isatty() else wide, highlight=False)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
