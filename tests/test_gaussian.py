"""Models of grey pixels: p(x|z) is a normal a pixel, its mean between 0 and 1, one standard deviation for all."""

import math

import pytest
import torch
from conftest import random_vae, squares
from torch import nn

from lso_bench.errors import UnusableError, UsageError
from lso_bench.search.space import Space
from lso_bench.study.lookup import named_model
from lso_bench.vae.architectures import architecture
from lso_bench.vae.architectures.conv import Conv
from lso_bench.vae.checkpoint import load_model, read, save_model, write
from lso_bench.vae.data import Dataset, as_model_input
from lso_bench.vae.evaluation import SampleSizes, evaluate
from lso_bench.vae.frozen import freeze
from lso_bench.vae.metrics import measure
from lso_bench.vae.networks import STEP
from lso_bench.vae.objectives.elbo import ELBO
from lso_bench.vae.sampling import sample
from lso_bench.vae.trained_model import SHIPPED, Model
from lso_bench.vae.training import step, train
from lso_bench.vae.training_state import Job, Plan, optimizer

ARCH = Conv(latent=3, encoder=4, hidden=8, channels=4, likelihood="gaussian")


@pytest.fixture
def vae():
    return random_vae(ARCH)


def grey(count, seed=0):
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


def constant(mean: float, sigma: float):
    """A model whose q(z|x) is the prior and whose p(x|z) is N(mean, sigma^2) in every pixel."""
    vae = random_vae(ARCH)
    with torch.no_grad():
        for last in (vae.encoder.main[-1], vae.decoder.main[-1]):
            last.weight.zero_()
            last.bias.zero_()
        vae.decoder.main[-1].bias.fill_(math.log(mean / (1 - mean)))
        vae.decoder.log_sigma.fill_(math.log(sigma - STEP))
    return vae


