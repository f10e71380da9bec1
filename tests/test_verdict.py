"""Conditions on measures, by which continuous integration fails."""

import pytest
from made import measures, searched

from lso_bench.analysis.conditions import verdict
from lso_bench.errors import UnusableError, UsageError
from lso_bench.vae.trained_model import Model

BETA, OTHER = Model("beta_vae_0.9", "omniglot"), Model("nevae_se", "omniglot")
WAYS = {"random": [[9.0, 5.0, 4.0]] * 3, "encoder": [[8.0, 3.0, 3.0]] * 3}
FOUND = measures(
    searched(WAYS),
    searched({k: [[x - 1 for x in w] for w in ways] for k, ways in WAYS.items()}, model=BETA),
    searched({"random": [[9.0, 5.0, 2.0]] * 3}, model=OTHER),
    searched({"random": [[9.0, 5.0, 2.5]] * 3}, model=OTHER, searcher="adam:lr=0.1"),
)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("vae@random.loss > 3.9", True),
        ("vae@random.loss<=4", True),
        ("vae@random.loss < 4", False),
        ("beta_vae_0.9@random.loss < vae@random.loss", True),
        ("beta_vae_0.9@encoder.loss >= vae@encoder.loss", False),
        ("nevae_se/adam:lr=0.1.loss == 2", None),
        ("nevae_se/adam:lr=0.1.loss > 2.4", True),
        ("nevae_se/adam.loss > 2.4", False),
        ("vae@random.evaluations[0.5] < 3", True),
        ("vae@random - encoder.gap > 0.5", True),
        ("vae@random.iterations > vae@encoder.iterations", False),  # neither met it: none is longer
        ("vae@random.iterations[0.5] > 1e9", True),  # not met is longer than anything
        ("vae.variance:total >= 0", True),
    ],
)
def test_condition_is_as_its_figures_say(condition, holds):
    if holds is None:
        with pytest.raises(UsageError):
            verdict(condition, FOUND)
    else:
        assert verdict(condition, FOUND).holds is holds


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("vae.loss", "No condition 'vae.loss'; wanted '<model>"),
        ("vae > 3", "No side 'vae'"),
        ("vaee@random.loss > 3", "Did you mean 'vae'?"),
        ("vae@randm.loss > 3", "Did you mean 'random'?"),
        ("vae/adm@random.loss > 3", "Did you mean 'adam'?"),
        ("vae@random.los > 3", "Did you mean 'loss'?"),
        ("vae@random.iterations[0.7] > 3", "No threshold '0.7'; there are '0', '0.5'"),
        ("vae@random.loss[0.5] > 3", "leave [0.5] out"),
        ("nevae_se.loss > vae.loss", "searcher ('adam', 'adam:lr=0.1'; say /<searcher>)"),
        ("__import__('os').system('true') > 0", "No model"),
    ],
)
def test_condition_that_cannot_be_read_is_explained(condition, says):
    with pytest.raises(UsageError) as error:
        verdict(condition, FOUND)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("condition", "start", "figures"),
    [
        ("beta_vae_0.9.loss < vae.loss", "random", (3.0, 4.0)),
        ("beta_vae_0.9@encoder.loss < vae.loss", "encoder", (2.0, 3.0)),
        ("vae.loss > nevae_se/adam:lr=0.1.loss", "random", (4.0, 2.5)),  # which has no other
        ("vae.loss > 3", "random", (4.0, 3.0)),
        ("vae@random.loss > 3", "", (4.0, 3.0)),
        ("vae@random.loss > vae@encoder.loss", "", (4.0, 3.0)),
    ],
)
def test_of_several_kinds_of_start_the_first_that_both_sides_have_is_taken_and_said(condition, start, figures):
    result = verdict(condition, FOUND)
    assert (result.start, result.left, result.right) == (start, *figures)
    assert (f"of several kinds of start {start} was taken (say @<start>" in str(result)) == bool(start)


def test_kinds_of_start_that_the_sides_do_not_share_are_told():
    apart = measures(searched(WAYS), searched({"origin": [[9.0, 5.0]] * 3}, model=BETA))
    with pytest.raises(UsageError, match=r"start \('encoder', 'random'; say @<start>\)"):
        verdict("vae.loss > beta_vae_0.9.loss", apart)


def test_several_tasks_are_told_apart_by_where():
    both = measures(
        searched({"random": [[9.0, 5.0]] * 3}), searched({"random": [[9.0, 4.0]] * 3}, task="ink:target=0.2")
    )
    with pytest.raises(UsageError, match=r"task \('ink:target=0.2', 'omniglot50'; say --where task=\.\.\.\)"):
        verdict("vae.loss > 3", both)


def test_searchers_with_other_thresholds_are_still_several():
    both = measures(
        searched({"random": [[9.0, 5.0]] * 3}),
        searched({"random": [[9.0, 4.0]] * 3}, searcher="lbfgs", thresholds=(0.5,)),
    )
    with pytest.raises(UsageError, match="searcher"):
        verdict("vae.iterations > 0", both)


def test_measure_without_an_estimate_is_refused():
    alone = measures(searched({"random": [[9.0, 5.0]]}))
    with pytest.raises(UnusableError, match="no estimate"):
        verdict("vae.variance:target > 0", alone)
