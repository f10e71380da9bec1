"""The command `reproduce`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.execution import check_capture, check_compile, device_of, execution_options
from lso_bench.api.output import out, say
from lso_bench.commands.ending import print_end
from lso_bench.commands.exit_status import INCOMPLETE
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
    names,
    numbers,
)
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
    train_seed: Annotated[
        list[str], typer.Option(help="table1, table2, search: of trainings; several with commas.")
    ] = ["0"],  # noqa: B006
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
    from lso_bench.paper import tables
    from lso_bench.store.store import Store

    run_device = device_of(device)
    check_capture(capture, run_device)
    check_compile(compile, run_device)
    rows, arch = _rows(models or []), arch or ("paper" if run_device == "cuda" else "small")
    request = tables.Request(
        what, data, arch, rows, epochs, compile, capture, precision, _train_seeds(what, train_seed)
    )
    tables.check(request)
    seeds = numbers("seed", seed)
    _check_search(what, data, searcher, seeds)
    for plan in () if no_train else tables.plans(request):
        m = plan.model
        say(f"to train: {m.name}, d = {m.latent}, seed {m.seed} ({m.arch}, {m.data}), {plan.epochs} epochs")
    if dry_run:
        for title in _pending_searches(request, seeds, searcher, results) if what == "search" and not no_train else ():
            say(f"to search: {title}")
        return
    store = Store(results)
    failed = [] if no_train else tables.train_missing(request, data_dir, run_device, quiet)
    for line in failed:
        say(f"failed: {line}")
    if what == "search":
        from lso_bench.executors.resources import RequestedResources
        from lso_bench.paper import latent_search

        runs = latent_search.planned(tables.trained_models(request), seeds, searcher)
        options = execution_options(len(runs), device, data_dir, compile, capture, RequestedResources())
        _search(runs, request, seeds, store, None if no_train else options, json, quiet)
    else:
        _show_table(request, tables.reproduce(request, results, data_dir, run_device, quiet), results, json)
    if failed:
        raise typer.Exit(INCOMPLETE)


def _show_table(request, table, results: Path, json: bool) -> None:
    """Print and write a table or figure; of some rows alone under a name of its own."""
    from lso_bench.paper.tables import selection
    from lso_bench.report import paper_tables

    written = paper_tables.write(table, request.name, results / "reproduction", selection(request))
    _print_reproduction(table.rows, paper_tables.terminal(table), written, json)


def _search(runs: list, request, seeds: list[int], store, options, json: bool, quiet: bool) -> None:
    """Search, and show the results; if `options` is None, or a model has no weights here, of finished searches."""
    from lso_bench.api.carry_out import carry_out
    from lso_bench.paper import latent_search, tables
    from lso_bench.report import paper_latent_search as report
    from lso_bench.study import completeness

    named_keys = carry_out(runs, store, options, quiet, say) if options else set()
    outcome = latent_search.repeated(runs, store, tables.untrained(tables.models_of(request)))
    written = report.write(outcome, store.folder / "reproduction", tables.selection(request), seeds)
    _print_reproduction(outcome.rows, report.terminal(outcome), written, json)
    state = completeness.check(runs, store).without(store.damaged_files)
    if options or state.damages:
        print_end(state, named_keys)


def _pending_searches(request, seeds: list[int], searcher: str, results: Path) -> list[str]:
    """Return the titles of searches that are not done yet, of the models that are trained."""
    from lso_bench.paper import latent_search, tables
    from lso_bench.store.store import existing

    models = tables.models_of(request)
    missing = tables.untrained(models)
    runs = latent_search.planned([m for m in models if m not in missing], seeds, searcher)
    store = existing(results)
    return [p.spec.title for p in runs if store is None or p.spec not in store]


def _rows(texts: list[str]) -> list[str]:
    from lso_bench.study.spelling import spelled

    return [spelled("model", name) for name in names("models", texts)]


def _train_seeds(what: str, texts: list[str]) -> list[int]:
    """Parse the training seeds; refuse several where one is shown."""
    seeds = numbers("train-seed", texts)
    if min(seeds) < 0:
        raise UsageError(f"--train-seed wants numbers from 0, not {','.join(texts)!r}.")
    if what in ("fig1", "fig2") and seeds != [0]:
        raise UsageError(f"--train-seed belongs to table1, table2 and search; leave it out of {what}.")
    return seeds


def _check_search(what: str, data: str, searcher: str, seeds: list[int]) -> None:
    """Refuse a search that cannot be run, and search options without a search."""
    if what == "search":
        from lso_bench.paper import latent_search

        latent_search.check(data, searcher)
    elif (searcher, seeds) != ("adam", [0]):
        raise UsageError(f"--seed and --searcher belong to `reproduce search`; leave them out of {what}.")


def _print_reproduction(rows, text, written: list[Path], json: bool) -> None:
    print(rows.to_json(orient="records", indent=1)) if json else out().print(text)
    for path in written:
        say(f"written: {path}")
