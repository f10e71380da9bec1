"""Reproduced tables and figures of the paper as Markdown, CSV, terminal table and picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pandas as pd
from rich.console import Group, RenderableType

from lso_bench import __version__
from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.sanitize import printable
from lso_bench.models.measurements import Measured
from lso_bench.paper.tables import Reproduction, curves
from lso_bench.plotting import images
from lso_bench.plotting.numbers import fixed
from lso_bench.report import provenance
from lso_bench.report.cells import EMPTY, estimate, model, number
from lso_bench.report.paper_files import suffix
from lso_bench.report.renderers import markdown as markdown_renderer
from lso_bench.report.renderers import terminal as terminal_renderer
from lso_bench.report.table import MODEL, Cell, Column, Table
from lso_bench.report.trainings import bars

SHOWN = 12  # disagreements in the terminal; all are in the Markdown


def terminal(reproduction: Reproduction) -> RenderableType:
    """Return the paper's value, ours and the difference, one row per model, then disagreements in the order."""
    messages = [*_lines(reproduction)]
    n_hidden = len(messages) - SHOWN
    shown = [*messages[:SHOWN], *[f"and {n_hidden} more, in the Markdown"] * (n_hidden > 0)]
    return Group(terminal_renderer.table(table(reproduction)), *map(terminal_renderer.note, shown))


def write(reproduction: Reproduction, name: str, folder: Path, models: Sequence[str] = ()) -> list[Path]:
    """Write Markdown and CSV of a table, or CSV and PNG of a figure, and return their paths.

    Args:
        models: rows that were asked for, which are then part of the files' names; none stands for all of them.
    """
    model = reproduction.measured[0].model
    arch = "".join(c if c.isalnum() else "+" for c in model.arch)
    seeds = sorted({m.model.seed for m in reproduction.measured})
    path = folder / f"{name}-{model.data}-{arch}{suffix(models, seeds)}.md"
    if name.startswith("table"):
        write_atomic(path, printable(markdown(reproduction)).encode())
        write_atomic(path.with_suffix(".csv"), reproduction.rows.to_csv(index=False).encode())
        return [path, path.with_suffix(".csv")]
    if name == "fig1":
        activities = bars(reproduction.measured)
        table = pd.DataFrame(dict(activities)).rename_axis("dimension")
        write_atomic(path.with_suffix(".csv"), table.to_csv().encode())
        images.activity(path.with_suffix(".png"), activities)
    else:
        lines = curves(reproduction.measured)
        write_atomic(path.with_suffix(".csv"), lines.to_csv().encode())
        images.over_training(path.with_suffix(".png"), lines, "re-encoding error, mean over latents of (z - z')^2")
    return [path.with_suffix(".csv"), path.with_suffix(".png")]


def markdown(reproduction: Reproduction) -> str:
    """Return the table, disagreements in the order, the measurement's provenance, and each model's command."""
    notes = [f"- {n}" for n in _lines(reproduction)]
    commands = [
        f"- `{m.training['command']}`: checkpoint {m.inputs['checkpoint'][:12]}, {_versions(m)}"
        for m in reproduction.measured
    ]
    measured = provenance.line({"torch": m.torch} | m.inputs for m in reproduction.measured)
    written = f"Measured: {measured}; written by lso-bench {__version__}."
    parts = [
        f"# {reproduction.title}",
        _subtitle(reproduction),
        markdown_renderer.plain_rows(table(reproduction)),
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
    versions = provenance.line([m.training["versions"] or {}]) or "versions not noted"
    return f"{versions}, {m.training['epochs']} epochs"


def table(reproduction: Reproduction) -> Table:
    """Return the table of the paper's values, ours and the differences, one row per model."""
    rows = reproduction.rows
    measures = list(dict.fromkeys(rows.measure))
    several = bool((rows.seeds > 1).any())
    header = ["d", "epochs", *["seeds"] * several, *(f"{m} {x}" for m in measures for x in ("paper", "ours", "diff."))]
    lines = []
    for key, model_rows in rows.groupby(["model", "latent", "epochs"], sort=False, dropna=False):
        name, d, epochs = cast(tuple[str, int, float], key)
        by_measure = model_rows.set_index("measure").to_dict("index")
        line = [model(name), number(d, str), number(epochs, "{:.0f}".format, undefined="nan")]
        line += [number(int(model_rows.seeds.max()), str)] * several
        for m in measures:
            line += _cells(m, by_measure[m]) if m in by_measure else [EMPTY] * 3
        lines.append(line)
    title = f"{reproduction.title} ({_subtitle(reproduction)})"
    columns = [Column(h.replace(" ", "\n"), is_whole=True, is_key=h in ("d", "epochs")) for h in header]
    return Table(title, [MODEL, *columns], lines)


def _cells(measure: str, row: dict) -> tuple[Cell, Cell, Cell]:
    is_count, is_mean = measure == "AU", row["seeds"] > 1
    form = ("{:.3g}" if is_mean else "{:.0f}") if is_count else "{:.2f}"
    difference = (1 if is_mean else 0) if is_count else 2
    paper = number(row["paper"], form.format)
    if is_mean:
        ours = estimate(row["ours"], row["low"], row["high"], form.format)
    else:
        error = fixed(row["error"], 1 if is_count else 2)
        ours = number(row["ours"], lambda v: f"{fixed(v, 0 if is_count else 2)} +- {error}")
    return paper, ours, number(row["difference"], f"{{:+.{difference}f}}".format)


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
