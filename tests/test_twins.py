"""Equal final losses that are told as copies, and those that are rightly equal."""

import math
from dataclasses import replace

import pytest
from made import searched

from lso_bench.analysis.caveats import caveats
from lso_bench.vae.trained_model import Model

ENDS = [4.0, 3.5, 2.25, 1.125]
OTHER = Model("nevae_se", "omniglot")


def record(start="random", ends=ENDS, gradients=10, **spec):
    """A run down from 9 to these losses."""
    return replace(searched({start: [[9.0, x] for x in ends]}, **spec), counts={"gradients": gradients})


def copy_lines(*runs):
    return [line for line in caveats(runs) if "to the last bit" in line]


@pytest.mark.parametrize(
    ("duplicate", "name"),
    [
        (record(model=OTHER), "nevae_se · omniglot50 · adam · seed 0"),
        (record(searcher="lbfgs"), "vae · omniglot50 · lbfgs · seed 0"),
        (record(init=1), "vae · omniglot50 · adam · seed 1"),
        (record(init=1, search=0), "vae · omniglot50 · adam · seed 1"),
        (record(task="mnist50"), "vae · mnist50 · adam · seed 0"),
        (record(model=Model("vae", "omniglot", seed=3)), "vae (trained with seed 3) · omniglot50 · adam · seed 0"),
        (record(model=OTHER, ends=ENDS[::-1]), "nevae_se"),
        (record(model=OTHER, task="mnist50", init=1, ends=[ENDS[i] for i in (2, 0, 3, 1)]), "nevae_se · mnist50"),
        (record(checkpoint="1" * 64), "vae (trained with seed 0, weights 11111111)"),
        (record(task="omniglot50:instances=4"), "omniglot50:instances=4"),
        (searched({"encoder": [[9.0, 1.0]] * 4, "random": [[9.0, x] for x in ENDS]}, model=OTHER), "nevae_se"),
    ],
)
def test_equal_losses_under_different_names_are_told(duplicate, name):
    (line,) = copy_lines(record(), duplicate)
    assert name in line and "vae" in line and "(start random)" in line


def test_copy_is_told_beside_a_lost_search():
    lost = [replace(m, loss=float("nan"), stopped="diverged") for m in record(ends=[1.0]).members]
    copy = record(model=OTHER)
    assert copy_lines(record(), replace(copy, status="diverged", members=[*copy.members, *lost]))


@pytest.mark.parametrize(
    "runs",
    [
        (record(), record(max_steps=999)),
        (record(), record(budget=50, seconds=9.0, patience=3, thresholds=(0.5, 0.1))),
        (record(), record(region="box:3")),
        (record(), searched({"random": [[9.0, x] for x in ENDS], "encoder": [[9.0, 1.0]] * 4})),
        (record(), record(init=0, search=5)),  # of a searcher that draws nothing
        (record("encoder"), record("encoder", init=1)),
        (record("other"), record("other", init=1), record("other", init=2)),
        (record("origin"), record("origin", init=1)),
        (record(gradients=0, searcher="sobol"), record(gradients=0, searcher="sobol", init=1, search=0)),
        (record(), record(model=OTHER, ends=[4.0, 3.5, 2.25, 1.0])),
        (record("encoder"), record("random", model=OTHER)),
        (record(ends=[4.0, 4.0, 1.0]), record(ends=[4.0, 4.0, 1.0], model=OTHER)),
        (record(ends=[0.0] * 4), record(ends=[0.0] * 4, model=OTHER)),
    ],
)
def test_what_is_rightly_equal_is_not_told(runs):
    assert not copy_lines(*runs)


def test_searches_that_never_left_the_same_start_are_no_copies():
    stuck = {"encoder": [[x, x] for x in ENDS]}
    assert not copy_lines(searched(stuck, searcher="sobol"), searched(stuck, searcher="cmaes", init=1))
    assert copy_lines(searched(stuck, searcher="sobol"), searched(stuck, searcher="sobol", model=OTHER))


def test_same_images_found_from_elsewhere_in_the_same_model_are_no_copies():
    def corner(first, **spec):
        run = record(init=int(first), **spec)
        return replace(
            run, members=[replace(m, first_loss=first, image=f"{i:016x}") for i, m in enumerate(run.members)]
        )

    assert not copy_lines(corner(8.0), corner(9.0))
    assert copy_lines(corner(8.0), replace(corner(9.0), members=corner(8.0).members))  # the seed did nothing
    assert copy_lines(corner(8.0), corner(9.0, model=OTHER))
    assert copy_lines(corner(8.0), corner(9.0, task="mnist50"))


def test_searches_of_samples_are_the_same_in_every_model():
    def screened(**spec):
        run = record(gradients=0, searcher="screening", **spec)
        return replace(run, members=[replace(m, distance_to_prior=math.nan) for m in run.members])

    assert not copy_lines(screened(), screened(model=OTHER))
    assert copy_lines(screened(), screened(model=OTHER, task="mnist50"))


def test_encoder_starts_with_further_draws_depend_on_the_seed():
    assert copy_lines(record("encoder:3"), record("encoder:3", init=1))


def test_kinds_of_start_with_the_same_copies_share_a_line():
    both = {s: [[9.0, x + i] for x in ENDS] for i, s in enumerate(("encoder", "random"))}
    (line,) = copy_lines(searched(both), searched(both, model=OTHER))
    assert "(start random, encoder)" in line


def test_many_copies_take_few_lines():
    seeds = [
        record(init=i, model=m, ends=[x + i for x in ENDS]) for i in range(9) for m in (OTHER, Model("vae", "mnist"))
    ]
    lines = copy_lines(*seeds)
    assert len(lines) == 5 and lines[-1].startswith("5 more sets of runs")
    (line,) = copy_lines(*(record(init=i) for i in range(9)))
    assert "and 5 more have the same" in line
