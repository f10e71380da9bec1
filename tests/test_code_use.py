"""Measures of how far a decoder uses its code, against closed forms and against models that fool other measures."""

import math

import pytest
import torch
from conftest import TINY, random_vae, squares
from test_metrics import LinearGaussian
from test_objectives import D, constant_encoder

from lso_bench.vae.architectures.conv import Conv
from lso_bench.vae.code_use import (
    au_relative,
    decoder_use,
    error_in_cycle,
    reencoding_draw,
    retrieval,
    retrieval_chance,
    retrieval_of_latents,
)
from lso_bench.vae.evaluation import SampleSizes, evaluate
from lso_bench.vae.metrics import PROBABILISTIC, measure

N = 4000
CONV = Conv(latent=4, encoder=4, hidden=8, channels=4)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(1)  # another than that of `LinearGaussian.images`
        yield


def near(values, truth: float) -> None:
    assert abs(values.mean().item() - truth) < 4 * values.std().item() / math.sqrt(len(values))


def deaf(vae):
    """The model with a decoder that does not see its latent."""
    with torch.no_grad():
        vae.decoder.of_code[0].weight.zero_()
    return vae


def far_codes(vae):
    """The model with an encoder of precise codes that are far apart."""
    last = vae.encoder.main[-1]
    with torch.no_grad():
        last.weight[:D] *= 300
        last.weight[D:] = 0
        last.bias[D:] = -6.0
    return vae


@pytest.mark.parametrize("second", [0.0, 0.5, 1.0, 2.0])
def test_decoder_use_of_a_linear_gaussian_model_is_its_signal_over_its_noise(second):
    vae = LinearGaussian(second=second)
    truth = (vae.W.square().sum() / vae.noise**2).item()  # half of E |x - W z'|^2 - E |x - W z|^2 over the noise
    assert truth == pytest.approx(4 + 4 * second**2)
    near(decoder_use(vae, vae.images(N)), truth)


def test_decoder_use_bounds_the_information_from_above():
    vae = LinearGaussian()
    information = -0.5 * vae.variance.log().sum().item()
    assert decoder_use(vae, vae.images(N)).mean().item() > information


def test_decoder_that_is_given_codes_of_no_image_has_no_use_of_them():
    near(decoder_use(constant_encoder(0.0, 1.0), squares(400)), 0.0)


def test_deaf_decoder_has_no_use_of_codes_that_other_measures_praise():
    vae, x = deaf(far_codes(random_vae(TINY))), squares(300).unique(dim=0)[:100]
    metrics = measure(vae, x)
    assert metrics.au == D and metrics.mi == pytest.approx(math.log(100), abs=0.05)
    assert decoder_use(vae, x).abs().max().item() == 0
    shares = retrieval(vae, x)
    assert shares.mean().item() < retrieval_chance(100) + 4 * shares.std().item() / math.sqrt(100)


@pytest.mark.parametrize("n", [2, 3, 10, 501])
def test_no_image_is_given_its_own_code(n):
    vae = LinearGaussian(noise=1e-3)  # its own code, drawn once, would change nothing
    assert (decoder_use(vae, vae.images(n)) > 0).all()


def test_error_of_decoder_use_is_its_spread_over_data():
    vae = LinearGaussian(noise=0.1)
    samples = vae.images(100 * 1000).split(100)
    uses = [decoder_use(vae, x) for x in samples]
    spread = torch.stack([u.mean() for u in uses]).std().item()
    alone = torch.stack([u.std() / 10 for u in uses]).mean().item()  # as if no two values shared an image
    errors = sum(error_in_cycle(u) for u in uses) / 1000
    assert errors == pytest.approx(spread, rel=0.06) and alone < 0.9 * spread


def test_decoder_use_is_never_surer_than_independent_values_are():
    alternating = torch.tensor([1.0, -1.0]).repeat(50)
    assert error_in_cycle(alternating) == pytest.approx(alternating.std().item() / 10)


@pytest.mark.parametrize("second", [0.5, 2.0])
def test_draw_of_an_exact_model_is_re_encoded_with_twice_the_posterior_variance(second):
    vae = LinearGaussian(second=second)
    near(reencoding_draw(vae, vae.images(N)), 2 * vae.variance.mean().item())


def test_mean_image_is_re_encoded_nearer_than_a_draw():
    vae = LinearGaussian()
    metrics = evaluate(vae, vae.images(N), SampleSizes(images=0, codes=N))[0]
    v = vae.variance  # mu(W z) is (1 - v) z
    assert metrics.reencoding_mean == pytest.approx((v + v**2).mean().item(), abs=4 * metrics.se["reencoding_mean"])
    assert metrics.reencoding_draw == pytest.approx((2 * v).mean().item(), abs=4 * metrics.se["reencoding_draw"])


@pytest.mark.parametrize(("second", "count"), [(0.0, 1), (0.4, 1), (0.6, 2), (3.0, 2)])
def test_dimension_counts_whose_mean_varies_more_than_its_noise(second, count):
    vae = LinearGaussian(second=second)  # posterior variance 1 / (1 + 4 second^2), activity 1 less that
    assert au_relative(vae, vae.images(N), "cpu") == count


