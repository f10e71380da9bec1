"""Samples that are no images: vectors of a Gaussian mixture, from their closed forms to a search."""

import math
from pathlib import Path

import pytest
import torch
from conftest import random_vae

from lso_bench.errors import UsageError
from lso_bench.models.traversal import Walks, traverse
from lso_bench.record import holds_images
from lso_bench.runner.run import run
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.vae import data
from lso_bench.vae.architectures import ARCHITECTURES, architecture
from lso_bench.vae.checkpoint import save_model
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.model import VAE
from lso_bench.vae.networks import fully_connected
from lso_bench.vae.sampling import sample
from lso_bench.vae.trained_model import Model

GAUSSIAN = "gaussian:bounded=false"


@pytest.fixture
def mixture():
    return DATASETS.build("gaussian_mixture")


def test_density_of_one_component_is_that_of_a_normal(mixture):
    single = DATASETS.build("gaussian_mixture:components=1")
    x = torch.randn(5, 8, dtype=torch.float64)
    normal = torch.distributions.Normal(single.means()[0], single.std)
    assert torch.allclose(single.log_density(x), normal.log_prob(x).sum(-1))


def test_mean_density_of_its_samples_is_minus_the_entropy_of_far_components():
    far = DATASETS.build("gaussian_mixture:radius=50")
    x = torch.from_numpy(far.samples(Path()))
    entropy = math.log(far.components) + far.dimensions * math.log(far.std * math.sqrt(2 * math.pi * math.e))
    density = far.log_density(x)
    assert abs(-density.mean().item() - entropy) < 4 * density.std().item() / math.sqrt(len(x))


