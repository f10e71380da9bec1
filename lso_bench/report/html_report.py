"""HTML report: one page that needs no other file and no network, and is equal for equal results."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
from markupsafe import Markup

from lso_bench import __version__
from lso_bench.analysis.collapse import COMPARED_WITHIN, Collapse
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.table import Files
from lso_bench.files.sanitize import one_line
from lso_bench.models.measurements import Measured
from lso_bench.plotting.activity import activity
from lso_bench.plotting.colours import colour_of, for_dark_mode
from lso_bench.plotting.style import SIZES, CaptionedFigure, style_context
from lso_bench.record import Record
from lso_bench.report import findings, html_images, html_overview, paired_tables
from lso_bench.report.figure_files import bars, over_tasks, section_figures
from lso_bench.report.figures.collapse import contexts, scatter
from lso_bench.report.renderers.html import environment
from lso_bench.report.sections import Section, sections
from lso_bench.report.svg import svg
from lso_bench.report.table import Table, short
from lso_bench.report.tables import section_tables
from lso_bench.spec import Spec

GENERATOR = "lso-bench report"  # identifies a report
SIZE = SIZES["screen"]
PARTS = {  # figures above a table, by its heading
    "Final loss": ("curves",),
    "Evaluations to a target loss": ("ecdf",),
    "How much depends on the start": ("distance", "spread", "basin"),
    "Where the variance comes from": ("variance",),
    paired_tables.title("model"): ("ranks",),
}


@dataclass(frozen=True)
class Results:
    """Input of a report."""

    folders: Sequence[Path]
    records: Sequence[Record]
    files: Callable[[Spec], Files]  # finds the files of a run
    comparison: Comparison  # comparison of these records, with curves
    spaces: Sequence[Measured] = ()
    skipped: Sequence[str] = ()  # unreadable files, one line each


@dataclass(frozen=True)
class PageFigure:
    """A figure in the page."""

    svg: Markup
    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Part:
    """A table below its figures."""

    id: str
    title: str
    figures: list[PageFigure]
    table: Table


@dataclass(frozen=True)
class Chapter:
    """A section of the comparison."""

    id: str
    title: str  # short
    full_title: str
    searcher_descriptions: dict[str, str]
    answers: list[findings.Line]
    parts: list[Part]


def html(results: Results) -> str:
    """Render the page.

    Names of models, tasks and so on come from files that anybody may have written. They are escaped by jinja2, and a
    policy in the page forbids the network and every script but its own.
    """
    models = {r.spec.model.name for r in results.records} | {m.model.name for m in results.spaces}
    colours = {c: for_dark_mode(c) for c in sorted({colour_of(n).lower() for n in models})}
    with style_context(SIZE):
        chapters = [_chapter(s, i, results, colours) for i, s in enumerate(sections(results.comparison), 1)]
        tasks = [*_over_tasks(results.comparison, colours)]
        collapse_parts = [*_collapse(results.comparison.collapse, colours)]
        spaces = [activity(bars(results.spaces), "Activity", SIZE)] if results.spaces else []
        active = [_page_figure(d, "activity", colours) for d in spaces]
    sheets, unread = html_images.reconstructions(results.records, results.files)
    walks, left = html_images.walks(results.folders)
    return _render(
        title=f"Latent space optimization: {findings.names(r.spec.task.partition(':')[0] for r in results.records)}",
        summary=findings.summary(results.comparison, results.records),
        colours=colours,
        chapters=chapters,
        tasks=tasks,
        more=collapse_parts,
        bars=active,
        spaces=html_overview.spaces(results.spaces) if results.spaces else None,
        sheets=sheets,
        walks=walks,
        left=[*unread, *left],
        lost=[*html_overview.lost(results.records), *results.skipped],
        missing=html_overview.missing(results.records),
        notes=results.comparison.notes,
        environment=html_overview.environment(results.records),
        again=[*html_overview.again(results.records)],
    )


def is_report(path: Path) -> bool:
    """Return whether a file is a report of this program.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(2000)


def _chapter(section: Section, place: int, results: Results, colours: dict[str, str]) -> Chapter:
    figures = {d.name: _page_figure(d, f"s{place}{d.name}", colours) for d in section_figures(section, SIZE)}
    parts = []
    for n, table in enumerate(section_tables(section, results.comparison.targets)):
        over = [figures[name] for name in PARTS.get(table.heading, ()) if name in figures]
        parts.append(Part(f"s{place}-{n}", table.heading, over, table))
    n = section.context
    title = f"{n['task'].partition(':')[0]} · {n['arch']}, d = {n['latent']}"
    return Chapter(
        f"s{place}",
        short(title),
        section.title,
        section.searcher_descriptions,
        [*findings.lines(section, results.records)],
        parts,
    )


def _over_tasks(comparison: Comparison, colours: dict[str, str]) -> Iterator[Part]:
    """Yield the tables over tasks; the first has the figure, if there are enough tasks."""
    figure = over_tasks(comparison, SIZE)
    figures = [_page_figure(figure, "tasks", colours)] if figure else []
    for part in paired_tables.over_tasks(comparison):
        for i, table in enumerate(part.tables, 1):
            yield Part(f"tasks-{i}", table.heading, figures if i == 1 else [], table)


def _collapse(result: Collapse, colours: dict[str, str]) -> Iterator[Part]:
    """Yield figure and table of each context with enough models."""
    for i, (title, group) in enumerate(contexts(result.checkpoint_table), 1):
        if scatter_plot := scatter(group, title, SIZE):
            context = group[COMPARED_WITHIN].map(str).iloc[0]
            in_context = (result.correlations[COMPARED_WITHIN].map(str) == context).all(axis=1)
            (part,) = paired_tables.collapse(Collapse(group, cast(pd.DataFrame, result.correlations[in_context])))
            yield Part(f"more-{i}", title, [_page_figure(scatter_plot, f"more{i}", colours)], part.tables[0])


def _page_figure(figure: CaptionedFigure, name: str, colours: dict[str, str]) -> PageFigure:
    alt = one_line(" ".join(filter(None, (figure.caption, figure.alt_text))))
    markup = Markup(svg(figure.figure, name, colours))  # escaped by matplotlib
    return PageFigure(markup, figure.title, figure.caption, alt)


def _render(**values: Any) -> str:
    templates = environment()
    script = templates.get_template("page.js").render().strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    common = {"generator": GENERATOR, "version": __version__, "script": Markup(script), "script_sha256": digest}
    return templates.get_template("page.html").render(**common, **values)