def test_count_does_not_depend_on_the_scale_of_the_codes():
    vae, x = far_codes(random_vae(TINY)), squares(80)
    last = vae.encoder.main[-1]
    before = au_relative(vae, x, "cpu")
    with torch.no_grad():
        last.weight[:D] /= 1e5
        last.bias[D:] -= 2 * math.log(1e5)
    assert measure(vae, x).au == 0 and au_relative(vae, x, "cpu") == before == D


def test_collapsed_dimensions_do_not_count():
    assert au_relative(constant_encoder(0.5, 1.0), squares(80), "cpu") == 0


def test_exact_reconstructions_retrieve_every_image():
    vae = LinearGaussian(noise=1e-3)
    assert retrieval(vae, vae.images(100)).tolist() == [1.0] * 100


def test_equal_images_share_a_retrieval():
    vae = LinearGaussian(noise=1e-3)
    assert retrieval(vae, vae.images(10).repeat(5, 1, 1, 1)).tolist() == pytest.approx([0.2] * 50)


@pytest.mark.parametrize(("n", "size"), [(2, 2), (30, 30), (50, 50), (120, 50)])
def test_one_reconstruction_for_all_retrieves_at_chance(n, size):
    vae = LinearGaussian(second=0.0)
    with torch.no_grad():
        vae.W.zero_()
    shares = retrieval(vae, vae.images(n))
    assert len(shares) == n // size * size and shares.mean().item() == pytest.approx(1 / size)
    assert retrieval_chance(n) == 1 / size


def test_latents_retrieve_the_targets_that_they_decode_to_and_no_others():
    vae = LinearGaussian(noise=1e-3)
    x, order = vae.images(20), torch.randperm(20)
    z = vae.encode(x).mean[order]
    assert retrieval_of_latents(vae, z, x, order, 0).tolist() == [1.0] * 20
    assert retrieval_of_latents(vae, z, x, (order + 1) % 20, 0).tolist() == [0.0] * 20


def test_latents_of_a_deaf_decoder_retrieve_their_targets_at_chance():
    x = squares(300).unique(dim=0)[:10]
    indices = torch.arange(10).repeat(20)
    near(retrieval_of_latents(deaf(random_vae(TINY)), torch.randn(200, D), x, indices, 0), 0.1)


def test_draws_of_latents_depend_on_the_seed_alone():
    vae, x, indices = random_vae(TINY), squares(10), torch.arange(10).repeat(5)
    z = torch.randn(50, D)
    first, repeated, another = (retrieval_of_latents(vae, z, x, indices, seed).tolist() for seed in (0, 0, 1))
    assert first == repeated != another


def test_draws_that_do_not_tell_of_their_image_retrieve_at_chance():
    near(retrieval(constant_encoder(0.0, 1.0), squares(200)), retrieval_chance(200))


def test_more_noise_means_less_use_and_fewer_retrievals():
    models = [LinearGaussian(noise=noise) for noise in (0.1, 0.3, 1.0)]
    uses, shares = ([f(vae, vae.images(1000)).mean().item() for vae in models] for f in (decoder_use, retrieval))
    assert uses[0] > uses[1] > uses[2] > 0 and shares[0] > shares[1] > shares[2] > retrieval_chance(1000)


@pytest.mark.parametrize("arch", [TINY, CONV], ids=["autoregressive", "not"])
def test_deterministic_model_has_every_measure_but_the_one_of_its_noise(arch):
    vae = random_vae(arch)
    vae.deterministic = True
    metrics = evaluate(vae, squares(60), SampleSizes(samples=5, images=10, codes=60))[0]
    assert metrics.au_relative is None and metrics.reencoding_draw > 0 and 0 <= metrics.retrieval <= 1
    assert math.isfinite(metrics.decoder_use) and {"decoder_use", "reencoding_draw", "retrieval"} <= {*metrics.se}


def test_a_share_of_none_or_all_has_an_error():
    vae = LinearGaussian(noise=1e-3)
    metrics = evaluate(vae, vae.images(100), SampleSizes(images=0, codes=100))[0]
    assert metrics.retrieval == 1.0 and 0.003 < metrics.se["retrieval"] < 0.03


def test_draws_depend_on_the_seed_and_on_no_other_sample_size():
    vae, x = random_vae(CONV), squares(20)
    some = [evaluate(vae, x, SampleSizes(2, images, 20), seed)[0] for images, seed in ((0, 0), (2, 0), (0, 1))]
    first, second, third = ((m.decoder_use, m.reencoding_draw, m.retrieval, m.au_relative) for m in some)
    assert first == second and first != third


def test_no_codes_leave_the_measures_out_and_change_no_other():
    vae, x = random_vae(CONV), squares(20)
    without, with_codes = (evaluate(vae, x, SampleSizes(5, 0, codes))[0] for codes in (0, 20))
    assert without.decoder_use is without.reencoding_draw is without.retrieval is without.au_relative is None
    assert [getattr(without, k) for k in PROBABILISTIC] == [getattr(with_codes, k) for k in PROBABILISTIC]
