"""Starts of a search."""

import pytest
import torch
from conftest import TINY, random_vae, squares

from lso_bench.errors import UsageError
from lso_bench.runner import starting_codes
from lso_bench.search import starts
from lso_bench.search.space import Space
from lso_bench.tasks.reconstruction import Reconstruction
from lso_bench.vae.data import Dataset

DATA = Dataset("glyphs", (squares(40, 1) * 255).to(torch.uint8), squares(2), squares(30), "")
TASK = Reconstruction(data="glyphs", instances=5).bind(squares(30))


@pytest.fixture(scope="module")
def space():
    return Space(random_vae(TINY), "teacher", TASK.targets())


def codes(text, space, seed=0):
    return starting_codes.starting_latents(text, seed, TASK, space, DATA)


@pytest.mark.parametrize(
    "text", ["random", "encoder", "other", "origin", "data", "random:3", "encoder:3", "other:3", "data:3"]
)
def test_gives_as_many_codes_as_it_says(text, space):
    assert codes(text, space).shape == (5, int((text + ":1").split(":")[1]), 4)


def test_encoder_is_the_mean_of_the_target_and_then_draws_around_it(space):
    q = space.posterior(TASK.targets())
    z = codes("encoder:200", space)
    torch.testing.assert_close(z[:, 0], q.mean)
    torch.testing.assert_close(z[:, 1:].std(1), q.stddev, rtol=0.3, atol=1e-4)


def test_other_is_never_the_image_itself(space):
    encoder_codes = codes("encoder", space)
    assert ((codes("other:4", space) - encoder_codes).abs().amax(-1) > 1e-4).all()


def test_origin_is_the_mean_of_the_prior(space):
    assert torch.equal(codes("origin", space), torch.zeros(5, 1, 4))


def test_data_are_codes_of_training_samples(space):
    all_codes = space.posterior(DATA.train.float() / 255).mean  # squares are black and white: binarised they stay
    distance = torch.cdist(codes("data:3", space).flatten(0, 1), all_codes).amin(1)
    assert distance.max() < 1e-3


@pytest.mark.parametrize("text", ["random", "encoder:3", "data:2"])
def test_what_is_drawn_is_drawn_by_the_seed(text, space):
    assert torch.equal(codes(text, space), codes(text, space))
    assert not torch.equal(codes(text, space), codes(text, space, seed=1))


@pytest.mark.parametrize(
    ("kinds", "targets", "says"),
    [
        (("nowhere",), True, "No start 'nowhere'"),
        (("random:0",), True, "wanted random"),
        (("random:x",), True, "wanted random"),
        (("origin:2",), True, "not of origin"),
        (("encoder",), False, "wants a task with targets"),
        (("random", "data:10"), True, "different numbers"),
        (("random", "random"), True, "more --seed"),
        (("other:5",), True, "more than 5 instances"),
    ],
)
def test_starts_that_cannot_be_are_refused(kinds, targets, says):
    with pytest.raises(UsageError, match=says):
        starts.check(kinds, targets, 5)
