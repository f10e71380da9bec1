"""How much the outcome of a search depends on where it starts.

A start is a label and, where that draws (`random`), an init seed. Two searches are a pair if they differ in nothing but
the start: same instance, same trained model, same settings, same search seed. Where the search seed moves with the init
seed (the default), random starts differ in it too, and what is said of them includes the chance of the searcher; Adam
and L-BFGS have none.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float

from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.intervals import proportion_interval
from lso_bench.analysis.table import Files, is_random, start_order, thresholds
from lso_bench.record import Record
from lso_bench.spec import Spec

BASIN_DISTANCE = 0.01  # squared, a latent dimension: a tenth of the prior's standard deviation (root mean square)
BASIN_GAP = 0.01  # of the smaller loss: less is within what stopping early leaves open
COMBINED = 40_000  # times that two searches of a target and kind of start are combined, at most: 200 seeds
BASIN_FLOOR = 1e-6  # of the loss at the start: where the optimum is 0, losses beside it differ by rounding alone


@dataclass(frozen=True)
class FinalLatents:
    """Of each search of a group, in the order of their table."""

    end: Float[np.ndarray, "n d"]
    met: dict[float, Float[np.ndarray, "n d"]]  # by threshold; NaN: not met
    known: Bool[np.ndarray, " n"]  # false: the file with it is lost


def final_latents(own: pd.DataFrame, by_key: dict[str, Record], files: Callable[[Spec], Files]) -> FinalLatents:
    """The codes of these searches, from disk."""
    known, parts = np.zeros(len(own), bool), []
    for key, rows in own.groupby("key", sort=False).indices.items():
        spec = by_key[str(key)].spec
        if (tensors := files(spec).tensors(spec)) is not None:
            place = torch.tensor(own.place.to_numpy()[rows])
            met = {t: tensors["z_met"][place, i].double().numpy() for i, t in enumerate(spec.thresholds)}
            parts.append((rows, tensors["z"][place].double().numpy(), met))
            known[rows] = True
    shape = len(own), parts[0][1].shape[1] if parts else 0
    end, at = np.full(shape, np.nan), {t: np.full(shape, np.nan) for t in thresholds(own)}
    for rows, z, met in parts:
        end[rows] = z
        for t in at.keys() & met.keys():
            at[t][rows] = met[t]
    return FinalLatents(end, at, known)


def search_seed_follows_init(own: pd.DataFrame) -> bool:
    """Whether the search seed moves with the init seed, so that no two random starts share one."""
    return own.init.nunique() > 1 and bool((own.groupby("search").init.nunique() == 1).all())


def unique_starts(own: pd.DataFrame) -> pd.DataFrame:
    """Each start of an instance once, with its loss: one that is not drawn (the encoder's) is the same start for every
    init seed.
    """
    same = ["train", "weights", "instance", "code"]
    ordered = cast(pd.DataFrame, own[[*same, "search", "loss"]]).sort_values("search", kind="stable")
    return ordered.drop_duplicates(same if search_seed_follows_init(own) else [*same, "search"])


def spread(own: pd.DataFrame) -> Iterator[dict]:
    """Standard deviation of the final loss over the starts of an instance; over all kinds, and over each that is drawn
    more than once. Undefined, and counted as censored, where one of them has no finite loss.
    """
    kinds = sorted(own.start.unique(), key=start_order)
    several = [[k] for k in kinds if is_random(k) and own[own.start == k].init.nunique() > 1]
    for labels in ([kinds] if len(kinds) > 1 else []) + several:
        cell = ["train", "weights", "instance"] + ([] if search_seed_follows_init(own) else ["search"])
        some = unique_starts(cast(pd.DataFrame, own[own.start.isin(labels)]))
        lost = np.isinf(some.loss).groupby([some[c] for c in cell]).any()
        deviations = some.replace({"loss": {np.inf: np.nan}}).groupby(cell).loss.std(ddof=1).mask(lost)
        instances = deviations.index.get_level_values("instance").to_numpy()
        found = order_statistics(deviations.to_numpy(), instances)
        yield {"measure": "spread", "start": ", ".join(labels)} | found


def pair_statistics(own: pd.DataFrame, found: FinalLatents) -> Iterator[dict]:
    """Of pairs of starts, kind by kind: gap of the final losses, squared distance of the codes (at the end, and where
    both met a threshold), share that ended in the same basin. Where the code of one is lost, only the gap.
    """
    paired = pairs(own)
    kinds = sorted(paired.kind.unique(), key=lambda k: [start_order(s) for s in k.split(" - ")])
    for kind in kinds:
        these = cast(pd.DataFrame, paired[paired.kind == kind])
        yield {"measure": "gap", "start": kind} | order_statistics(_gap(these), these.instance.to_numpy())
        these = cast(pd.DataFrame, these[found.known[these.a] & found.known[these.b]])
        if these.empty:
            continue
        a, b, instances = these.a.to_numpy(), these.b.to_numpy(), these.instance.to_numpy()
        distance = np.square(found.end[a] - found.end[b]).sum(1)
        yield {"measure": "basin", "start": kind} | same_basin_rate(these, _gap(these), distance / found.end.shape[1])
        yield {"measure": "distance", "start": kind} | order_statistics(distance, instances)
        for t, met in found.met.items():
            apart = np.square(met[a] - met[b]).sum(1)
            yield {"measure": "distance", "start": kind, "threshold": t} | order_statistics(apart, instances)


def _gap(paired: pd.DataFrame) -> Float[np.ndarray, " n"]:
    """Of the final losses; NaN where one diverged."""
    return (paired.loss_a - paired.loss_b).abs().replace(np.inf, np.nan).to_numpy()


def same_basin_rate(paired: pd.DataFrame, gap: np.ndarray, distance: np.ndarray) -> dict[str, int | float]:
    """The share of pairs with the same code (BASIN_DISTANCE a dimension) and the same loss (BASIN_GAP, BASIN_FLOOR)."""
    smaller = np.minimum(paired.loss_a.abs(), paired.loss_b.abs()).to_numpy()
    began = np.maximum(paired.first_loss_a.abs(), paired.first_loss_b.abs()).to_numpy()
    same = (distance <= BASIN_DISTANCE) & (gap <= BASIN_GAP * smaller + BASIN_FLOOR * began)  # NaN is not the same
    found = proportion_interval(same.astype(float), paired.instance.to_numpy())
    return {"n": len(same), "censored": int(np.isnan(gap).sum()), "mean": found["estimate"]} | found


def pairs(own: pd.DataFrame) -> pd.DataFrame:
    """Rows a, b of `own` (from 0), kind ("random - encoder"), instance, losses; see the head of this module.

    Pairs grow with the square of the init seeds, so of very many seeds the lowest are paired (`COMBINED`).
    """
    moving = search_seed_follows_init(own)
    order = {s: i for i, s in enumerate(sorted(own.start.unique(), key=start_order))}
    mine = pd.DataFrame(
        {
            "row": np.arange(len(own)),
            "rank": own.start.map(order).to_numpy(),
            "drawn": own.start.map(is_random).to_numpy(),
            **{
                c: own[c].to_numpy()
                for c in ("train", "weights", "instance", "start", "code", "search", "init", "loss", "first_loss")
            },
        }
    )
    mine = cast(pd.DataFrame, mine[_lowest(own, moving)])
    cell = ["train", "weights", "instance"] + ([] if moving else ["search"])
    both = mine.merge(mine, on=cell, suffixes=("_a", "_b"))
    first = (both.rank_a < both.rank_b) | ((both.rank_a == both.rank_b) & (both.init_a < both.init_b))
    alike = (both.search_a == both.search_b) | (both.drawn_a & both.drawn_b) if moving else True
    same = [*cell, "code_a", "code_b", *(["search_a", "search_b"] if moving else [])]
    kept = cast(pd.DataFrame, both[first & alike & (both.code_a != both.code_b)]).drop_duplicates(same)
    kept = kept.assign(kind=kept.start_a + " - " + kept.start_b).rename(columns={"row_a": "a", "row_b": "b"})
    return kept.loc[:, ["a", "b", "kind", "instance", "loss_a", "loss_b", "first_loss_a", "first_loss_b"]]


def _lowest(own: pd.DataFrame, moving: bool) -> Bool[np.ndarray, " n"]:
    """Return whether the seeds of each search are among the lowest, so many that COMBINED holds."""
    init, search = np.unique(own.init), np.unique(own.search)
    inits = min(len(init), math.isqrt(COMBINED))
    searches = len(search) if moving else max(1, COMBINED // inits**2)
    return (own.init.isin(init[:inits]) & own.search.isin(search[:searches])).to_numpy()
