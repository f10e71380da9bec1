"""Caveats of a comparison: what makes runs incomparable or their figures misleading, one line per caveat."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, product

import numpy as np

from lso_bench.analysis.duplicates import duplicate_warnings
from lso_bench.analysis.groups import one_version, scored_texts
from lso_bench.analysis.table import group, sort_key
from lso_bench.analysis.united import BY_MODEL, original
from lso_bench.bounds import is_number
from lso_bench.plugins.notation import distinct_names
from lso_bench.record import Record, SearchResult
from lso_bench.run_settings import RUN_SETTINGS, Setting
from lso_bench.runner.identity import recorded_version
from lso_bench.store.columns import Columns


def _values_by_caveat() -> dict[str, Callable[[Record], str]]:
    """Return, by the words of a caveat, a function that gets the text of its settings."""
    settings: dict[str, list[Setting]] = {}
    for s in RUN_SETTINGS.values():
        settings.setdefault(s.caveat, []).append(s)
    return {words: partial(_setting_text, listed) for words, listed in settings.items()}


def _setting_text(settings: Sequence[Setting], record: Record) -> str:
    """Return the values that are not the default; searches without thresholds have the default of a descent's."""
    values = [(s, getattr(record.spec, s.name)) for s in settings if record.spec.thresholds or not s.descent]
    return ", ".join(filter(None, (s.label(v) for s, v in values if v != s.default))) or "as by default"


def _effort(record: Record) -> str:
    """Return the evaluations of a problem; a step of a descent is one evaluation."""
    return f"{record.spec.budget or record.spec.max_steps:,.0f} evaluations"


COMPARED_SETTINGS: dict[str, Callable[[Record], object]] = {
    **_values_by_caveat(),
    "thresholds": lambda r: ", ".join(f"{t:g}" for t in r.spec.thresholds) or (),
    "budgets": _effort,
    "starts": lambda r: r.spec.starts,
    "search regions": lambda r: r.spec.region,
    "decoding": lambda r: r.spec.decoding,
    "devices": lambda r: r.versions.get("device"),
    "threads": lambda r: r.versions.get("threads"),
    "data": lambda r: r.versions.get("data_sha256"),
    "code versions": lambda r: r.versions.get("lso_bench"),
    "versions of torch": lambda r: r.versions.get("torch"),
}
UNEQUAL_TRAINING = 1.5  # ratio of the epochs of two models, from which on they are not trained alike
COUNTED = {  # counts of searches, and what is said of them
    "fallbacks": "the searcher fell back on Sobol points or draws of the prior",
    "outside_points": "the optimizer asked for a point outside the region, and the nearest one inside was scored",
    "inversion_fallbacks": "log p(x|z) was not finite, and a latent was not inverted",
    "penalty_fallbacks": "the penalty was not finite, and the largest so far stood for it",
    "invalid_scores": "a sample had no score (NaN), and the task's invalid_score stood for it",
}
MAX_MOVED_SHARE = 0.25  # share of starts; 8 % of draws from the prior lie outside a box of 3 in 32 dimensions
LONG = 0.99  # share of training texts that are shorter than one, from which on it counts as long
INVALID = ("invalid_texts", "evaluations")  # counts of a run
SCREENED = " with screening"  # end of the name of searches whose texts are training texts
MAX_LISTED = 4  # values listed in a line


def caveats(
    records: Sequence[Record], unpaired: Mapping[str, Sequence[str]] | None = None, by: Sequence[str] = ()
) -> list[str]:
    """Return the caveats of all runs, including those that failed.

    Args:
        unpaired: lines of `lso_bench.analysis.unpaired`, by task.
        by: further fields that split the rows.
    """
    ordered = sorted(records, key=sort_key)
    lines = [line for r in ordered for line in _failures(r)]
    tasks = [*dict.fromkeys(r.spec.task for r in ordered)]
    names = dict(zip(tasks, distinct_names(tasks), strict=True))
    for task, task_runs in groupby(ordered, key=lambda r: r.spec.task):
        name, runs = names[task], [r for r in task_runs if r.members]
        messages = (
            *_setting_differences(runs),
            *_source_files(runs),
            *_code_versions(runs, "task"),
            *(unpaired or {}).get(task, ()),
            *_pooled_weights(runs, by),
            *_missing_runs(runs),
            *_other_problems(runs),
            *_texts(runs),
        )
        lines += [f"{name}: {line}" for line in messages]
    by_searcher = sorted((r for r in ordered if r.members), key=_searcher)
    for name, searcher_runs in groupby(by_searcher, key=_searcher):
        lines += [f"{name}: {line}" for line in _code_versions([*searcher_runs], "searcher")]
    return lines + duplicate_warnings(ordered)


