"""Dependence of a search's outcome on its start.

A start is a label and, if it is random (`random`), an init seed. Two searches are a pair if they differ in nothing but
the start: same instance, trained model, settings and search seed. If the search seed follows the init seed (the
default), random starts differ in it too, and the statistics include the randomness of the searcher. Adam and L-BFGS
have none.

Distances are those of the coordinates of the search: of z in space `prior`, else of u, so that they do not depend on
the scale of the latents.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.intervals import proportion_interval
from lso_bench.analysis.table import Files, is_random, start_order, thresholds
from lso_bench.analysis.united import searched_space
from lso_bench.record import Record
from lso_bench.run_settings import PRIOR
from lso_bench.spec import Spec

BASIN_DISTANCE = 0.01  # squared, per coordinate: a tenth of the standard deviation (root mean square) of the prior, or
# in u of the aggregate posterior
BASIN_GAP = 0.01  # relative to the smaller loss: stopping early leaves a difference as large
COMBINED = 40_000  # pairs per instance and kind of start, at most: 200 seeds
BASIN_FLOOR = 1e-6  # relative to the loss at the start: near an optimum of 0, losses differ by rounding alone


@dataclass(frozen=True)
class FinalLatents:
    """Latents of a group of searches in the coordinates of the search, in the order of their table."""

    end: Float[np.ndarray, "n c"]
    met: dict[float, Float[np.ndarray, "n c"]]  # by threshold; NaN: not met
    known: Bool[np.ndarray, " n"]  # false: the file is lost or lacks u, or the search was one of samples
    without_u: tuple[str, ...] = ()  # keys of runs that an earlier version stored without u


def final_latents(group: pd.DataFrame, by_key: dict[str, Record], files: Callable[[Spec], Files]) -> FinalLatents:
    """Read the final latents of a group of searches from disk, in the coordinates of the search."""
    known, loaded, without_u = np.zeros(len(group), bool), [], []
    for key, rows in group.groupby("key", sort=False).indices.items():
        spec = by_key[str(key)].spec
        if (tensors := files(spec).tensors(spec)) is None:
            continue
        in_u = searched_space(spec) != PRIOR and not _is_of_samples(tensors)
        if in_u and "u" not in tensors:
            without_u.append(str(key))
            continue
        members = torch.tensor(group.place.to_numpy()[rows])
        points, points_met = (tensors[k] for k in (("u", "u_met") if in_u else ("z", "z_met")))
        met = {t: points_met[members, i].double().numpy() for i, t in enumerate(spec.thresholds)}
        at_end = points[members].double().numpy()
        loaded.append((rows, at_end, met))
        known[rows] = ~np.isnan(at_end).any(1)
    shape = len(group), loaded[0][1].shape[1] if loaded else 0
    end, by_threshold = np.full(shape, np.nan), {t: np.full(shape, np.nan) for t in thresholds(group)}
    for rows, at_end, met in loaded:
        end[rows] = at_end
        for t in by_threshold.keys() & met.keys():
            by_threshold[t][rows] = met[t]
    return FinalLatents(end, by_threshold, known, tuple(without_u))


def _is_of_samples(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the searches were of samples, which have no latents."""
    return bool(tensors["z"].isnan().all())


def search_seed_follows_init(group: pd.DataFrame) -> bool:
    """Return whether each init seed has its own search seed, so that no two random starts share one."""
    seeds = {*zip(group.search.tolist(), group.init.tolist(), strict=True)}
    return len({init for _, init in seeds}) > 1 and len({search for search, _ in seeds}) == len(seeds)


def unique_starts(group: pd.DataFrame) -> pd.DataFrame:
    """Return each start of an instance once, with its loss.

    A start that is not random (the encoder's) is the same start for every init seed.
    """
    columns = ["train", "weights", "instance", "start_id"]
    ordered = cast(pd.DataFrame, group[[*columns, "search", "loss"]]).sort_values("search", kind="stable")
    return ordered.drop_duplicates(columns if search_seed_follows_init(group) else [*columns, "search"])


