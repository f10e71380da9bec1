"""Reproduced tables and figures of the paper as Markdown, CSV, terminal table and picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lso_bench import __version__
from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.sanitize import printable
from lso_bench.models.measurements import Measured
from lso_bench.paper.tables import Reproduction, curves
from lso_bench.plotting import images
from lso_bench.plotting.numbers import fixed
from lso_bench.report import provenance

SHOWN = 12  # disagreements in the terminal; all are in the Markdown


def terminal(reproduction: Reproduction) -> RenderableType:
    """Return the paper's value, ours and the difference, one row per model, then disagreements in the order."""
    header, lines = _table(reproduction.rows)
    table = Table(
        *(h.replace(" ", "\n") for h in header),
        box=box.SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        title=f"{reproduction.title} ({_subtitle(reproduction)})",
        title_justify="left",
        title_style="italic",
    )
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for line in lines:
        table.add_row(*map(escape, line))
    messages = [*_lines(reproduction)]
    n_hidden = len(messages) - SHOWN
    parts = [Text(f"! {n}", style="yellow") for n in messages[:SHOWN]]
    return Group(table, *parts, *([Text(f"! and {n_hidden} more, in the Markdown")] if n_hidden > 0 else []))


def write(reproduction: Reproduction, what: str, folder: Path) -> list[Path]:
    """Write Markdown and CSV of a table, or CSV and PNG of a figure, and return their paths."""
    model = reproduction.measured[0].model
    arch = "".join(c if c.isalnum() else "+" for c in model.arch)
    seeds = sorted({m.model.seed for m in reproduction.measured})
    suffix = "" if seeds == [0] else f"-s{'+'.join(map(str, seeds))}"
    path = folder / f"{what}-{model.data}-{arch}{suffix}.md"
    if what.startswith("table"):
        write_atomic(path, printable(markdown(reproduction)).encode())
        write_atomic(path.with_suffix(".csv"), reproduction.rows.to_csv(index=False).encode())
        return [path, path.with_suffix(".csv")]
    if what == "fig1":
        bars = [(m.model.name, m.metrics.activity) for m in reproduction.measured]
        table = pd.DataFrame(dict(bars)).rename_axis("dimension")
        write_atomic(path.with_suffix(".csv"), table.to_csv().encode())
        images.activity(path.with_suffix(".png"), bars)
    else:
        lines = curves(reproduction.measured)
        write_atomic(path.with_suffix(".csv"), lines.to_csv().encode())
        images.over_training(path.with_suffix(".png"), lines, "re-encoding error, mean over latents of (z - z')^2")
    return [path.with_suffix(".csv"), path.with_suffix(".png")]


def markdown(reproduction: Reproduction) -> str:
    """Return the table, disagreements in the order, the measurement's provenance, and each model's command."""
    header, lines = _table(reproduction.rows)
    table = [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *lines)]
    notes = [f"- {n}" for n in _lines(reproduction)]
    commands = [
        f"- `{m.made_by['command']}`: checkpoint {m.what['checkpoint'][:12]}, {_versions(m)}"
        for m in reproduction.measured
    ]
    measured = provenance.line({"torch": m.torch} | m.what for m in reproduction.measured)
    written = f"Measured: {measured}; written by lso-bench {__version__}."
    parts = [
        f"# {reproduction.title}",
        _subtitle(reproduction),
        "\n".join(table),
        "\n".join(notes),
        written,
        "Made by:",
        "\n".join(commands),
    ]
    return "\n\n".join(parts) + "\n"


def _subtitle(reproduction: Reproduction) -> str:
    m = reproduction.measured[0]
    return (
        f"{m.model.data}, {m.metrics.n:,} test images, architecture {m.model.arch}; the paper's is `paper`, 100 epochs"
    )


def _versions(m: Measured) -> str:
    versions = provenance.line([m.made_by["versions"] or {}]) or "versions not noted"
    return f"{versions}, {m.made_by['epochs']} epochs"


def _table(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    measures = list(dict.fromkeys(rows.measure))
    several = bool((rows.seeds > 1).any())
    header = [
        "model",
        "d",
        "epochs",
        *["seeds"] * several,
        *(f"{m} {x}" for m in measures for x in ("paper", "ours", "diff.")),
    ]
    lines = []
    for key, model_rows in rows.groupby(["model", "latent", "epochs"], sort=False, dropna=False):
        name, d, epochs = cast(tuple[str, int, float], key)
        cells = model_rows.set_index("measure").to_dict("index")
        line = [name, str(d), f"{epochs:.0f}", *[str(model_rows.seeds.max())] * several]
        for m in measures:
            line += _cells(m, cells[m]) if m in cells else ["", "", ""]
        lines.append(line)
    return header, lines


def _cells(measure: str, row: dict) -> list[str]:
    if row["seeds"] > 1:
        form = "{:.3g}" if measure == "AU" else "{:.2f}"
        paper, ours, low, high = (form.format(row[k]) for k in ("paper", "ours", "low", "high"))
        return [paper, f"{ours} ({low} .. {high})", f"{row['difference']:+.{1 if measure == 'AU' else 2}f}"]
    if measure == "AU":
        return [f"{row['paper']:.0f}", f"{row['ours']:.0f} +- {row['error']:.1f}", f"{row['difference']:+.0f}"]
    return [f"{row['paper']:.2f}", f"{fixed(row['ours'], 2)} +- {fixed(row['error'], 2)}", f"{row['difference']:+.2f}"]


def _lines(reproduction: Reproduction) -> Iterator[str]:
    yield from reproduction.notes
    order = reproduction.order
    seeds = ", over images and seeds" if (reproduction.rows.seeds > 1).any() else ""
    if total := order.agreeing + order.undecided + len(order.reversed_pairs):
        yield (
            f"order: of {total} pairs, {order.agreeing} stand as in the paper, {order.undecided} are too close "
            f"to tell (two standard errors of the paired difference{seeds}), {len(order.reversed_pairs)} the other way "
            "round:"
        )
    yield from order.reversed_pairs