def without_coordinates(runs: Sequence[Record]) -> Iterator[str]:
    """Yield a line about runs whose distances and basins are left out, because u was not stored."""
    if runs:
        yield (
            f"{_which(runs)}: no distances and basins, which are those of the coordinates u of the search (--space); "
            "an earlier version did not store u. Run again with another --results."
        )


def _searcher(record: Record) -> str:
    return record.spec.searcher_name


def _failures(record: Record) -> Iterator[str]:
    if not record.members:
        yield f"{record.status}: {record.spec.title}; left out, and last where ranks are compared ({record.error})."
    elif record.status != "ok":
        diverged = int(np.isnan(_losses(record)).sum())
        yield f"{record.status}: {record.spec.title}; {diverged} of {len(record.members)} searches have no finite loss."


def _setting_differences(runs: list[Record]) -> Iterator[str]:
    """Yield the settings in which runs in the same latent space differ; other spaces have tables of their own."""
    for setting, value in COMPARED_SETTINGS.items():
        values_by_space: dict[tuple, set] = {}
        for r in runs:
            values_by_space.setdefault(_space(r), set()).add(value(r))
        values = max(values_by_space.values(), key=lambda texts: len(texts - {()}), default=set()) - {()}
        if len(values) > 1:  # not all searches have thresholds
            yield f"the runs differ in {setting} ({_summarise_values(values)}); compare only rows where it is the same."


def _source_files(runs: list[Record]) -> Iterator[str]:
    """Yield searchers for which several versions of a file ran on one task.

    Two searchers have two files, so runs are compared by searcher.
    """
    for name, searcher_runs in groupby(sorted(runs, key=_searcher), key=_searcher):
        values = {r.spec.source for r in searcher_runs} - {"", None}
        if len(values) > 1:
            yield (
                f"the runs of {name} differ in task or searcher files; compare only those of one "
                f"({one_version('source', values)}): {_summarise_values(values)}."
            )


def _code_versions(runs: list[Record], kind: str) -> Iterator[str]:
    """Yield a line where several versions of a task's or searcher's code ran, as far as the runs recorded it."""
    fields = (f"{kind}_sha256", f"{kind}_package")
    versions = [recorded_version(kind, r.spec, r.versions) for r in runs]
    values = {tuple(v.values()) for v in versions} - {()}
    if len(values) > 1:
        field = fields[len({v[fields[0]] for v in versions if fields[0] in v}) == 1]
        option = one_version(field, {v[field] for v in versions if field in v})
        yield (
            f"the runs were made by several versions of the {kind}'s code; compare only those of one ({option}): "
            f"{_summarise_values(values)}."
        )


def _summarise_values(values: set) -> str:
    """List distinct values, at most MAX_LISTED of them."""
    words = {None: "none", True: "yes", False: "no"}
    texts = sorted(", ".join(map(str, v)) if isinstance(v, tuple) else str(words.get(v, v))[:40] for v in values)
    return "; ".join(texts[:MAX_LISTED]) + (f"; {len(texts) - MAX_LISTED} more" if len(texts) > MAX_LISTED else "")


def _shorten(values: Iterable) -> str:
    """List each value once, at most MAX_LISTED of them."""
    texts = [str(value) for value in dict.fromkeys(values)]
    return ", ".join(texts[:MAX_LISTED]) + f", {len(texts) - MAX_LISTED} more" * (len(texts) > MAX_LISTED)


def _pooled_weights(runs: list[Record], by: Sequence[str]) -> Iterator[str]:
    """Yield the models of which rows pool different weights, with the searchers of these rows."""
    pooled: dict[tuple, list[Record]] = {}
    for r in runs:
        pooled.setdefault(tuple(group(r, by).values()), []).append(r)
    searchers: dict[str, list[str]] = {}
    for rows in pooled.values():
        if len({(r.spec.model.seed, r.spec.checkpoint) for r in rows}) > len({r.spec.model.seed for r in rows}):
            searchers.setdefault(rows[0].spec.model.name, []).append(_searcher(rows[0]))
    for model, names in searchers.items():
        some = _summarise_values({*names})
        yield f"runs of {model} with different weights are pooled in one row ({some}); --by checkpoint splits them."


def _seeds(record: Record) -> tuple[int, int]:
    return record.spec.model.seed, record.spec.seeds.init


