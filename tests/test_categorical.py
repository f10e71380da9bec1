"""Likelihood of sequences of tokens: normalised, up to and with the first end, with exact means and draws."""

import itertools
import math

import pytest
import torch

from lso_bench.errors import UnusableError, UsageError
from lso_bench.vae import data
from lso_bench.vae.likelihoods import LIKELIHOODS

T, V = 3, 4
DENSITY = LIKELIHOODS.build(f"categorical:vocabulary={V}")


def shown(*rows):
    return DENSITY.model_input(torch.tensor(rows, dtype=torch.uint8))


def every_sequence():
    """All sequences of at most T tokens, with ends after the first end."""
    rows = [r for r in itertools.product(range(V), repeat=T) if all(b == 0 for a, b in itertools.pairwise(r) if a == 0)]
    return shown(*rows)


@pytest.fixture
def p():
    return DENSITY.distribution(torch.randn(1, T, V), torch.nn.Module())


def test_tokens_are_shown_one_hot():
    assert shown([3, 1, 0]).tolist() == [[[0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]]
    assert torch.equal(shown([2, 0, 3]), shown([2, 0, 0])) and DENSITY.stored_shape((T, V)) == (T,)


@pytest.mark.parametrize(
    ("tokens", "counted"), [([0, 0, 0], 1), ([2, 0, 0], 2), ([2, 0, 3], 2), ([2, 3, 0], 3), ([2, 3, 1], 3)]
)
def test_density_of_uniform_logits_counts_tokens_up_to_and_with_the_end(tokens, counted):
    uniform = DENSITY.distribution(torch.zeros(1, T, V), torch.nn.Module())
    assert uniform.log_prob(shown(tokens)).item() == pytest.approx(-counted * math.log(V))


def test_logits_after_the_end_do_not_count():
    logits = torch.randn(2, T, V)
    logits[1, :2] = logits[0, :2]
    a, b = DENSITY.distribution(logits, torch.nn.Module()).log_prob(shown([2, 0, 0], [2, 0, 0]))
    assert a == b


def test_probabilities_of_all_sequences_sum_to_one_and_average_to_the_mean(p):
    x = every_sequence()
    chances = p.log_prob(x).exp()
    assert len(x) == 1 + 3 + 9 + 27 and chances.sum().item() == pytest.approx(1)
    torch.testing.assert_close((chances[:, None, None] * x).sum(0), p.mean[0])


def test_mean_of_the_output_is_that_of_the_distribution():
    output = torch.randn(5, T, V)
    torch.testing.assert_close(DENSITY.mean(output), DENSITY.distribution(output, torch.nn.Module()).mean)


def test_density_of_a_mean_of_sequences_is_the_mean_of_their_densities(p):
    x = torch.cat([shown([2, 0, 0], [2, 3, 0]), every_sequence()])
    assert p.log_prob(x.mean(0, keepdim=True)).item() == pytest.approx(p.log_prob(x).mean().item(), rel=1e-5)


def test_draws_follow_the_distribution_and_have_ends_after_the_end(p):
    output, x = p.log_probabilities.expand(20_000, T, V), every_sequence()
    drawn = DENSITY.draw(DENSITY.distribution(output, torch.nn.Module()), torch.rand(20_000, T, V))
    counts = (drawn[:, None] == x).flatten(2).all(-1).sum(0)  # of each sequence
    expected = 20_000 * p.log_prob(x).exp()
    assert counts.sum() == 20_000
    assert ((counts - expected).square() / expected).sum() < 73  # chi-square of 39 degrees: 0.999 quantile


def test_straight_through_draw_is_the_draw_and_has_the_gradient_of_the_probabilities():
    logits, noise = torch.randn(50, 1, V, requires_grad=True), torch.rand(50, 1, V)
    p, weights = DENSITY.distribution(logits, torch.nn.Module()), torch.randn(V)
    drawn = DENSITY.straight_through(p, noise)
    assert torch.equal(drawn, DENSITY.draw(p, noise))
    (gradient,) = torch.autograd.grad((drawn * weights).sum(), logits, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad((p.mean * weights).sum(), logits)[0])


def test_straight_through_draw_has_no_gradient_after_its_end():
    logits = torch.randn(50, T, V, requires_grad=True)
    drawn = DENSITY.straight_through(DENSITY.distribution(logits, torch.nn.Module()), torch.rand(50, T, V))
    (gradient,) = torch.autograd.grad((drawn * torch.randn(V)).sum(), logits)
    after = drawn[..., 0].cumsum(1) > 1
    assert after.any() and (gradient[after] == 0).all() and (gradient[~after] != 0).all()


def test_equal_noise_gives_the_likeliest_token_at_every_position():
    logits = torch.tensor([[[0.0, 1, 2, 0], [0, 3, 1, 0], [0, 0, 0, 1]], [[0, 0, 0, 1], [2, 1, 0, 0], [0, 5, 0, 0]]])
    drawn = DENSITY.draw(DENSITY.distribution(logits, torch.nn.Module()), torch.full((2, T, V), 0.5))
    assert torch.equal(drawn, shown([2, 1, 3], [3, 0, 0]))


def test_likeliest_tokens_of_probabilities_are_a_sequence_and_of_a_sequence_itself():
    x = every_sequence()
    assert torch.equal(DENSITY.likeliest(x).float(), x)
    chances = torch.tensor([[[0.1, 0.2, 0.4, 0.3], [0.4, 0.3, 0.2, 0.1], [0.4, 0.6, 0.0, 0.0]]])
    assert torch.equal(DENSITY.likeliest(chances).float(), shown([2, 0, 0]))


def test_gradient_of_the_mean_and_density_is_finite_where_a_token_is_certain():
    output = torch.tensor([[[200.0, 0, 0, 0]] * T], requires_grad=True)
    p = DENSITY.distribution(output, torch.nn.Module())
    (p.log_prob(shown([1, 2, 3])).sum() + p.mean.square().sum()).backward()
    assert output.grad is not None and output.grad.isfinite().all()


@pytest.mark.parametrize("vocabulary", [1, 257])
def test_vocabulary_is_of_2_to_256_tokens(vocabulary):
    with pytest.raises(UsageError, match="vocabulary: wanted"):
        LIKELIHOODS.build(f"categorical:vocabulary={vocabulary}")


WORDS = '''"""Sequences of two tokens."""

from dataclasses import dataclass

import numpy as np

from lso_bench.vae.datasets import Source


@dataclass(frozen=True)
class Words(Source):
    """Sequences of two tokens of four."""

    largest: int = 3
    likelihood = "categorical:vocabulary=4"
    shape = (2, 4)

    def samples(self, folder):
        return np.arange(200, dtype=np.uint8).reshape(100, 2) % (self.largest + 1)
'''


def test_tokens_are_stored_as_bytes_and_one_beyond_the_vocabulary_is_refused(tmp_path):
    (path := tmp_path / "words.py").write_text(WORDS)
    loaded = data.load(str(path))
    assert loaded.train.shape == (80, 2) and loaded.train.dtype == torch.uint8 and loaded.test.shape == (10, 2, 4)
    with pytest.raises(UnusableError, match="wanted tokens below 4, got 4"):
        data.load(f"{path}:largest=4")
