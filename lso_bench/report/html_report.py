"""HTML report: one page that needs no other file and no network, and is equal for equal results."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lso_bench import __version__
from lso_bench.analysis.collapse import Collapse
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.table import SECTION_KEYS, Files
from lso_bench.files.sanitize import one_line
from lso_bench.models.measurements import Measured
from lso_bench.plotting.activity import activity
from lso_bench.plotting.colours import SEARCHER_COLOURS, colour_of, for_dark_mode
from lso_bench.plotting.style import SIZES, CaptionedFigure, style_context
from lso_bench.record import Record
from lso_bench.report import findings, full_answers, html_answers, html_images, html_overview, paired_tables
from lso_bench.report.figure_files import over_tasks
from lso_bench.report.figures import FIGURES
from lso_bench.report.figures.collapse import scatter, settings
from lso_bench.report.html_texts import drawn
from lso_bench.report.renderers.html import environment
from lso_bench.report.section_figures import section_figure, section_figures
from lso_bench.report.sections import Section, sections
from lso_bench.report.svg import svg
from lso_bench.report.table import Table, short
from lso_bench.report.tables import section_tables
from lso_bench.report.trainings import bars
from lso_bench.spec import Spec

GENERATOR = "lso-bench report"  # identifies a report
SIZE = SIZES["screen"]
HALF = replace(SIZE, width=5.2)  # beside a table
TABS = {  # tables and figures of each section, by the tab of the page
    "Models": (("final", "models"), ()),
    "Searchers": (("searchers",), ("forest-searchers",)),
    "Convergence": (("convergence", "targets"), ("curves", "ecdf")),
    "Texts": (("texts",), ()),
    "Starts": (("starts",), ("distance", "spread", "basin")),
    "Statistics": (("variance", "images", "cost", "runs"), ("variance", "ranks")),
}


OPENED = ("Models", "Searchers", "Texts", "Convergence", "Starts", "Collapse")  # tabs before that of images


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
    """Figures and tables below a heading."""

    title: str
    figures: list[PageFigure]
    tables: list[Table]
    searcher_descriptions: Sequence[str] = ()


@dataclass(frozen=True)
class Tab:
    """A part of the page that is opened on demand."""

    id: str
    title: str
    parts: list[Part]


@dataclass(frozen=True)
class Chapter:
    """A section of the comparison: its answers, the forest plot beside them, and its parts by tab."""

    answers: html_answers.Answers
    forest: PageFigure | None
    parts: dict[str, Part]


def html(results: Results) -> str:
    """Render the page.

    Names of models, tasks and so on come from files that anybody may have written. They are escaped by jinja2, and a
    policy in the page forbids the network and every script but its own.
    """
    models = {r.spec.model.name for r in results.records} | {m.model.name for m in results.spaces}
    used = {*map(colour_of, models), *SEARCHER_COLOURS}
    colours = {c: for_dark_mode(c) for c in sorted(c.lower() for c in used)}
    with style_context(SIZE):
        parts_with_results = [s for s in sections(results.comparison) if len(s.measures)]
        chapters = [_chapter(s, i, results, colours) for i, s in enumerate(parts_with_results, 1)]
        tasks = [*_over_tasks(results.comparison, colours)]
        collapse = [*_collapse(results.comparison.collapse, colours)]
        spaces = [*_spaces(results.spaces, colours)]
    sheets, unread = html_images.reconstructions(results.records, results.files)
    walks, not_shown = html_images.walks(results.folders)
    parts = {tab: [c.parts[tab] for c in chapters if tab in c.parts] for tab in TABS}
    parts["Models"] += tasks
    parts["Collapse"] = [*collapse, *spaces]
    tabs = {name: Tab(name.lower(), name, parts[name]) for name in parts}
    return _render(
        title=f"Latent space optimization: {findings.names(r.spec.task.partition(':')[0] for r in results.records)}",
        summary=findings.summary(results.comparison, results.records),
        colours=colours,
        overall=full_answers.over_tasks(parts_with_results, results.comparison),
        chapters=chapters,
        tabs=[tabs[name] for name in OPENED if parts[name]],
        statistics=tabs["Statistics"],
        sheets=sheets,
        walks=walks,
        left=[*unread, *not_shown],
        lost=[*html_overview.lost(results.records), *results.skipped],
        lost_counts=html_overview.lost_counts(results.records, len(results.skipped)),
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
    figures = {d.name: _page_figure(d, f"s{place}{d.name}", colours) for d in _section_figures(section)}
    forest = figures.get("forest-models") or figures.pop("forest-searchers", None)  # each stands once in the page
    title, parts = short(section.short_title), {}
    for tab, (tables, names) in TABS.items():
        shown = section_tables(section, results.comparison.targets, names=tables)
        shown = [drawn(t, section.context["task"]) for t in shown] if tab == "Texts" else shown
        part_figures = [figures[name] for name in names if name in figures]
        if shown or part_figures:
            described = [*section.searcher_descriptions.values()] if tab == "Searchers" else []
            parts[tab] = Part(title, part_figures, shown, described)
    return Chapter(html_answers.section_answers(section, results.comparison), forest, parts)


def _section_figures(section: Section) -> Iterator[CaptionedFigure]:
    """Yield the figures of a section; the forest plot on the first screen has half the page's width."""
    models = section_figure(section, "forest", HALF, "model")
    searchers = section_figure(section, "forest", SIZE if models else HALF, "searcher")
    yield from (figure for figure in (models, searchers) if figure)
    yield from section_figures(section, SIZE, [*FIGURES])


def _over_tasks(comparison: Comparison, colours: dict[str, str]) -> Iterator[Part]:
    """Yield the tables over tasks, with their figure if there are enough tasks."""
    figure = over_tasks(comparison, SIZE)
    for part in paired_tables.over_tasks(comparison):
        yield Part("Over tasks", [_page_figure(figure, "tasks", colours)] if figure else [], part.tables)


def _collapse(result: Collapse, colours: dict[str, str]) -> Iterator[Part]:
    """Yield figure and tables of each section with enough models."""
    for i, (title, points) in enumerate(settings(result.checkpoint_table), 1):
        if scatter_plot := scatter(points, title, SIZE):
            section = points[[*SECTION_KEYS]].iloc[0].map(str).to_dict()
            parts = paired_tables.collapse(result, section)
            tables = [replace(t, name=f"{part.heading}: {t.title}") for part in parts for t in part.tables]
            yield Part("Does collapse decide search?", [_page_figure(scatter_plot, f"more{i}", colours)], tables)


def _spaces(spaces: Sequence[Measured], colours: dict[str, str]) -> Iterator[Part]:
    """Yield the measures of the latent spaces, if any were taken."""
    if spaces:
        figure = activity(bars(spaces), "Activity", SIZE)
        yield Part(
            "Latent spaces, measured", [_page_figure(figure, "activity", colours)], [html_overview.spaces(spaces)]
        )


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
