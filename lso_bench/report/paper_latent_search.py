"""Section 5.4 as terminal table, Markdown and CSV."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.sanitize import printable
from lso_bench.paper.latent_search import FIRST, LAST, LatentSearchResult
from lso_bench.plotting.numbers import fixed
from lso_bench.report import provenance
from lso_bench.report.cells import estimate, interval, model, number, word
from lso_bench.report.paper_files import suffix
from lso_bench.report.renderers import markdown as markdown_renderer
from lso_bench.report.renderers import terminal as terminal_renderer
from lso_bench.report.table import MODEL, Cell, Column, Number, Table, columns

HEADER = columns(
    "paper",
    "together,\nrandom",
    "together,\nencoder",
    "single images,\nrandom",
    f"distance at {FIRST:g}",
    f"at {LAST:g}",
    "mean at the end",
    "same basin",
    "|z|",
)
LEGEND = (
    "together: the stop of the mean loss of all images, median over the runs (the least and the most, their number); "
    "single images: median (95 % interval over images); distance: squared, of the latents from two starts, median; "
    "same basin: share of those pairs (95 % interval); |z|: median at the end; the end: of the run, once the mean "
    "loss of all images has met the last threshold, mostly later than the single images have"
)


STARTS = Column("starts", is_text=True)
GAP_LEGEND = (
    "the paper's section 5.4 claims that losses from different starts are closer in NE-VAE, above all at thresholds of "
    "0.01 and 0.005; over images, each with all its pairs of starts"
)


def terminal(result: LatentSearchResult) -> RenderableType:
    """Return the paper's and our step counts, one row per model, then the order of each pair of models."""
    order, notes = map(Text, result.order), map(terminal_renderer.note, result.notes)
    return Group(*map(terminal_renderer.table, (table(result), gap_table(result))), *order, *notes)


def write(
    result: LatentSearchResult, folder: Path, models: Sequence[str] = (), seeds: Sequence[int] = (0,)
) -> list[Path]:
    """Write Markdown and CSV, and return their paths.

    Args:
        models: rows that were asked for, which are then part of the files' names; none stands for all of them.
        seeds: of the starts, likewise; 0 alone has no name.
    """
    trainings = sorted(set(result.rows.training))
    path = folder / f"search-{result.name}{suffix(models, trainings, seeds)}.md"
    write_atomic(path, printable(markdown(result)).encode())
    write_atomic(path.with_suffix(".csv"), result.rows.to_csv(index=False).encode())
    return [path, path.with_suffix(".csv")]


def markdown(result: LatentSearchResult) -> str:
    """Return the table, the order of each pair of models, the command, and the provenance of the runs."""
    notes = [f"- {line}" for line in (*result.order, *result.notes)]
    weights = ", ".join(f"{n} {sha[:12]}" for n, sha in result.weights.items())
    provenance_lines = [
        f"Made by `{result.command}`",
        f"Runs: {provenance.line(result.versions)}. Checkpoints: {weights}.",
    ]
    parts = [
        f"# {result.title}",
        markdown_renderer.plain_rows(table(result)),
        LEGEND + ".",
        markdown_renderer.plain_rows(gap_table(result)),
        GAP_LEGEND + ".",
        "\n".join(notes),
        *provenance_lines,
    ]
    return "\n\n".join(parts) + "\n"


def table(result: LatentSearchResult) -> Table:
    """Return the table of the paper's and our step counts, one row per model."""
    rows = [_trained(r, result) + _cells(r) for r in result.rows.to_dict("records")]
    return Table(result.title, (*_trained_header(result), *HEADER), rows, LEGEND)


def _trained_header(result: LatentSearchResult) -> tuple[Column, ...]:
    """Return the columns that name a trained model; that of its training seed only if there is another than 0."""
    return columns(MODEL, *["training"] * bool(result.rows.training.any()))


def _trained(row: dict[str, Any], result: LatentSearchResult) -> list[Cell]:
    return [model(row["model"]), *[number(row["training"], "{:g}".format)] * bool(result.rows.training.any())]


def gap_table(result: LatentSearchResult) -> Table:
    """Return the table of the gap between the losses of two starts, one row per model, pair of starts and threshold."""
    header = (
        *_trained_header(result),
        *columns(STARTS, "threshold", "pairs that met it", "median", "95 % interval", "mean"),
    )
    rows = []
    for r in result.gaps.to_dict("records"):
        met = number(r["n"] - r["censored"], "{:g}".format)
        at = number(r["threshold"], "{:g}".format)
        median, mean = (number(r[k]) for k in ("median", "mean"))
        rows.append([*_trained(r, result), word(r["start"]), at, met, median, interval(r["low"], r["high"]), mean])
    return Table("Gap between the losses of two starts at a threshold", header, rows, GAP_LEGEND)


def _cells(row: dict[str, Any]) -> list[Cell]:
    distances = f"distance {FIRST:g}", f"distance {LAST:g}", "distance end mean"
    single = estimate(row["single median"], row["single low"], row["single high"], _count, "{:,.0f}".format)
    basin = row["basin estimate"], row["basin low"], row["basin high"]
    return [
        number(row["paper"], _count),
        _over_seeds(row) if row["runs"] > 1 else number(row["random"], _count),
        number(row["encoder"], _count),
        single,
        *(number(row[k], lambda v: fixed(v, 0) if v >= 100 else f"{v:.2g}") for k in distances),
        estimate(*basin, "{:.0%}".format, lambda end: f"{100 * end:,.0f}"),
        number(row["norm"], lambda v: fixed(v, 1)),
    ]


def _over_seeds(row: dict[str, Any]) -> Cell:
    median, low, high = (number(row[k], _count) for k in ("random", "random low", "random high"))
    text = f"{median.text} ({low.text} .. {high.text}, n = {row['runs']:.0f})"
    return median._replace(text=text, bounds=(row["random low"], row["random high"]))


def _count(steps: Number) -> str:
    return f"{steps:,.0f}" if math.isfinite(steps) else "not met"
