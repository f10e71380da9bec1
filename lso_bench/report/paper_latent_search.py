"""Section 5.4 as terminal table, Markdown and CSV."""

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.sanitize import printable
from lso_bench.paper.latent_search import FIRST, LAST, LatentSearchResult
from lso_bench.plotting.numbers import fixed
from lso_bench.report import provenance

HEADER = (
    "model",
    "paper",
    "together, random",
    "together, encoder",
    "single images, random",
    f"distance at {FIRST:g}",
    f"at {LAST:g}",
    "mean at the end",
    "same basin",
    "|z|",
)
LEGEND = (
    "together: the stop of the mean loss of all images, median over the runs (the least and the most, their number); "
    "single images: median (95 % interval over images); distance: squared, of the codes from two starts, median; same "
    "basin: share of those pairs (95 % interval); |z|: median at the end"
)


def terminal(result: LatentSearchResult) -> RenderableType:
    """Return the paper's and our step counts, one row per model, then the order of each pair of models."""
    table = Table(
        *(h.replace(", ", ",\n") for h in HEADER),
        box=box.SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        title=result.title,
        title_justify="left",
        title_style="italic",
        caption=LEGEND,
        caption_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for line in _lines(result.rows):
        table.add_row(*map(escape, line))
    return Group(table, *(Text(line) for line in result.order), *(Text(f"! {n}", style="yellow") for n in result.notes))


def write(result: LatentSearchResult, what: str, folder: Path) -> list[Path]:
    """Write Markdown and CSV, and return their paths."""
    path = folder / f"{what}-{result.name}.md"
    write_atomic(path, printable(markdown(result)).encode())
    write_atomic(path.with_suffix(".csv"), result.rows.to_csv(index=False).encode())
    return [path, path.with_suffix(".csv")]


def markdown(result: LatentSearchResult) -> str:
    """Return the table, the order of each pair of models, the command, and the provenance of the runs."""
    header = [h.replace("|", "\\|") for h in HEADER]
    table = [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(HEADER), *_lines(result.rows))]
    notes = [f"- {line}" for line in (*result.order, *result.notes)]
    weights = ", ".join(f"{n} {sha[:12]}" for n, sha in result.weights.items())
    provenance_lines = [
        f"Made by `{result.command}`",
        f"Runs: {provenance.line(result.versions)}. Checkpoints: {weights}.",
    ]
    parts = [f"# {result.title}", "\n".join(table), LEGEND + ".", "\n".join(notes), *provenance_lines]
    return "\n\n".join(parts) + "\n"


def _lines(rows: pd.DataFrame) -> Iterator[list[str]]:
    for row in rows.to_dict("records"):
        seed_range = f" ({_count(row['random low'])} .. {_count(row['random high'])}, n = {row['runs']:.0f})"
        basin = f"{row['basin estimate']:.0%}{_within(100 * row['basin low'], 100 * row['basin high'])}"
        yield [
            row["model"],
            _count(row["paper"]),
            _count(row["random"]) + seed_range * (row["runs"] > 1),
            _count(row["encoder"]),
            _count(row["single median"]) + _within(row["single low"], row["single high"]),
            *(_number(row[k]) for k in (f"distance {FIRST:g}", f"distance {LAST:g}", "distance end mean")),
            basin,
            fixed(row["norm"], 1),
        ]


def _count(steps: int | float | None) -> str:
    if steps is None or math.isnan(steps):
        return "-"
    return f"{steps:,.0f}" if math.isfinite(steps) else "not met"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else fixed(value, 0) if value >= 100 else f"{value:.2g}"


def _within(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" ({low:,.0f} .. {high:,.0f})"
