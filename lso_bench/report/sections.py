"""Sections of a comparison: models and searchers on one task, with labels for the searchers."""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any, cast

import numpy as np
import pandas as pd

from lso_bench.analysis.best_texts import best_texts
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.groups import TEXT_COLUMNS
from lso_bench.analysis.table import SECTION_KEYS, start_order
from lso_bench.analysis.united import space_name
from lso_bench.errors import unknown
from lso_bench.plugins.notation import distinct_names, is_object, name_of, read, short_name
from lso_bench.run_settings import IN_TABLES, RUN_SETTINGS
from lso_bench.search.controls import control, searches_samples

SEQUENCE_ARCHITECTURES = ("gru", "transformer", "parallel")
SEARCHER_KEYS = ["searcher", "region", *IN_TABLES]


@dataclass(frozen=True)
class Section:
    """Runs of one task, architecture, latent dimension, decoding and device.

    The column `searcher_label` of `measures` and `runs` is a short name of searcher and limits.
    """

    context: dict[str, Any]
    measures: pd.DataFrame  # long table
    runs: pd.DataFrame
    searcher_descriptions: dict[str, str]  # by label: searcher with settings, region and limits
    by: tuple[str, ...] = ()  # fields that split the rows beyond GROUP_KEYS
    texts: pd.DataFrame = field(default_factory=pd.DataFrame)  # the best of each model and searcher: see `best_texts`
    short_title: str = ""  # task, architecture and dimension, and what tells it from the other sections
    contests: dict[tuple[str, str], list[Any]] = field(default_factory=dict, repr=False)  # those computed so far

    @property
    def title(self) -> str:
        n = self.context
        return f"{n['task']} · {space_name(n['arch'], n['latent'])} · decoding {n['decoding']} · {n['device']}"

    def rows(self, measure: str) -> pd.DataFrame:
        """Return the rows of a measure."""
        return self._by_measure[measure] if measure in self._by_measure else self.measures.iloc[:0]

    def row(self, measure: str, like: Mapping[str, Any], against: str = "") -> dict[str, Any]:
        """Return the row of a measure with the model, searcher and start of `like`; empty if there is none."""
        return self._by_key.get(_key({**like, "measure": measure, "against": against}), {})

    @cached_property
    def models(self) -> list[str]:
        """Models that have a final loss, in order."""
        return [*dict.fromkeys(self.rows("loss").model)]

    @cached_property
    def searcher_labels(self) -> list[str]:
        """Labels of the searchers that have a final loss, in order."""
        return [*dict.fromkeys(self.rows("loss").searcher_label)]

    @cached_property
    def first_start(self) -> str:
        """Kind of start that comes first: random, if there is one; empty if all runs failed."""
        return min(self.rows("loss").start.unique(), key=start_order, default="")

    def median_loss(self, model: str, label: str) -> float:
        """Return the median final loss from the first kind of start; NaN if there is none."""
        row = self.row("loss", {"model": model, "searcher_label": label, "start": self.first_start})
        return row.get("median", math.nan)

    @cached_property
    def scores_texts(self) -> bool:
        """Return whether the task scores texts, whose evaluations were counted."""
        return bool(self.runs.reindex(columns=TEXT_COLUMNS).notna().to_numpy().any())

    @cached_property
    def is_of_texts(self) -> bool:
        """Return whether samples are texts: the task scores texts, or the architecture is one of sequences."""
        return self.scores_texts or name_of(str(self.context["arch"])) in SEQUENCE_ARCHITECTURES

    def lacks_text(self, row: Mapping[str, Any]) -> bool:
        """Return whether most searches of a row saw no valid text; their median loss is that of an invalid one."""
        return self.scores_texts and self.row("beside:valid", row).get("estimate", 1.0) < 0.5

    def evaluated(self, share: str, like: Mapping[str, Any]) -> float:
        """Return the share of evaluations of a model and searcher: of valid or of distinct texts; NaN if unknown."""
        return self.row(f"evaluations:{share}", {**like, "start": ""}).get("estimate", math.nan)

    def searches(self, row: Mapping[str, Any]) -> str:
        """Return the number of searches of a row, and instances x searches of each: "200 (50 x 4)"."""
        instances = self._instances.get((row["model"], row["searcher_label"]), 0)
        if instances < 2 or row["n"] % instances or row["n"] == instances:
            return f"{row['n']}"
        return f"{row['n']} ({instances} x {row['n'] // instances})"

    @cached_property
    def _instances(self) -> dict[tuple[str, str], int]:
        """Number of instances by model and label of the searcher."""
        columns = self.runs[["model", "searcher_label", "instances"]].itertuples(index=False, name=None)
        return {(model, label): int(n) for model, label, n in columns}

    @cached_property
    def _by_measure(self) -> dict[str, pd.DataFrame]:
        return {str(measure): rows for measure, rows in self.measures.groupby("measure", sort=False)}

    @cached_property
    def _by_key(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """Rows by key; of several thresholds or targets, the last."""
        return {_key(row): row for row in cast(list[dict[str, Any]], self.measures.to_dict("records"))}

    def lines(self) -> list[tuple[str, str]]:
        """Return each model with each of its searchers, in order."""
        return [(str(m), str(h)) for m, h in self.measures[["model", "searcher_label"]].drop_duplicates().to_numpy()]


def sections(comparison: Comparison) -> Iterator[Section]:
    """Yield the sections of a comparison."""
    columns = [*SEARCHER_KEYS, *comparison.by]
    groups = [*comparison.runs.groupby([*SECTION_KEYS], dropna=False, sort=False)]
    contexts: list[dict[str, Any]] = [dict(zip(SECTION_KEYS, cast(tuple, key), strict=True)) for key, _ in groups]
    all_texts = best_texts(comparison.searches, comparison.by)
    for (_, runs), context, short_title in zip(groups, contexts, short_titles(contexts), strict=True):
        in_section = (comparison.measures[[*SECTION_KEYS]] == pd.Series(context)).all(axis=1)
        rows = cast(pd.DataFrame, comparison.measures[in_section])
        texts = cast(pd.DataFrame, all_texts[(all_texts[[*SECTION_KEYS]] == pd.Series(context)).all(axis=1)])
        # a lost run has no device
        of_runs, of_rows, of_texts = (_searcher_setups(frame, columns) for frame in (runs, rows, texts))
        setups = dict(of_runs) | dict(of_rows)
        labels = _labels_by_key(setups)
        descriptions = {labels[text]: description(setup) for text, setup in setups.items()}
        run_labels, row_labels, text_labels = ([labels[k] for k, _ in part] for part in (of_runs, of_rows, of_texts))
        yield Section(
            context,
            rows.assign(searcher_label=row_labels),
            runs.assign(searcher_label=run_labels),
            descriptions,
            comparison.by,
            texts.assign(searcher_label=text_labels),
            short_title,
        )


def by_known_name(labels: Mapping[str, str], comparison: Comparison, texts: Collection[str] = ()) -> dict[str, str]:
    """Return displayed names by the names that the results have: an object of Python may be named without its hash.

    Raises:
        UsageError: a name is in neither the results nor these texts, or several objects have it.
    """
    rows = [part.rows("loss")[["model", "searcher_label", "task", "start"]] for part in sections(comparison)]
    known = {str(value) for table in rows for value in table.to_numpy().flat}
    objects = {name: [n for n in known if is_object(n) and short_name(n) == name] for name in labels}
    for name in labels:
        if name not in known and name not in texts and len(objects[name]) != 1:
            raise unknown("model, searcher, task or start", name, sorted(known))
    return {name if name in known or name in texts else objects[name][0]: label for name, label in labels.items()}


def short_titles(contexts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a short title of each section: task, architecture and dimension, and what tells it from its namesakes."""
    titles = [f"{short_name(c['task'])} · {space_name(c['arch'], c['latent'])}" for c in contexts]
    unique = []
    for title, context in zip(titles, contexts, strict=True):
        namesakes = [c for t, c in zip(titles, contexts, strict=True) if t == title]
        differing = [k for k in SECTION_KEYS if len({str(c[k]) for c in namesakes}) > 1]
        unique.append(" · ".join([title, *(str(context[k]) for k in differing)]))
    return unique


def task_names(parts: Sequence[Section]) -> list[str]:
    """Return the name of the task of each section, with what tells it from its namesakes."""
    return distinct_names([str(part.context["task"]) for part in parts])


def searcher_labels(rows: pd.DataFrame, by: tuple[str, ...] = ()) -> list[str]:
    """Return the short name of searcher and limits of each row, as in a section of these rows."""
    setups = _searcher_setups(rows, [*SEARCHER_KEYS, *by])
    labels = _labels_by_key(dict(setups))
    return [labels[key] for key, _ in setups]


def labels_by_setup(rows: pd.DataFrame, by: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the `searcher_label` of rows by searcher and limits, so that other rows find it by theirs."""
    setups = _searcher_setups(rows, [*SEARCHER_KEYS, *by])
    return dict(zip((key for key, _ in setups), map(str, rows.searcher_label), strict=True))


def effort(setup: Mapping[Any, Any]) -> str:
    """Return the limit of a search as a text: its evaluations, or its steps."""
    is_budget = setup["budget"] <= setup["max_steps"]
    return f"{setup['budget']:g} evaluations" if is_budget else f"{setup['max_steps']:,.0f} steps"


def short_value(value: object) -> str:
    """Return the value of a field for a label; of a hash its first 8 digits."""
    return str(value)[:8] if re.fullmatch("[0-9a-f]{64}", str(value)) else str(value)


def _labels_by_key(setups: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return the short label of each setup, by its key."""
    return dict(zip(setups, _short_labels([*setups.values()]), strict=True))


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        row[k] if isinstance(row[k], str) else "" for k in ("measure", "model", "searcher_label", "start", "against")
    )


def _searcher_setups(rows: pd.DataFrame, columns: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return the key of each row's setup, and the setup: many rows share one, which is read once."""
    numbers = rows.groupby(columns, sort=False, dropna=False).ngroup().to_numpy()
    firsts = rows[columns].iloc[np.unique(numbers, return_index=True)[1]]
    setups = [dict(zip(columns, row, strict=True)) for row in firsts.itertuples(index=False)]
    keyed = [(_setup_key(setup), setup) for setup in setups]
    return [keyed[number] for number in numbers]


def not_met(setup: dict[str, Any]) -> str:
    """Return text for a threshold that was not met: above the steps, or ∞ under a budget or time limit."""
    limited = not (pd.isna(setup["budget"]) and pd.isna(setup["seconds"]))
    return "∞" if limited else f"> {float(setup['max_steps']):,.0f}"


def _setup_key(setup: dict[str, Any]) -> str:
    """Return a text that is equal for equal setups, whatever the types of their columns."""
    return str([str(float(v)) if isinstance(v, Real) and not isinstance(v, bool) else str(v) for v in setup.values()])


def _short_labels(setups: list[dict[str, Any]]) -> list[str]:
    """Return the searcher's name, with the settings that differ if several setups share it."""
    parts = [_label_parts(w) for w in setups]
    labels = []
    for setting_labels in parts:
        namesakes = [p for p in parts if p["name"] == setting_labels["name"]]
        differ = [k for k in setting_labels if len({p.get(k) for p in namesakes}) > 1]
        labels.append(" ".join([setting_labels["name"], *(setting_labels[k] for k in differ if setting_labels.get(k))]))
    hashed = [_with_hash(s, setup["searcher"]) for s, setup in zip(labels, setups, strict=True)]
    labels = [h if labels.count(s) > 1 else s for s, h in zip(labels, hashed, strict=True)]
    return [f"{s} ({i})" if labels.count(s) > 1 else s for i, s in enumerate(labels, 1)]


def _with_hash(label: str, searcher: str) -> str:
    """Return the label of an object with the hash that its name has; other labels as they are."""
    return label.replace(short_name(searcher), name_of(searcher), 1) if is_object(searcher) else label


def _label_parts(setup: dict[str, Any]) -> dict[str, str]:
    """Return a searcher's name, its settings and its limits, each as a short text."""
    setting_texts = {k: f"{k}={v}" for k, v in read(setup["searcher"]).settings.items()}
    return {"name": short_name(setup["searcher"]).removesuffix(".py"), **setting_texts, **_setting_labels(setup)}


def _setting_labels(setup: dict[str, Any]) -> dict[str, str]:
    field_labels = {k: f"{k}={short_value(v)}" if v else "" for k, v in setup.items() if k not in SEARCHER_KEYS}
    region = "" if setup["region"] == "none" else f"in {setup['region']}"
    labels = {k: RUN_SETTINGS[k].label(setup[k]) for k in IN_TABLES}
    if setup["budget"] <= setup["max_steps"]:
        labels["max_steps"] = ""
    return field_labels | {"region": region} | labels


def description(setup: dict[str, Any]) -> str:
    """Return the full description, for the top of a section."""
    budget = "" if pd.isna(setup["budget"]) else f", {setup['budget']:g} evaluations a problem"
    changed = [RUN_SETTINGS[k] for k in IN_TABLES if k not in ("max_steps", "budget")]
    limits = [s.label(setup[s.name]) for s in changed if setup[s.name] != s.omitted]
    region = "no region" if setup["region"] == "none" else f"region {setup['region']}"
    area = "samples in place of latents" if searches_samples(setup["searcher"]) else region
    role = f" (control: {text})" if (text := control(setup["searcher"])) else ""
    restrictions = ", ".join(filter(None, (area, *limits)))
    return f"{setup['searcher']}{role}: at most {setup['max_steps']} steps{budget}, {restrictions}"