def _missing_runs(runs: list[Record]) -> Iterator[str]:
    """Yield the models and seeds that lack a run which others have, by searcher, region, architecture and decoding."""
    present = {(_search_setup(r), r.spec.model.name, _seeds(r)) for r in runs}
    grids = {}
    for space in {setup[2:] for setup, _, _ in present}:
        setups = {setup for setup, _, _ in present if setup[2:] == space}
        models = {m for setup, m, _ in present if setup in setups}
        for setup in setups:
            grids[setup] = [
                *product(sorted(models), sorted({seeds for other_setup, _, seeds in present if other_setup == setup}))
            ]
    trainings = {train for _, _, (train, _) in present}

    def seed_text(seeds: tuple[int, int]) -> str:
        return f"{seeds[1]} of training {seeds[0]}" if len(trainings) > 1 else str(seeds[1])

    absent = {setup: [(m, s) for m, s in grids[setup] if (setup, m, s) not in present] for setup in sorted(grids)}
    descriptions = [
        f"{len(missing)} of {setup[0]} ({_shorten(m for m, _ in missing)}; "
        f"seed {_shorten(seed_text(seeds) for _, seeds in missing)})"
        for setup, missing in absent.items()
        if missing
    ]
    if descriptions:
        summary = f"{sum(map(len, absent.values()))} of {sum(map(len, grids.values()))} runs of the grid are missing"
        suffix = f"; {len(descriptions) - MAX_LISTED} more searchers" if len(descriptions) > MAX_LISTED else ""
        yield f"{summary}: {'; '.join(descriptions[:MAX_LISTED])}{suffix}."


def _search_setup(record: Record) -> tuple[str, ...]:
    """Return searcher and region, then what defines the searched space."""
    s = record.spec
    return s.searcher, s.region, s.model.arch, str(s.model.latent), s.decoding


def _training_lengths(runs: list[Record]) -> Iterator[str]:
    """Yield models of one architecture whose trainings differ in length by UNEQUAL_TRAINING, as far as recorded."""
    for networks, space_runs in groupby(sorted(runs, key=_networks), key=_networks):
        epochs = {r.spec.model.name: r.versions["epochs"] for r in space_runs if is_number(r.versions.get("epochs"))}
        shortest, longest = (choose(epochs, key=lambda n: epochs[n], default="") for choose in (min, max))
        if epochs and epochs[longest] >= UNEQUAL_TRAINING * epochs[shortest]:
            yield (
                f"{shortest} was trained for {epochs[shortest]:g} epochs and {longest} for {epochs[longest]:g} "
                f"({networks[0]}): the difference between them may be that of the trainings."
            )


def _space(record: Record) -> tuple[str, int]:
    return record.spec.model.arch, record.spec.model.latent


def _networks(record: Record) -> tuple[str, int]:
    model = original(record.spec.model)
    return model.arch, model.latent


def _several_decodings(runs: list[Record]) -> Iterator[str]:
    """Yield a line where a model from outside is not compared with ours, because these see the target's pixels."""
    outside = sorted({r.spec.model.name for r in runs if r.spec.model.external})
    forced = sorted({r.spec.model.name for r in runs if r.spec.decoding == "teacher"})
    if outside and forced:
        yield (
            f"{_shorten(forced)} decode each pixel given the target's pixels before it, {_shorten(outside)} from the "
            "latent alone; they are not compared (--arch conv decodes alike)."
        )


def _several_coordinates(runs: list[Record]) -> Iterator[str]:
    """Yield a line where models are compared of which each has its own default coordinates."""
    external = {r.spec.model.name: r.spec.model.external for r in runs if r.spec.space == BY_MODEL}
    in_z, standardised = ([n for n in external if external[n] is outside] for outside in (False, True))
    if in_z and standardised:
        yield (
            f"searches of {_shorten(in_z)} are in z, of {_shorten(standardised)} in standardised coordinates; --space "
            "sets one for all."
        )


def _other_problems(runs: list[Record]) -> Iterator[str]:
    yield from _several_decodings(runs)
    yield from _several_coordinates(runs)
    yield from _training_lengths(runs)
    mismatched = {r.spec.model.name for r in runs if _other_pixels(r)}
    for model in sorted(mismatched):
        yield f"{model} was trained on other pixels than it was run on (other fonts or data)."
    if still := [r for r in runs if stood_still(r)]:
        searches = f"{sum(map(_count_still, still))} of {sum(len(r.members) for r in still)}"
        yield f"{_which(still)}: {_never_left(searches)}; the score is flat there, or nothing better lies near."
    if early := [r for r in runs if _finished_early(r)]:
        searches = f"{sum(map(_finished_early, early))} of {sum(len(r.members) for r in early)}"
        yield f"{_which(early)}: {searches} searches had no further points before their budget was spent."
    yield from _counted(runs)
    for r in runs:
        if (moved := r.counts.get("moved_starts", 0)) > MAX_MOVED_SHARE * len(r.members):
            share = f"{moved} of {len(r.members)} starts lay outside {r.spec.region}"
            yield (
                f"{r.spec.title}: {share} and were moved to its edge; "
                f"they are not the {', '.join(r.spec.starts)} latents."
            )


