"""Section 5.4 repeated: terminal, Markdown, CSV."""

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lso_bench.paper.latent_search import FIRST, LAST, Repeated
from lso_bench.plotting.numbers import fixed
from lso_bench.report import provenance
from lso_bench.text import printable
from lso_bench.vae.durable import write_atomic

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


def terminal(found: Repeated) -> RenderableType:
    """The paper's count and ours of each model in one row, then how each pair of models stands."""
    table = Table(
        *(h.replace(", ", ",\n") for h in HEADER),
        box=box.SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        title=found.title,
        title_justify="left",
        title_style="italic",
        caption=LEGEND,
        caption_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for line in _lines(found.rows):
        table.add_row(*map(escape, line))
    return Group(table, *(Text(line) for line in found.order), *(Text(f"! {n}", style="yellow") for n in found.notes))


def write(found: Repeated, what: str, folder: Path) -> list[Path]:
    """Markdown and CSV; where they were written."""
    path = folder / f"{what}-{found.name}.md"
    write_atomic(path, printable(markdown(found)).encode())
    write_atomic(path.with_suffix(".csv"), found.rows.to_csv(index=False).encode())
    return [path, path.with_suffix(".csv")]


def markdown(found: Repeated) -> str:
    """The table, how each pair of models stands, the command that made the runs, and what they were made of and by."""
    header = [h.replace("|", "\\|") for h in HEADER]
    table = [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(HEADER), *_lines(found.rows))]
    notes = [f"- {line}" for line in (*found.order, *found.notes)]
    weights = ", ".join(f"{n} {sha[:12]}" for n, sha in found.weights.items())
    made = [f"Made by `{found.command}`", f"Runs: {provenance.line(found.versions)}. Checkpoints: {weights}."]
    parts = [f"# {found.title}", "\n".join(table), LEGEND + ".", "\n".join(notes), *made]
    return "\n\n".join(parts) + "\n"


def _lines(rows: pd.DataFrame) -> Iterator[list[str]]:
    for r in rows.to_dict("records"):
        spread = f" ({_count(r['random low'])} .. {_count(r['random high'])}, n = {r['runs']:.0f})"
        basin = f"{r['basin estimate']:.0%}{_within(100 * r['basin low'], 100 * r['basin high'])}"
        yield [
            r["model"],
            _count(r["paper"]),
            _count(r["random"]) + spread * (r["runs"] > 1),
            _count(r["encoder"]),
            _count(r["single median"]) + _within(r["single low"], r["single high"]),
            *(_number(r[k]) for k in (f"distance {FIRST:g}", f"distance {LAST:g}", "distance end mean")),
            basin,
            fixed(r["norm"], 1),
        ]


def _count(steps: int | float | None) -> str:
    if steps is None or math.isnan(steps):
        return "-"
    return f"{steps:,.0f}" if math.isfinite(steps) else "not met"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else fixed(value, 0) if value >= 100 else f"{value:.2g}"


def _within(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" ({low:,.0f} .. {high:,.0f})"
