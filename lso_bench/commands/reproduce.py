"""The command `reproduce`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.options import (
    LISTED,
    Capture,
    Compile,
    DataDir,
    Device,
    Epochs,
    Json,
    Precision,
    Quiet,
    Results,
    check_capture,
    check_compile,
    device_of,
    execution_options,
    names,
    numbers,
)
from lso_bench.commands.output import out, say
from lso_bench.commands.run import carry_out, tell_end
from lso_bench.errors import UsageError


def reproduce(
    what: Annotated[
        str, typer.Argument(help="table1, table2, fig1, fig2 or search (section 5.4) of arXiv 2103.11349.")
    ],
    models: Annotated[list[str] | None, typer.Option(help=f"These rows only. {LISTED}.")] = None,
    data: Annotated[str, typer.Option(help="omniglot, as in the paper; mnist or glyphs.")] = "omniglot",
    arch: Annotated[str | None, typer.Option(help="[default: paper on a GPU, small on a CPU]")] = None,
    epochs: Epochs = None,
    no_train: Annotated[bool, typer.Option("--no-train", help="Only what is trained and searched already.")] = False,
    compile: Compile = False,
    capture: Capture = False,
    precision: Precision = "fp32",
    train_seed: Annotated[list[str], typer.Option(help="table1, table2: of trainings; several with commas.")] = ["0"],  # noqa: B006
    seed: Annotated[list[str], typer.Option(help="search: of starts; several with commas.")] = ["0"],  # noqa: B006
    searcher: Annotated[str, typer.Option(help="search: another step, as adam:lr=0.03.")] = "adam",
    device: Device = "auto",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be trained and searched.")] = False,
) -> None:
    """Train what is missing, measure, and show the paper's values beside ours. Interrupted, it goes on from there."""
    from lso_bench.paper import tables as again
    from lso_bench.store.store import Store

    on = device_of(device)
    check_capture(capture, on)
    check_compile(compile, on)
    rows, arch = _rows(models or []), arch or ("paper" if on == "cuda" else "small")
    wanted = again.Wanted(what, data, arch, rows, epochs, compile, capture, precision, _train_seeds(what, train_seed))
    again.check(wanted)
    seeds = numbers("seed", seed)
    _check_search(what, data, searcher, seeds)
    for plan in () if no_train else again.plans(wanted):
        m = plan.model
        say(f"to train: {m.name}, d = {m.latent}, seed {m.seed} ({m.arch}, {m.data}), {plan.epochs} epochs")
    if dry_run:
        for title in _to_search(wanted, seeds, searcher, results) if what == "search" and not no_train else ():
            say(f"to search: {title}")
        return
    store = Store(results)
    failed = [] if no_train else again.train_missing(wanted, data_dir, on, quiet)
    for line in failed:
        say(f"failed: {line}")
    if what == "search":
        from lso_bench.executors.resources import RequestedResources
        from lso_bench.paper import latent_search

        runs = latent_search.planned(again.trained(wanted), seeds, searcher)
        how = execution_options(len(runs), device, data_dir, compile, capture, RequestedResources())
        _search(runs, store, None if no_train else how, json, quiet)
    else:
        from lso_bench.report import paper_tables

        found, folder = again.reproduce(wanted, results, data_dir, on, quiet), results / "reproduction"
        _reproduced(found.rows, paper_tables.terminal(found), paper_tables.write(found, what, folder), json)
    if failed:
        raise typer.Exit(3)


def _search(runs: list, store, how, json: bool, quiet: bool) -> None:
    """Search, and show what the searches say; `how` None: only of those that are done."""
    from lso_bench.paper import latent_search
    from lso_bench.report import paper_latent_search as report
    from lso_bench.study import completeness

    said = carry_out(runs, store, how, quiet) if how else set()
    repeated = latent_search.repeated(runs, store)
    written = report.write(repeated, "search", store.folder / "reproduction")
    _reproduced(repeated.rows, report.terminal(repeated), written, json)
    end = completeness.check(runs, store).without(store.damaged_files)
    if how or end.damages:
        tell_end(end, said)


def _to_search(wanted, seeds: list[int], searcher: str, results: Path) -> list[str]:
    """The titles of the searches that are not done yet, of the models that are trained."""
    from lso_bench.paper import latent_search
    from lso_bench.paper import tables as again
    from lso_bench.store.store import MARKER_FILE, Store

    models = again.models_of(wanted)
    missing = again.untrained(models)
    runs = latent_search.planned([m for m in models if m not in missing], seeds, searcher)
    store = Store(results, readonly=True) if (results / MARKER_FILE).exists() else None
    return [p.spec.title for p in runs if store is None or p.spec not in store]


def _rows(texts: list[str]) -> list[str]:
    from lso_bench.study.spelling import spelled

    return [spelled("model", name) for name in names("models", texts)]


def _train_seeds(what: str, texts: list[str]) -> list[int]:
    """Refuse several trainings where one is shown."""
    seeds = numbers("train-seed", texts)
    if min(seeds) < 0:
        raise UsageError(f"--train-seed wants numbers from 0, not {','.join(texts)!r}.")
    if what in ("fig1", "fig2", "search") and seeds != [0]:
        raise UsageError(f"--train-seed belongs to table1 and table2; leave it out of {what}.")
    return seeds


def _check_search(what: str, data: str, searcher: str, seeds: list[int]) -> None:
    """Refuse a search that cannot be run, and options of a search where there is none."""
    if what == "search":
        from lso_bench.paper import latent_search

        latent_search.check(data, searcher)
    elif (searcher, seeds) != ("adam", [0]):
        raise UsageError(f"--seed and --searcher belong to `reproduce search`; leave them out of {what}.")


def _reproduced(rows, text, written: list[Path], json: bool) -> None:
    print(rows.to_json(orient="records", indent=1)) if json else out().print(text)
    for path in written:
        say(f"written: {path}")
