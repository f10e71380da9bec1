"""Comparison of results: the summary, tables as DataFrames, LaTeX and figures."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.paired import COMPARED
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.analysis.united import with_known_dimensions
from lso_bench.errors import UsageError, unknown
from lso_bench.record import Record
from lso_bench.report import tables
from lso_bench.report.sections import sections
from lso_bench.report.summary import summary
from lso_bench.spec import Spec
from lso_bench.store.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = ["model", "searcher", "start"]  # columns that name a row
SETUP = ["task", "arch", "latent", "decoding", "device"]  # columns that name its table
STATISTICS = ["n", "censored", "estimate", "low", "high", "q25", "q75", "mean", "p"]


@dataclass(frozen=True, repr=False)
class ResultComparison:
    """Comparison of results, as `lso-bench compare` prints it. Losses are minus the score: lower is better.

    In a DataFrame a row is a model with a searcher and a kind of start, `estimate` is the median over searches, and
    `low` and `high` are its 95 % interval. docs/json.md says what each measure is.
    """

    compute: Callable[[Literal["full", "brief"]], Comparison] = field(repr=False)
    records: list[Record] = field(repr=False)
    files: Callable[[Spec], Store] = field(repr=False)
    folders: Sequence[Path] = ()

    def summary(self, commands: Sequence[str] = (), complete: bool = False) -> str:
        """Return the table, the answers and the notes, in at most 15 lines of 80 columns.

        Args:
            commands: what the last line names; default: none.
            complete: compute all measures, which reads every file of the runs.
        """
        return "\n".join(summary(self.comparison if complete else self._known, commands))

    @cached_property
    def comparison(self) -> Comparison:
        """All measures, computed when they are first asked for."""
        return self.compute("full")

    @property
    def _known(self) -> Comparison:
        """All measures if they are computed already, else those of a summary."""
        return self.__dict__.get("comparison") or self._brief

    @cached_property
    def _brief(self) -> Comparison:
        return self.compute("brief")

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """Show the summary in a notebook."""
        return f"<pre>{html.escape(self.summary())}</pre>"

    @property
    def notes(self) -> list[str]:
        """Lines that name what makes rows less comparable than they look."""
        return self._known.notes

    @property
    def measures(self) -> pd.DataFrame:
        """All measures in one long table, as `compare --json` gives them."""
        return with_known_dimensions(self.comparison.measures)

    @property
    def final_loss(self) -> pd.DataFrame:
        """Final losses."""
        return self.measure("loss")

    @property
    def convergence(self) -> pd.DataFrame:
        """Steps until the loss falls by no more than each threshold."""
        return self.measure("iterations")

    @property
    def targets(self) -> pd.DataFrame:
        """Evaluations until each target loss."""
        return self.measure("evaluations")

    @property
    def starts(self) -> pd.DataFrame:
        """Dependence on the start: gap of the losses, distance of the latents and same basin, of pairs of starts."""
        return self.measure("gap", "distance", "basin")

    def measure(self, *names: str) -> pd.DataFrame:
        """Return the rows of these measures; none where no run has a result.

        Raises:
            UsageError: there is no such measure here.
        """
        if self.measures.empty:
            return pd.DataFrame(columns=[*ROW, *self.comparison.by, *STATISTICS, *SETUP])
        known = self.measures.measure.unique().tolist()
        for name in names:
            if name not in known and len(names) == 1:
                raise unknown("measure", name, known)
        labelled = self._labelled()
        rows = cast(pd.DataFrame, labelled[labelled.measure.isin(names)])
        details = [c for c in ("threshold", "target", "within", "against") if not rows[c].isna().to_numpy().all()]
        shown = [*["measure"] * (len(names) > 1), *details]
        table = cast(pd.DataFrame, rows[[*ROW, *self.comparison.by, *shown, *STATISTICS, *SETUP]])
        return table.dropna(axis=1, how="all").reset_index(drop=True)

    def paired(self, of: str = "model", outcome: str = "loss") -> pd.DataFrame:
        """Return the paired comparisons of models or of searchers, each pair in a row.

        `difference` is the median of a less b over the instances, `wins` the fraction of instances on which a is
        better, `p` that of Wilcoxon's test, corrected by Holm's method.

        Args:
            of: "model" or "searcher".
            outcome: "loss", "missed", "iterations", "speed" or "gap".

        Raises:
            UsageError: no such comparison.
        """
        if of not in COMPARED:
            raise unknown("contestant", of, [*COMPARED])
        rows = self._labelled()
        prefix = f"{of} difference:"
        known = [m.removeprefix(prefix) for m in rows.measure.unique() if m.startswith(prefix)]
        if not known:
            raise UsageError(f"No two {of}s are compared here; run a second one, or say which are by `of`.")
        if outcome not in known:
            raise unknown("outcome", outcome, known)
        keys = [*ROW, "against", *self.comparison.by, "threshold", *SETUP]
        parts = [self._part(rows, f"{of} {m}:{outcome}", keys, columns) for m, columns in PAIR_COLUMNS.items()]
        pairs = parts[0]
        for part in parts[1:]:
            pairs = pairs.merge(part, on=keys, how="left")
        pairs = pairs.rename(columns={of: "a", "against": "b"})
        columns = [c for c in pairs if c not in SETUP]
        return cast(pd.DataFrame, pairs[[*columns, *SETUP]]).dropna(axis=1, how="all")

    def table(self, name: str) -> str:
        """Return a table as Markdown: final, convergence, targets, starts, variance, cost, models, searchers and so on.

        Raises:
            UsageError: there is no such table.
        """
        _check_table(name)
        return tables.markdown(self.comparison, names=[name])

    def latex(
        self,
        table: str = "final",
        rows: str | None = None,
        columns: str | None = None,
        labels: Mapping[str, str] | None = None,
        label: str = "",
        caption: str = "",
        cost: str = "evaluations",
    ) -> str:
        r"""Return one table as LaTeX, for a document with `\usepackage{booktabs}`.

        Args:
            table: its name, as in `table`.
            rows: what the rows of a matrix of medians are: model, searcher, task or start.
            columns: likewise its columns.
            labels: displayed names: `{"nevae_se": "NE-VAE"}`.
            label: for `\ref`.
            caption: instead of the title.
            cost: unit in the table of targets: "evaluations", "steps" or "seconds".

        Raises:
            UsageError: there is no such table, or it cannot be a matrix.
        """
        _check_table(table)
        from lso_bench.report.latex_table import one

        return one(self.comparison, table, (rows, columns), labels or {}, label, caption, cost)

    def plot(
        self,
        kind: str = "forest",
        color: str = "searcher",
        of: str = "model",
        size: str = "screen",
        labels: Mapping[str, str] | None = None,
    ) -> "Figure":
        """Return a figure of matplotlib; its attribute `caption` says what it shows, and of how many searches.

        Args:
            kind: "forest" (paired differences to the best), "curves" (lowest loss over evaluations), or a figure of
                the report: "ecdf", "distance", "spread", "basin", "variance", "ranks", "collapse".
            color: of curves: "searcher" (a panel per model) or "model" (a panel per searcher).
            of: of a forest plot: "model" or "searcher".
            size: "screen", "column" (3.3 inches) or "page" (6.9 inches).
            labels: displayed names, which may have formulas: `{"nevae_se": "NE-VAE"}`.

        Raises:
            UsageError: there is no such figure or name, or these results have several tasks or settings: select one by
                `where`.
        """
        from lso_bench.api.figures import draw

        return draw(self, kind, color, of, size, labels or {})

    def _labelled(self) -> pd.DataFrame:
        """Return all measures, each searcher under its short name, also where a row is compared with another."""
        parts = []
        for part in sections(self.comparison):
            rows = part.measures
            setup = [k for k in (*GROUP_KEYS, *self.comparison.by) if k != "searcher"]
            keys = [tuple(map(str, key)) for key in rows[setup].itertuples(index=False)]
            labels = {(*key, s): label for key, s, label in zip(keys, rows.searcher, rows.searcher_label, strict=True)}
            against = [labels.get((*key, a), a) for key, a in zip(keys, rows.against, strict=True)]
            parts.append(rows.assign(searcher=rows.searcher_label, against=against))
        return with_known_dimensions(pd.concat(parts)).reindex(self.measures.index) if parts else self.measures

    def _part(self, rows: pd.DataFrame, measure: str, keys: list[str], columns: Mapping[str, str]) -> pd.DataFrame:
        return rows.loc[rows.measure == measure, [*keys, *columns]].rename(columns=columns)


PAIR_COLUMNS = {  # columns of a pair, by measure
    "difference": {"n": "n", "estimate": "difference", "low": "low", "high": "high", "p": "p"},
    "wins": {"estimate": "wins"},
    "effect": {"estimate": "effect"},
}


def _check_table(name: str) -> None:
    if name not in tables.TABLES:
        raise unknown("table", name, [*tables.TABLES])
