"""Answers of a comparison in sentences: which is best, how fast, how dependent on the start.

A winner is named only where the difference is significant.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from lso_bench.analysis import paired
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.groups import TEXT_COLUMNS
from lso_bench.analysis.paired import COMPARED, WITHIN
from lso_bench.analysis.rank_tests import BLOCKS, CONTESTANTS
from lso_bench.analysis.table import GROUP_KEYS, SECTION_KEYS
from lso_bench.files.sanitize import one_line
from lso_bench.report.cells import p_value
from lso_bench.report.contests import Contest, contests, contests_over_tasks, from_first_start
from lso_bench.report.sections import SEARCHER_KEYS, Section, task_names

OTHER = {"model": "searcher", "searcher": "model"}  # what contests of a factor are in
NAME = 26  # characters of a name, at most
SECTIONS = 4  # sections with an answer each, at most
_in_full: ContextVar[bool] = ContextVar("whether names stand in full", default=False)
FEW = {"valid": 0.9, "distinct": 0.5}  # shares of the evaluations of a model and searcher below which it is said


@dataclass(frozen=True)
class Question:
    """A question about contestants, and the words of its answer."""

    label: str
    outcome: str  # of `lso_bench.analysis.paired`
    verb: str
    object: str  # what the best one does more than others
    attribute: str  # what the best one has, and those not significantly worse
    unknown: Callable[[Sequence[Section], Comparison], str]  # reason why nothing is compared


def answers(question: Question, parts: Sequence[Section], comparison: Comparison) -> list[str]:
    """Return the answer about models, and the one about searchers, where they were compared.

    With several sections the contestants are compared over tasks, or within each where the tasks are few.
    """
    texts: dict[str, str] = {}
    if len(parts) > 1 and (by_each := by_section(question, parts, comparison)):
        return by_each
    for factor in COMPARED:
        if len(parts) == 1:
            compared = contests(parts[0], factor, question.outcome)
        else:
            compared = contests_over_tasks(comparison, factor, question.outcome)
        if shown := from_first_start(compared):
            text = _over_contexts(shown, question, {f: _count_of(f, parts) for f in COMPARED})
            texts[factor] = text + _other_starts(shown, compared)
    if len({*texts.values()}) > 1:
        texts = {f: text.replace("undecided", f"undecided between {f}s", 1) for f, text in texts.items()}
    return [*dict.fromkeys(texts.values())] or [f"undecided: {question.unknown(parts, comparison)}"]


def by_section(question: Question, parts: Sequence[Section], comparison: Comparison) -> list[str]:
    """Return the answers within the sections, if the contests over tasks are not tested and few sentences say it."""
    over_tasks = [c for factor in COMPARED for c in contests_over_tasks(comparison, factor, question.outcome)]
    if len(parts) > SECTIONS or not over_tasks or any(c.is_tested for c in over_tasks):
        return []
    parts = [part for part in parts if part.models]
    places: dict[str, list[str]] = {}
    for title, part in zip(titles(parts), parts, strict=True):
        for text in answers(question, [part], comparison):
            places.setdefault(text.replace("undecided: ", "undecided, "), []).append(title)
    every = {len(parts): "every task"}
    return [f"{every.get(len(where)) or listed(where)}: {text}" for text, where in places.items()]


def few_valid_texts(parts: Sequence[Section]) -> list[str]:
    """Return a sentence about the evaluations of tasks that score texts, if few anywhere were valid or distinct."""
    tables = [part.runs.dropna(subset=TEXT_COLUMNS) for part in parts if part.scores_texts]
    if not tables:
        return []
    runs = pd.concat(tables, ignore_index=True)
    shares = {"valid": 1 - runs["texts invalid"].to_numpy(), "distinct": runs["texts distinct"].to_numpy()}
    fewest = {name: int(values.argmin()) for name, values in shares.items() if values.min() < FEW[name]}
    return [
        f"{_range(shares[name])} of evaluations were of {name} texts; fewest by {runs.searcher_label[i]} in "
        f"{runs.model[i]}."
        for name, i in fewest.items()
    ]


def _range(shares: Float[np.ndarray, " r"]) -> str:
    """Return the lowest and the highest of shares as a text."""
    return " to ".join(dict.fromkeys(f"{share:.0%}" for share in (shares.min(), shares.max())))


def titles(parts: Sequence[Section]) -> list[str]:
    """Return the shortest names of sections that tell them apart."""
    names = [task_names(parts), [part.short_title for part in parts]]
    return next((titles for titles in names if len({*titles}) == len(parts)), names[-1])


@contextmanager
def names_in_full() -> Iterator[None]:
    """Let sentences name all contestants, each in full: where there is room."""
    token = _in_full.set(True)
    try:
        yield
    finally:
        _in_full.reset(token)


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return names as a phrase; of many the first ones, unless `names_in_full`."""
    if _in_full.get():
        most = len(names)
    shown = [one_line(n) if _in_full.get() else one_line(n, NAME) for n in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def p_text(p: float) -> str:
    """Format a p-value for a sentence; empty if it is unknown."""
    return p_value(p).text.replace("< ", "<")


def _count_of(factor: str, parts: Sequence[Section]) -> int:
    """Return how many models, or searchers with their limits, have a final loss in the sections."""
    keys = ["model"] if factor == "model" else SEARCHER_KEYS
    rows = pd.concat([part.rows("loss")[keys] for part in parts])
    return len(rows.astype(str).drop_duplicates())


def _over_contexts(compared: Sequence[Contest], question: Question, counts: Mapping[str, int]) -> str:
    """Return the answer of contests of the same contestants: in full where all agree, else the best ones of each.

    Args:
        counts: numbers of models and of searchers. If not all were compared, for example because their limits or seeds
            differ, the answer says so.
    """
    count, place = counts[compared[0].factor], _place(compared, counts)
    if len(compared) == 1:
        return _verdict(compared[0], question, place, _some_of(compared, count))
    results: dict[str, list[Contest]] = {}
    for contest in sorted(compared, key=lambda c: not c.worse):
        results.setdefault(_result(contest), []).append(contest)
    factor = compared[0].factor
    everywhere = place or f" {WITHIN[factor]} every {OTHER[factor]}"
    some = _some_of(compared, count)
    if not any(c.worse for c in compared) and len(results) == 1:
        (result,) = results
        if not compared[0].is_tested:
            return f"{_at(place, result)}{_bracketed(some)}."
        return f"{result} between {some or f'{factor}s'}{everywhere}{_smallest_p(compared)}."
    phrases = []
    for result, group in sorted(results.items(), key=lambda item: (not item[1][0].worse, -len(item[1]))):
        where = f" {WITHIN[factor]} {listed([c.context for c in group], 4)}" if len(results) > 1 else everywhere
        phrases.append(_at(where, result))
    return f"{question.attribute}: {'; '.join(phrases)}{_bracketed(some)}."


def _place(compared: Sequence[Contest], counts: Mapping[str, int]) -> str:
    """Return where the contests are, as a phrase; empty if contestants were compared in every model, or searcher."""
    factor, contexts = compared[0].factor, [*dict.fromkeys(c.context for c in compared)]
    return f" {WITHIN[factor]} {listed(contexts)}" if len(contexts) < counts[OTHER[factor]] else ""


def _at(place: str, result: str) -> str:
    """Return a result with its place: before the reason why it is undecided, else at the end."""
    reason = result.removeprefix("undecided: ")
    return f"{result}{place}" if reason == result else f"undecided{place}: {reason}"


def _bracketed(some: str) -> str:
    return f" ({some} compared)" * bool(some)


def _some_of(compared: Sequence[Contest], count: int) -> str:
    """Return how many of the contestants each contest has; empty if each has all, or others are compared apart."""
    groups = {frozenset(c.names) for c in compared}
    numbers = sorted({len(names) for names in groups})
    if len(groups) > 1 and sum(map(len, groups)) == count == len(frozenset().union(*groups)):
        return ""  # for example the searchers of each budget
    few = " to ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
    return f"{few} of {count} {compared[0].factor}s" if numbers[0] < count else ""


def _result(contest: Contest) -> str:
    """Return who is best in a contest, or why nobody is."""
    if contest.worse:
        return listed(sorted(contest.top), 3)
    if not contest.is_tested:
        return f"undecided: {_untested(contest)}"
    return "undecided" if contest.contradicting else "no significant difference"


def _verdict(contest: Contest, question: Question, place: str, some: str) -> str:
    """Return what is significant in a contest: who is worse than the best one, and who is not told from it.

    Args:
        place: model or searcher of the contest as a phrase, if there are others.
        some: how many of the contestants it has, if not all; the answer then says of how many instances, too.
    """
    undecided = f"undecided{place}:"
    count = f"; {some} compared" * bool(some)
    if not contest.worse:
        if contest.contradicting:
            return (
                f"{undecided} {contest.best} is ahead on more {contest.unit}, {listed(contest.contradicting)} by "
                f"larger differences (p = {p_text(contest.p(contest.contradicting[0]))}{count})."
            )
        if not contest.is_tested:
            return f"{undecided} {_untested(contest)}{_bracketed(some)}."
        compared = listed(contest.names) if len(contest.names) <= 3 else f"the {len(contest.names)} {contest.factor}s"
        size = f"; {contest.n} {contest.unit}{count}" * bool(some)
        return f"no significant difference between {compared}{place}{_smallest_p([contest], size)}."
    p = p_text(max(contest.p(name) for name in contest.worse))
    detail = f"p {p}" if p.startswith("<") else f"p = {p}"
    if len(contest.names) == 2:
        wins = 1 - contest.wins[contest.worse[0]]["estimate"]
        detail = f"on {wins:.0%} of {contest.n} {contest.unit}, {detail}"
    elif some:
        detail = f"{contest.n} {contest.unit}, {detail}"
    if question.outcome != "loss" and not math.isnan(contest.threshold):
        detail += f", threshold {contest.threshold:g}"
    level = contest.top[1:]
    remark = f"; no significant difference to {listed(level)}" * bool(level)
    winner = f"{listed([contest.best])} {question.verb} {question.object} {listed(contest.worse)}{place}"
    return f"{winner} ({detail}{count}){remark}."


def _smallest_p(compared: Sequence[Contest], remark: str = "") -> str:
    """Return the smallest p of contests in brackets, and a remark; one of them was tested."""
    known = [p for c in compared for name in c.names[1:] if not math.isnan(p := c.p(name))]
    thresholds = {f", threshold {c.threshold:g}" for c in compared if not math.isnan(c.threshold)}
    at = "".join(thresholds) if len(thresholds) == 1 else ""
    return f" ({'smallest ' * (len(known) > 1)}p = {p_text(min(known))}{at}{remark})"


def _untested(contest: Contest) -> str:
    """Return why a contest was not tested, and what would help."""
    if contest.pooled:
        return contest.pooled
    if contest.n >= contest.fewest_blocks:
        return f"a test over tasks needs {CONTESTANTS} {contest.factor}s"
    count = f"{contest.n} {contest.unit if contest.n != 1 else contest.unit.removesuffix('s')}"
    test = f"a test{f' of {len(contest.names)} {contest.factor}s' * (contest.fewest_blocks > BLOCKS)}"
    seeds = f": --seed 0-{contest.fewest_blocks - 1}" * (contest.unit == "starts")
    return f"{count}, {test} needs {contest.fewest_blocks}{seeds}"


def _other_starts(shown: Sequence[Contest], compared: Sequence[Contest]) -> str:
    """Return of which starts an answer is, and what other starts answer, where several kinds were compared."""
    kinds = [kind for kind in dict.fromkeys(c.start for c in compared) if kind != shown[0].start]
    answered = filter(None, (_from(kind, shown, compared) for kind in kinds))
    texts = [text for _, text in sorted(answered)]
    if not kinds or not any(c.is_tested for c in compared):
        return ""
    place = _starts(shown[0].start)
    return f" {'; '.join([place[:1].upper() + place[1:], *texts])}."


def _from(start: str, shown: Sequence[Contest], compared: Sequence[Contest]) -> tuple[bool, str] | None:
    """Return whether contests from a kind of start answer otherwise, and in words; None if none of them is tested."""
    elsewhere = {c.context: c for c in compared if c.start == start and c.is_tested}
    pairs = [(c, elsewhere[c.context]) for c in shown if c.context in elsewhere]
    if not pairs:
        return None
    changed = [second for first, second in pairs if not _agree(first, second)]
    if not changed:
        return False, f"the same {_starts(start)}"
    results: dict[str, list[str]] = {}
    for contest in sorted(changed, key=lambda c: not c.worse):
        results.setdefault(_result(contest), []).append(contest.context)
    places = [f" {WITHIN[shown[0].factor]} {listed(contexts)}" * (len(shown) > 1) for contexts in results.values()]
    phrases = [f"{result}{place}" for result, place in zip(results, places, strict=True)]
    return True, f"not {_starts(start)}: {', '.join(phrases)}"


def _agree(a: Contest, b: Contest) -> bool:
    """Return whether two contests name the same best ones, and the same worse ones."""
    return a.is_tested and {*a.top} == {*b.top} and {*a.worse} == {*b.worse}


def _starts(kind: str) -> str:
    """Return a kind of start, or of pairs of starts, as a phrase."""
    first, dash, second = kind.partition(" - ")
    return f"between {first} and {second} starts" if dash else f"from {first} starts"


def _nothing_to_compare(parts: Sequence[Section], comparison: Comparison, outcome: str = "loss") -> str:
    """Return why no models and no searchers are compared."""
    if lost := _lost(parts, comparison, outcome):
        return lost
    if len(parts) > 1:
        return "no two tasks share two models or searchers, seeds and limits."
    models, searchers = (len({*parts[0].runs[k]}) for k in ("model", "searcher_label"))
    if models == searchers == 1:
        return "there is one model and one searcher."
    if models == len({*parts[0].runs["searcher"]}) == 1 and parts[0].by:
        return "there is one model and one searcher in each part that --by makes."
    names = [f"{models} models"] * (models > 1) + [f"{searchers} searchers"] * (searchers > 1)
    return f"the {' and '.join(names)} share no starts, seeds and limits."


def _few_converged(parts: Sequence[Section], comparison: Comparison) -> str:
    """Return why no speed is compared."""
    thresholds = {float(t) for part in parts for t in part.rows("iterations").threshold}
    if not thresholds:
        return "these searches have no threshold; see the table of targets."
    rows = pd.concat([part.rows("iterations") for part in parts])
    at_largest = cast(pd.DataFrame, rows[rows.threshold == max(thresholds)])
    unmet, n = (int(at_largest[k].to_numpy().sum()) for k in ("censored", "n"))
    if 2 * unmet > n:
        return f"{n - unmet} of {n} met threshold {max(thresholds):g}; more steps may decide it."
    return _nothing_to_compare(parts, comparison)


def _no_pairs(parts: Sequence[Section], comparison: Comparison) -> str:
    """Return why no dependence on the start is compared.

    Tasks with several instances have targets as a rule, and with them the encoder's start.
    """
    if any(_has_pairs(part, comparison.searches) for part in parts):
        return _nothing_to_compare(parts, comparison, "gap")
    several = any(_inside(part, comparison.searches).instance.nunique() > 1 for part in parts)
    return f"each instance has one start; add {'--starts random,encoder or ' * several}--seed 0,1."


def _has_pairs(part: Section, searches: pd.DataFrame) -> bool:
    """Return whether some instance of a section has several starts in one trained model."""
    inside = _inside(part, searches)
    starts = inside.groupby([*GROUP_KEYS, *part.by, "weights", "instance"], dropna=False).start_id.nunique()
    return bool((starts > 1).any())


def _lost(parts: Sequence[Section], comparison: Comparison, outcome: str) -> str:
    """Return how many searches have no finite loss, if that is why nothing is compared; else an empty text."""
    searches = pd.concat([_inside(part, comparison.searches) for part in parts])
    lost = int((~np.isfinite(searches.loss)).sum())
    compared = paired.rows if len(parts) == 1 else paired.across_tasks
    measures = compared(searches.assign(loss=0.0), (), comparison.by) if lost else ()
    if any(row["measure"] in (f"{factor} rank:{outcome}" for factor in COMPARED) for row in measures):
        return f"{lost} of {len(searches)} searches have no finite loss."
    return ""


def _inside(part: Section, searches: pd.DataFrame) -> pd.DataFrame:
    """Return the searches of a section."""
    return cast(pd.DataFrame, searches[(searches[[*SECTION_KEYS]] == pd.Series(part.context)).all(axis=1)])


BEST = Question("Answer", "loss", "reaches", "a lower loss than", "lowest final loss", _nothing_to_compare)
SPEED = Question("Speed", "speed", "converges", "in fewer steps than", "fewest steps to converge", _few_converged)
STARTS = Question("Starts", "gap", "depends", "less on the start than", "least dependent on the start", _no_pairs)
QUESTIONS = BEST, SPEED, STARTS