def spread(group: pd.DataFrame) -> Iterator[dict]:
    """Yield the standard deviation of the final loss over the starts of an instance.

    It is computed over all kinds of start, and over each random kind with several init seeds. It is undefined, and
    counted as censored, if one of the searches has no finite loss.
    """
    kinds = sorted(group.start.unique(), key=start_order)
    random_kinds = [[k] for k in kinds if is_random(k) and group[group.start == k].init.nunique() > 1]
    for labels in ([kinds] if len(kinds) > 1 else []) + random_kinds:
        cell = ["train", "weights", "instance"] + ([] if search_seed_follows_init(group) else ["search"])
        starts = unique_starts(cast(pd.DataFrame, group[group.start.isin(labels)]))
        has_lost = np.isinf(starts.loss).groupby([starts[c] for c in cell]).any()
        deviations = starts.replace({"loss": {np.inf: np.nan}}).groupby(cell).loss.std(ddof=1).mask(has_lost)
        instances = deviations.index.get_level_values("instance").to_numpy()
        statistics = order_statistics(deviations.to_numpy(), instances)
        yield {"measure": "spread", "start": ", ".join(labels)} | statistics


def pair_statistics(
    group: pd.DataFrame, latents: FinalLatents, losses: Mapping[float, Float[np.ndarray, " n"]]
) -> Iterator[dict]:
    """Yield statistics of pairs of starts, by kind of pair.

    - gap: difference of the losses, where both searches met a threshold, and at the end.
    - distance: squared distance in the coordinates of the search, at the end and where both searches met a threshold.
    - basin: fraction of pairs that end in the same basin.

    If the latents of one search are lost, or it was stored without u, only the gap is given.

    Args:
        losses: loss of each search of the group when it met a threshold; NaN: not met or not known.
    """
    paired = pairs(group)
    kinds = sorted(paired.kind.unique(), key=lambda k: [start_order(s) for s in k.split(" - ")])
    for kind in kinds:
        selected = cast(pd.DataFrame, paired[paired.kind == kind])
        for t in latents.met:
            gaps = np.abs(losses[t][selected.a] - losses[t][selected.b])
            yield {"measure": "gap", "start": kind, "threshold": t} | order_statistics(
                gaps, selected.instance.to_numpy()
            )
        yield {"measure": "gap", "start": kind} | order_statistics(_gap(selected), selected.instance.to_numpy())
        selected = cast(pd.DataFrame, selected[latents.known[selected.a] & latents.known[selected.b]])
        if selected.empty:
            continue
        a, b, instances = selected.a.to_numpy(), selected.b.to_numpy(), selected.instance.to_numpy()
        distance = np.square(latents.end[a] - latents.end[b]).sum(1)
        yield {"measure": "basin", "start": kind} | same_basin_rate(
            selected, _gap(selected), distance / latents.end.shape[1]
        )
        yield {"measure": "distance", "start": kind} | order_statistics(distance, instances)
        for t, met in latents.met.items():
            met_distance = np.square(met[a] - met[b]).sum(1)
            yield {"measure": "distance", "start": kind, "threshold": t} | order_statistics(met_distance, instances)


