"""Tables of a comparison, section by section."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import RenderableType

from lso_bench.analysis.comparison import Comparison
from lso_bench.report import convergence_tables, loss_tables, paired_tables, run_tables, start_tables
from lso_bench.report.renderers import latex as latex_renderer
from lso_bench.report.renderers import markdown as markdown_renderer
from lso_bench.report.renderers import terminal as terminal_renderer
from lso_bench.report.sections import Section, sections
from lso_bench.report.table import Part, Table
from lso_bench.report.text_tables import best_texts

TABLES = (  # names of tables
    *("final", "convergence", "targets", "starts", "variance", "cost", "models", "searchers", "tasks", "collapse"),
    *("images", "texts", "runs"),
)


def terminal(comparison: Comparison, cost: str = "evaluations", names: Sequence[str] = ()) -> RenderableType:
    """Render the tables of all sections for the terminal, then the notes.

    Args:
        cost: unit of costs to a target, one of `lso_bench.analysis.convergence.COSTS`.
        names: the tables to render, of TABLES; default: all.
    """
    return terminal_renderer.document(parts(comparison, cost, names), comparison.notes)


def markdown(comparison: Comparison, cost: str = "evaluations", names: Sequence[str] = ()) -> str:
    """Render the tables as Markdown; with `names` only these, without the notes."""
    return markdown_renderer.document(parts(comparison, cost, names), () if names else comparison.notes)


def latex(comparison: Comparison, cost: str = "evaluations", names: Sequence[str] = ()) -> str:
    """Render the tables as LaTeX; with `names` only these, without the notes."""
    return latex_renderer.document(parts(comparison, cost, names), () if names else comparison.notes)


def parts(comparison: Comparison, cost: str, names: Sequence[str] = ()) -> Iterator[Part]:
    """Yield a part per section, with the tables of these names (default: all); empty tables are left out."""
    for section in sections(comparison):
        starts = ", ".join(section.rows("loss").start.unique())
        heading = f"{section.title} · starts {starts}" if starts else section.title
        descriptions = [*dict.fromkeys(section.searcher_descriptions.values())]
        if shown := section_tables(section, comparison.targets, cost, names):
            yield Part(heading, descriptions, shown)
    if not names or "tasks" in names:
        yield from paired_tables.over_tasks(comparison)
    if not names or "collapse" in names:
        yield from paired_tables.collapse(comparison.collapse)


def section_tables(section: Section, targets: str, cost: str = "evaluations", names: Sequence[str] = ()) -> list[Table]:
    """Return the tables of a section that have rows, by default all of them."""
    makers: dict[str, Callable[[], Iterable[Table]]] = {
        "runs": lambda: [run_tables.runs(section)],
        "final": lambda: [loss_tables.losses(section), loss_tables.further(section)],
        "images": lambda: [loss_tables.auxiliary(section)],
        "texts": lambda: [best_texts(section)],
        "convergence": lambda: [convergence_tables.thresholds(section)],
        "targets": lambda: [convergence_tables.targets(section, targets, cost)],
        "starts": lambda: [start_tables.starts(section), start_tables.gaps(section)],
        "variance": lambda: [start_tables.variance(section)],
        "cost": lambda: [run_tables.costs(section)],
        "models": lambda: paired_tables.contests(section, "model"),
        "searchers": lambda: paired_tables.contests(section, "searcher"),
    }
    return [t for name, make in makers.items() if not names or name in names for t in make() if t.rows]