def test_distortion_is_the_normal_density_summed_over_pixels():
    x = grey(5)
    expected = ((x - 0.3).square() / (2 * 0.2**2) + math.log(0.2) + 0.5 * math.log(2 * math.pi)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(ELBO()(constant(0.3, 0.2), x).distortion, expected, rtol=1e-4, atol=1e-3)


def test_elbo_of_a_model_that_knows_nothing_is_the_entropy_of_its_pixels():
    noise = torch.randn(400, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    metrics, _ = evaluate(constant(0.5, 0.1), 0.5 + 0.1 * noise, SampleSizes(samples=5, images=50, codes=0))
    entropy = 784 * 0.5 * math.log(2 * math.pi * math.e * 0.1**2)  # negative: a density may exceed 1
    assert metrics.nelbo is not None and metrics.nll is not None
    assert abs(metrics.nelbo - entropy) < 4 * metrics.se["nelbo"] and metrics.nelbo < 0
    assert metrics.kl == pytest.approx(0, abs=1e-6) and metrics.gap == pytest.approx(0, abs=1e-3)
    assert metrics.squared_error == pytest.approx(784 * 0.1**2, rel=0.02)


def test_learned_sigma_is_the_error_that_is_left():
    vae, x = constant(0.5, 0.4), grey(50)
    plan = Plan(Model("vae", "own", "conv", 3), lr=0.05)
    vae.decoder.main[-1].weight.requires_grad_(False)  # so that the means hardly move
    vae.encoder.requires_grad_(False)
    job = Job(plan, vae, optimizer(vae, plan), ELBO())
    for _ in range(100):
        step(job, x, 1.0)
    left = math.sqrt(measure(vae, x).squared_error / 784)
    assert vae.decoder.sigma.item() == pytest.approx(left, rel=0.02) and left == pytest.approx(12**-0.5, rel=0.02)


def test_sigma_stays_above_one_grey_level(vae):
    with torch.no_grad():
        vae.decoder.log_sigma.fill_(-50.0)
    assert vae.decoder.sigma.item() == pytest.approx(1 / 255) and ELBO()(vae, grey(3)).distortion.isfinite().all()


def test_mean_is_that_of_the_distribution_wherever_it_is_decoded(vae):
    z = torch.randn(2, 5, 3)
    with torch.no_grad():
        p = vae.decode(z.flatten(0, 1))
    assert (p.event_shape, p.batch_shape) == ((1, 28, 28), (10,)) and 0 <= p.mean.min() < p.mean.max() <= 1
    for decoding in ("mean", "greedy"):
        images = Space(vae, decoding).decode(z)
        torch.testing.assert_close(images.flatten(0, 1), p.mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(freeze(vae).decode(z[0]).variance, p.variance[:5])


def test_drawn_images_follow_the_distribution_and_stay_images_in_a_search():
    torch.manual_seed(0)
    vae = constant(0.6, 0.3)
    x, mean = sample(vae, torch.randn(300, 3))
    n = x.numel()
    assert abs(x.mean().item() - 0.6) < 4 * 0.3 / math.sqrt(n) and (mean - 0.6).abs().max() < 1e-5
    assert x.std().item() == pytest.approx(0.3, abs=4 * 0.3 / math.sqrt(2 * n))
    assert sample(vae, torch.randn(1, 3), torch.zeros(1, 1, 28, 28))[0].isfinite().all()
    decoded = Space(vae, "sample").decode(torch.randn(2, 4, 3))
    assert decoded.min() == 0 and decoded.max() == 1 and len(decoded.unique()) > 100


def test_images_are_shown_grey_and_not_drawn():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(as_model_input(levels, "gaussian"), levels / 255)


def test_pixelcnn_is_refused(tmp_path):
    (tmp_path / "many").mkdir()
    with pytest.raises(
        UsageError, match="likelihood of its decoder is bernoulli, and that of these data gaussian; choose conv"
    ):
        named_model("vae", f"{tmp_path}/many:likelihood=gaussian", "small", 4, 0)


@pytest.mark.parametrize("settings", ["likelihood=gaussian", "size=64"])
def test_architecture_does_not_choose_the_data(settings):
    with pytest.raises(UsageError, match="is no setting of architectures"):
        architecture(f"conv:{settings}", 4)


def test_comes_back_from_its_checkpoint_and_an_older_one_is_bernoulli(vae, tmp_path):
    save_model(tmp_path / "m.safetensors", vae, {})
    again, _ = load_model(tmp_path / "m.safetensors")
    assert torch.equal(again.decoder.sigma, vae.decoder.sigma) and again.arch == ARCH
    assert load_model(SHIPPED / Model("vae", "omniglot").file)[0].arch.likelihood == "bernoulli"


def test_unknown_likelihood_in_a_checkpoint_is_refused(vae, tmp_path):
    save_model(tmp_path / "m.safetensors", vae, {})
    tensors, header = read(tmp_path / "m.safetensors")
    write(tmp_path / "m.safetensors", tensors, header | {"arch": header["arch"] | {"likelihood": "poisson"}})
    with pytest.raises(UnusableError, match="no architecture that we know"):
        load_model(tmp_path / "m.safetensors")


def test_training_learns_grey_images_and_resumes_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(Conv, "variants", {"conv": {}, "tiny": {"encoder": 4, "hidden": 8, "channels": 4}})
    x = (squares(121) * torch.linspace(40, 250, 121)[:, None, None, None]).to(torch.uint8)
    data = Dataset("own", x[:101], x[101:111] / 255, x[111:] / 255, "of grey squares", "gaussian")
    plan = Plan(Model("vae", "own", "tiny", 3), epochs=6, anneal_epochs=1.0, lr=0.02, threads=1)

    def stop(progress):
        if len(progress.history) == 3:
            raise RuntimeError("stop here")

    train(plan, data, tmp_path / "whole.safetensors")
    with pytest.raises(RuntimeError, match="stop here"):
        train(plan, data, tmp_path / "parts.safetensors", report=stop)
    train(plan, data, tmp_path / "parts.safetensors")
    (whole, header), (parts, _) = (load_model(tmp_path / f"{n}.safetensors") for n in ("whole", "parts"))
    assert all(map(torch.equal, whole.state_dict().values(), parts.state_dict().values()))
    assert header["history"][-1]["nelbo"] < header["history"][0]["nelbo"] - 100


def test_only_a_gaussian_has_sigma(vae):
    assert sum(isinstance(p, nn.Parameter) and p.ndim == 0 for p in vae.parameters()) == 1
    plain = random_vae(Conv(latent=3, encoder=4, hidden=8, channels=4))
    assert not [p for p in plain.parameters() if p.ndim == 0]