def _counted(runs: list[Record]) -> Iterator[str]:
    """Yield what was counted that makes a search another than its name says."""
    for name, sentence in COUNTED.items():
        if counted := [r for r in runs if r.counts.get(name)]:
            yield f"{_which(counted)}: {sum(r.counts[name] for r in counted)} times {sentence}."


def _finished_early(record: Record) -> int:
    """Return the number of searches whose searcher gave no further points before their budget was spent."""
    return sum(m.stopped == "finished" and m.evaluations < (record.spec.budget or 0) for m in record.members)


def _texts(runs: list[Record]) -> Iterator[str]:
    """Yield what makes scores of texts misleading: length and novelty of the best, validity of all."""
    scored = [r for r in runs if scored_texts(r)]
    cells = {name: [*rows] for name, rows in groupby(sorted(scored, key=_cell), key=_cell)}
    best = {name: search for name, rows in cells.items() if (search := _best_valid(rows)) is not None}
    if long := [name for name, m in best.items() if m.beside.get("longer_than", 0) >= LONG]:
        yield (
            f"the best text of {_shorten(long)} is longer than {LONG:.0%} of the training texts; length alone may give "
            "its score."
        )
    searched = {name: m for name, m in best.items() if not name.endswith(SCREENED)}
    if known := [name for name, m in searched.items() if m.beside.get("novel") == 0]:
        yield f"the best text of {_shorten(known)} stands in the training set; picking training texts finds it."
    counts = {name: [sum(r.counts[k] for r in rows) for k in INVALID] for name, rows in cells.items()}
    if few := [f"{name} ({i / n:.0%})" for name, (i, n) in counts.items() if 2 * i > n]:
        yield f"most evaluations of {_shorten(few)} were of invalid texts; these searches saw few scores."
    lost = {name: sum(_lacks_text(m) for r in rows for m in r.members) for name, rows in cells.items()}
    if none := [f"{name} ({n} of {sum(len(r.members) for r in cells[name])})" for name, n in lost.items() if n]:
        yield f"searches of {_shorten(none)} saw no valid text; their loss is that of an invalid one."


def _which(runs: Sequence[Record]) -> str:
    """Return the title of a run, or how many there are and of what."""
    return runs[0].spec.title if len(runs) == 1 else f"{len(runs)} runs ({_shorten(map(_cell, runs))})"


def _cell(record: Record) -> str:
    return f"{record.spec.model.name} with {record.spec.searcher_name}"


def _best_valid(runs: Sequence[Record]) -> SearchResult | None:
    """Return the search that found the best valid text; None if none found one."""
    with_text = (m for r in runs for m in r.members if not _lacks_text(m))
    return min(with_text, key=lambda m: m.best, default=None)


def _lacks_text(search: SearchResult) -> bool:
    return search.beside.get("valid") == 0


def stood_still(record: Record) -> str:
    """Return how many searches ended with the loss of their starts, as a phrase; empty if it is no warning."""
    still = _count_still(record)
    return _never_left(f"{still} of {len(record.members)}") if still else ""


def _never_left(searches: str) -> str:
    return f"{searches} searches never changed the score of their starts"


def _count_still(record: Record) -> int:
    """Return the number of searches that ended with the loss of their starts; 0 if it is no warning.

    A search with gradients should leave any start. A search without them may find nothing better, unless no search of
    the run does.
    """
    columns = Columns.from_members(record.members)
    first_loss, loss, best, steps = (
        columns.rows[:, columns.names.index(k)] for k in ("first_loss", "loss", "best", "steps")
    )
    still = int(((loss == first_loss) & (best == first_loss) & (steps > 0)).sum())
    return still if still == len(record.members) or record.follows_gradient else 0


def _other_pixels(record: Record) -> bool:
    return record.versions.get("trained_on_sha256") not in (None, record.versions.get("data_sha256"))


def _losses(record: Record) -> np.ndarray:
    columns = Columns.from_members(record.members)
    return columns.rows[:, columns.names.index("loss")]
