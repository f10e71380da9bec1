"""What of a comparison stands together: models and searchers on one task, with names for the searchers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.table import SECTION_KEYS
from lso_bench.vae.notation import read

SEARCHER_KEYS = ["searcher", "region", "max_steps", "budget", "seconds", "patience", "check_every", "joint"]


@dataclass(frozen=True)
class Section:
    """What belongs to one task, architecture, decoding and device; `how` is a short name of searcher and limits."""

    context: dict[str, Any]
    measures: pd.DataFrame  # long table
    runs: pd.DataFrame
    searcher_descriptions: dict[str, str]  # short name: the searcher with its settings, where it looks and how long

    @property
    def title(self) -> str:
        n = self.context
        return f"{n['task']} · {n['arch']}, d = {n['latent']} · decoding {n['decoding']} · {n['device']}"

    def rows(self, measure: str) -> pd.DataFrame:
        return self._by_measure[measure] if measure in self._by_measure else self.measures.iloc[:0]

    def row(self, measure: str, like: Mapping[str, Any], against: str = "") -> dict[str, Any]:
        """The row of the same model, searcher and start as `like`; empty if there is none."""
        return self._by_key.get(_key({**like, "measure": measure, "against": against}), {})

    @cached_property
    def _by_measure(self) -> dict[str, pd.DataFrame]:
        return {str(measure): own for measure, own in self.measures.groupby("measure", sort=False)}

    @cached_property
    def _by_key(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """Rows by what tells them apart; where thresholds or the like do, too, the last."""
        return {_key(row): row for row in cast(list[dict[str, Any]], self.measures.to_dict("records"))}

    def lines(self) -> list[tuple[str, str]]:
        """Models, each with its searchers, in their order."""
        return [(str(m), str(h)) for m, h in self.measures[["model", "searcher_label"]].drop_duplicates().to_numpy()]


def sections(comparison: Comparison) -> Iterator[Section]:
    """One after the other."""
    columns = [*SEARCHER_KEYS, *comparison.by]
    for key, runs in comparison.runs.groupby([*SECTION_KEYS], dropna=False, sort=False):
        named: dict[str, Any] = dict(zip(SECTION_KEYS, cast(tuple, key), strict=True))
        of = (comparison.measures[[*SECTION_KEYS]] == pd.Series(named)).all(axis=1)
        rows = cast(pd.DataFrame, comparison.measures[of])
        ways = {
            _text(w): w for frame in (runs, rows) for w in _ways(frame, columns)
        }  # a run that was lost says no device
        how = _named(ways)
        spelled = {how[text]: _limits(way) for text, way in ways.items()}
        of_runs, of_rows = ([how[_text(w)] for w in _ways(frame, columns)] for frame in (runs, rows))
        yield Section(named, rows.assign(searcher_label=of_rows), runs.assign(searcher_label=of_runs), spelled)


def searcher_labels(rows: pd.DataFrame, by: tuple[str, ...] = ()) -> list[str]:
    """Of each row the short name of its searcher and limits, as in a section of these rows alone."""
    each = [(_text(way), way) for way in _ways(rows, [*SEARCHER_KEYS, *by])]
    short = _named(dict(each))
    return [short[text] for text, _ in each]


def _named(ways: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """The short name of each, by its text."""
    return dict(zip(ways, _short([*ways.values()]), strict=True))


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        row[k] if isinstance(row[k], str) else "" for k in ("measure", "model", "searcher_label", "start", "against")
    )


def _ways(rows: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows[columns].itertuples(index=False)]


def not_met(way: dict[str, Any]) -> str:
    """More than the steps that there were; a budget or a time limit does not say how many that is."""
    limited = not (pd.isna(way["budget"]) and pd.isna(way["seconds"]))
    return "∞" if limited else f"> {float(way['max_steps']):,.0f}"


def _text(way: dict[str, Any]) -> str:
    """Return a text that is the same for equal ways, whatever the types of the columns that they come from."""
    return str([str(float(v)) if isinstance(v, Real) and not isinstance(v, bool) else str(v) for v in way.values()])


def _short(ways: list[dict[str, Any]]) -> list[str]:
    """The searcher's name; of several ways that share it, with what they differ in."""
    parts = [_parts(w) for w in ways]
    found = []
    for own in parts:
        same = [p for p in parts if p["name"] == own["name"]]
        differ = [k for k in own if len({p.get(k) for p in same}) > 1]
        found.append(" ".join([own["name"], *(own[k] for k in differ if own.get(k))]))
    return [f"{s} ({i})" if found.count(s) > 1 else s for i, s in enumerate(found, 1)]


def _parts(way: dict[str, Any]) -> dict[str, str]:
    """A searcher's name, its settings and limits, each as a word."""
    name, settings = read(way["searcher"])
    each = {k: f"{k}={v}" for k, v in settings.items()}
    return {"name": name.split("/")[-1].removesuffix(".py"), **each, **_words(way)}


def _words(way: dict[str, Any]) -> dict[str, str]:
    split = {k: f"{k}={v}" if v else "" for k, v in way.items() if k not in SEARCHER_KEYS}
    return split | {
        "region": "" if way["region"] == "none" else f"in {way['region']}",
        "max_steps": "" if way["budget"] <= way["max_steps"] else f"{way['max_steps']} steps",
        "budget": "" if pd.isna(way["budget"]) else f"{way['budget']:g} ev.",
        "seconds": "" if pd.isna(way["seconds"]) else f"{way['seconds']:g} s",
        "patience": "" if pd.isna(way["patience"]) else f"patience {way['patience']:g}",
        "check_every": f"checks every {way['check_every']}",
        "joint": "joint" if way["joint"] else "",
    }


def _limits(way: dict[str, Any]) -> str:
    """In full, for the head of a section."""
    budget = "" if pd.isna(way["budget"]) else f", {way['budget']:g} evaluations a problem"
    rest = [w for k, w in _words(way).items() if w and k in ("seconds", "patience", "joint")]
    region = "no region" if way["region"] == "none" else f"region {way['region']}"
    return f"{way['searcher']}: at most {way['max_steps']} steps{budget}, {', '.join([region, *rest])}"