def final_gap(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the absolute difference of losses; infinite where a search diverged, NaN where a loss is not known."""
    with np.errstate(invalid="ignore"):
        differences = np.abs(a - b)
    return np.where(np.isinf(a) | np.isinf(b), np.inf, differences)


def _gap(paired: pd.DataFrame) -> Float[np.ndarray, " n"]:
    """Return `final_gap` with NaN where a search diverged."""
    gap = final_gap(paired.loss_a.to_numpy(float), paired.loss_b.to_numpy(float))
    return np.where(np.isinf(gap), np.nan, gap)


def same_basin_rate(paired: pd.DataFrame, gap: np.ndarray, distance: np.ndarray) -> dict[str, int | float]:
    """Compute the fraction of pairs that end in the same basin.

    Their squared distance is at most BASIN_DISTANCE per coordinate, and their losses are equal within BASIN_GAP and
    BASIN_FLOOR.
    """
    smaller = np.minimum(paired.loss_a.abs(), paired.loss_b.abs()).to_numpy()
    first_loss = np.maximum(paired.first_loss_a.abs(), paired.first_loss_b.abs()).to_numpy()
    # NaN is not the same basin
    same_basin = (distance <= BASIN_DISTANCE) & (gap <= BASIN_GAP * smaller + BASIN_FLOOR * first_loss)
    rate = proportion_interval(same_basin.astype(float), paired.instance.to_numpy())
    return {"n": len(same_basin), "censored": int(np.isnan(gap).sum()), "mean": rate["estimate"]} | rate


def pairs(searches: pd.DataFrame) -> pd.DataFrame:
    """Return a table of pairs: rows a and b of `searches` (from 0), kind ("random - encoder"), instance and losses.

    See the top of this module for what a pair is. The number of pairs grows with the square of the init seeds, so only
    the lowest seeds are paired (COMBINED).
    """
    seeds_linked = search_seed_follows_init(searches)
    chosen = np.flatnonzero(_has_lowest_seeds(searches, seeds_linked))
    candidates = searches.iloc[chosen]
    order = {s: i for i, s in enumerate(sorted(candidates.start.unique(), key=start_order))}
    rank, drawn = (candidates.start.map(x).to_numpy() for x in (order, is_random))
    init, search, start = candidates.init.to_numpy(), candidates.search.to_numpy(), _codes(candidates, "start_id")
    cell = _codes(candidates, "train", "weights", "instance", *([] if seeds_linked else ["search"]))
    a, b = _within(cell)
    is_pair = (start[a] != start[b]) & ((rank[a] < rank[b]) | ((rank[a] == rank[b]) & (init[a] < init[b])))
    if seeds_linked:
        is_pair &= (search[a] == search[b]) | (drawn[a] & drawn[b])
    a, b = a[is_pair], b[is_pair]
    parts = [cell[a], start[a], start[b], *([search[a], search[b]] if seeds_linked else [])]
    first = np.sort(np.unique(np.stack(parts), axis=1, return_index=True)[1])  # of a start that several seeds share
    a, b = a[first], b[first]
    labels, instances = candidates.start.to_numpy(object), candidates.instance.to_numpy()
    columns = {"a": chosen[a], "b": chosen[b], "kind": labels[a] + " - " + labels[b], "instance": instances[a]}
    for name in ("loss", "first_loss"):
        values = candidates[name].to_numpy()
        columns |= {f"{name}_a": values[a], f"{name}_b": values[b]}
    return pd.DataFrame(columns)


def _codes(table: pd.DataFrame, *columns: str) -> Int[np.ndarray, " n"]:
    """Return a number for each row that rows with the same values in these columns share."""
    codes = np.zeros(len(table), int)
    for column in columns:
        numbers, values = pd.factorize(table[column])
        codes = codes * (len(values) + 1) + numbers
    return codes


def _within(cell: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Return all pairs of rows with the same number, also of a row with itself, in the order of the first row."""
    _, numbers, counts = np.unique(cell, return_inverse=True, return_counts=True)
    by_cell, ends = np.argsort(numbers, kind="stable"), np.cumsum(counts)
    sizes = counts[numbers]
    a = np.repeat(np.arange(len(cell)), sizes)
    place = np.arange(len(a)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # of the second row in its cell
    return a, by_cell[(ends - counts)[numbers[a]] + place]


def _has_lowest_seeds(searches: pd.DataFrame, seeds_linked: bool) -> Bool[np.ndarray, " n"]:
    """Return whether the seeds of each search are among the lowest that COMBINED allows."""
    init, search = np.unique(searches.init), np.unique(searches.search)
    n_init = min(len(init), math.isqrt(COMBINED))
    n_search = len(search) if seeds_linked else max(1, COMBINED // n_init**2)
    return (searches.init.isin(init[:n_init]) & searches.search.isin(search[:n_search])).to_numpy()