def test_means_lie_at_the_radius_at_right_angles_or_opposite(mixture):
    means = DATASETS.build("gaussian_mixture:components=16").means()
    cosines = means @ means.T / mixture.radius**2
    assert torch.allclose(cosines.abs().round(), cosines.abs(), atol=1e-12) and len(means) == 16
    assert torch.allclose(cosines.sum(), torch.zeros((), dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("settings", ["components=17", "std=0", "dimensions=0", "radius=-1"])
def test_mixture_that_cannot_be_is_refused(settings):
    with pytest.raises(UsageError, match=f"gaussian_mixture.*{settings.partition('=')[0]}"):
        DATASETS.build(f"gaussian_mixture:{settings}")


def test_numbers_are_shown_to_a_model_as_they_are(mixture):
    loaded = data.load("gaussian_mixture")
    stored = torch.from_numpy(mixture.samples(Path()))
    assert loaded.likelihood == GAUSSIAN and loaded.test.dtype == torch.float32
    assert {tuple(x) for x in loaded.test[:20].tolist()} <= {tuple(x) for x in stored.tolist()}


def linear(weights, variance):
    """A VAE of vectors x = W z + noise, whose q(z|x) is p(z|x)."""
    d_x, d = weights.shape
    vae = VAE(architecture(f"mlp:hidden={d_x}", d, (d_x,), GAUSSIAN))
    inverse = torch.linalg.inv(weights.T @ weights / variance + torch.eye(d))  # (d, d), of p(z|x)
    head = torch.nn.Linear(d_x, 2 * d)
    with torch.no_grad():
        head.weight.copy_(torch.cat([inverse @ weights.T / variance, torch.zeros(d, d_x)]))
        head.bias.copy_(torch.cat([torch.zeros(d), inverse.diagonal().log()]))
    vae.encoder = head
    vae.decoder.main = torch.nn.Linear(d, d_x)
    with torch.no_grad():
        vae.decoder.main.weight.copy_(weights)
        vae.decoder.main.bias.zero_()
        vae.decoder.log_sigma.fill_(math.log(variance**0.5 - 1 / 255))
    return vae.eval()


def test_elbo_of_an_exact_linear_model_is_the_density_of_vectors():
    weights = 0.8 * torch.linalg.qr(torch.randn(6, 2))[0]  # orthogonal columns: p(z|x) is diagonal
    vae, variance = linear(weights, 0.25), 0.25
    x = torch.distributions.MultivariateNormal(torch.zeros(6), weights @ weights.T + variance * torch.eye(6)).sample(
        (50,)
    )
    q = vae.encode(x)
    z = q.sample()
    bound = vae.decode(z).log_prob(x) + vae.prior(x).log_prob(z) - q.log_prob(z)
    exact = torch.distributions.MultivariateNormal(
        torch.zeros(6), weights @ weights.T + variance * torch.eye(6)
    ).log_prob(x)
    assert torch.allclose(bound, exact, atol=1e-3)


@pytest.mark.parametrize("name", ["bernoulli", "gaussian", GAUSSIAN])
def test_draws_of_a_likelihood_have_its_mean(name):
    likelihood, decoder = LIKELIHOODS.build(name), torch.nn.Module()
    decoder.sigma = torch.tensor(0.3)
    output = torch.randn(1, 3).expand(20_000, 3)
    p = likelihood.distribution(output, decoder)
    drawn = likelihood.draw(p, torch.rand(20_000, 3))
    assert torch.allclose(p.mean, likelihood.mean(output)) and torch.allclose(drawn.mean(0), p.mean[0], atol=0.02)
    assert p.log_prob(drawn).shape == (20_000,)


def test_middle_noise_gives_the_mean_of_a_normal_and_the_likelier_value_of_a_bernoulli():
    normal = random_vae(architecture("mlp:hidden=4", 2, (5,), GAUSSIAN))
    x, mean = sample(normal, torch.randn(3, 2), torch.full((3, 5), 0.5))
    assert torch.allclose(x, mean, atol=1e-6)
    ink = random_vae(architecture("mlp:hidden=4", 2, (5,)))
    x, mean = sample(ink, torch.randn(3, 2), torch.full((3, 5), 0.5))
    assert torch.equal(x, (mean > 0.5).float())


@pytest.mark.parametrize("arch", ["conv", "small", "paper"])
def test_architecture_of_images_refuses_vectors(arch):
    with pytest.raises(UsageError, match=r"gaussian.*choose conv or mlp|are square grey images.*choose mlp"):
        architecture(arch, 3, (8,), GAUSSIAN)


def test_fully_connected_network_has_its_layers():
    widths = [(m.in_features, m.out_features) for m in fully_connected((1, 4, 4), 7, 2, 6) if hasattr(m, "in_features")]
    assert widths == [(16, 7), (7, 7), (7, 6)]


def test_mlp_is_listed_beside_the_architectures_of_images():
    assert {"paper", "small", "conv", "mlp"} <= ARCHITECTURES.names().keys()


@pytest.fixture
def planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = Model("vae", "gaussian_mixture", "mlp:hidden=8", 3)
    save_model(tmp_path / "checkpoints" / model.file, random_vae(architecture("mlp:hidden=8", 3, (8,), GAUSSIAN)), {})
    grid = Grid(["vae"], ["omniglot50:data=gaussian_mixture,instances=3"], arch="mlp:hidden=8", latent=3)
    return model, plan(grid, Protocol(max_steps=20))[0]


def test_vectors_are_searched_and_stored_as_numbers(planned):
    _, p = planned
    record = run(p.spec, p.checkpoint)
    assert record.status == "ok" and all(m.loss <= m.first_loss for m in record.members)
    assert record.tensors["decoded"].dtype == torch.float32 and record.tensors["decoded"].shape == (6, 8)
    assert record.tensors["decoded"].min() < 0 and not holds_images(record.tensors)


def test_run_of_vectors_is_compared_and_reported_without_images(planned, call, tmp_path):
    words = (
        "run --model vae --arch mlp:hidden=8 --latent 3 --task omniglot50:data=gaussian_mixture --max-steps 3 --quiet"
    )
    ran = call(*words.split())
    assert ran.returncode == 0, ran.stderr
    assert call("report", "results", "-o", "page.html").returncode == 0
    assert not [*(tmp_path / "results" / "pictures").glob("images-*.png")]


def test_walk_of_vectors_is_refused_in_one_line(planned, tmp_path):
    refusal = r"A walk draws grey or colour images, or prints texts; the samples of .* have shape \(8,\)"
    with pytest.raises(UsageError, match=refusal):
        traverse(planned[0], Walks(), tmp_path)


NUMBERS = '''"""Sequences of numbers."""

from dataclasses import dataclass

import numpy as np

from lso_bench.vae.datasets import Source


@dataclass(frozen=True)
class Numbers(Source):
    """Random numbers from 1 to 3, five in a sequence."""

    likelihood = "categorical:vocabulary=4"
    shape = (5, 4)

    def samples(self, folder):
        return np.random.default_rng(0).integers(1, 4, (40, 5), np.uint8)
'''


def test_walk_of_sequences_that_are_no_texts_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numbers.py").write_text(NUMBERS)
    arch = "parallel:hidden=8,layers=1,embedding=3"
    model = Model("vae", "./numbers.py", arch, 3)
    network = random_vae(architecture(arch, 3, (5, 4), "categorical:vocabulary=4"))
    save_model(tmp_path / "checkpoints" / model.file, network, {})
    with pytest.raises(UsageError, match=r"or prints texts; the samples of ./numbers.py have shape \(5, 4\)"):
        traverse(model, Walks(), tmp_path)
