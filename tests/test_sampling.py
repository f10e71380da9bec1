"""Drawing from p(x|z): one column a step, the same image as the whole network gives."""

import pytest
import torch
from conftest import TINY, random_vae, squares

from lso_bench.vae.architectures import ARCHITECTURES, architecture
from lso_bench.vae.frozen import freeze
from lso_bench.vae.sampling import sample
from lso_bench.vae.traverse import along, outwards, walk

PIXELCNNS = ["small", "small:gated=true", "small:skips=true,gated=true", "paper"]


@pytest.mark.parametrize("arch", PIXELCNNS)
def test_each_probability_is_that_of_the_whole_network_given_the_pixels_before(arch):
    torch.manual_seed(0)
    vae = random_vae(architecture(arch, 5))
    x, mean = sample(vae, torch.randn(3, 5, generator=torch.Generator().manual_seed(1)))
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    z = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(mean, vae.decode(z, x).mean, rtol=1e-4, atol=1e-5)


def test_pixel_is_ink_where_its_probability_exceeds_the_noise():
    noise = torch.rand(3, 1, 28, 28)
    x, mean = sample(random_vae(TINY), torch.randn(3, TINY.latent), noise)
    assert torch.equal(x, (mean > noise).float())


def test_draws_follow_the_probabilities():
    torch.manual_seed(0)
    x, mean = sample(random_vae(TINY), torch.zeros(2000, TINY.latent))
    error = (x - mean).mean(0) / (mean * (1 - mean)).sum(0).sqrt() * 2000
    assert error.abs().max() < 5  # standard errors, of 784 pixels


def test_same_noise_and_code_same_image():
    noise, z = torch.rand(2, 1, 28, 28), torch.randn(2, TINY.latent)
    assert torch.equal(sample(random_vae(TINY), z, noise)[0], sample(random_vae(TINY), z, noise)[0])


def test_convolutional_decoder_draws_every_pixel_from_its_mean():
    vae, z = random_vae(ARCHITECTURES.build("conv")), torch.randn(4, 32)
    noise = torch.rand(4, 1, 28, 28)
    x, mean = sample(vae, z, noise)
    with torch.no_grad():
        torch.testing.assert_close(mean, vae.decode(z).mean)
    assert torch.equal(x, (mean > noise).float())


def test_frozen_model_gives_the_same_and_may_be_frozen_again():
    vae, z, noise = random_vae(TINY), torch.randn(2, TINY.latent), torch.rand(2, 1, 28, 28)
    frozen = freeze(freeze(vae))
    torch.testing.assert_close(sample(frozen, z, noise)[1], sample(vae, z, noise)[1])
    with torch.no_grad():
        torch.testing.assert_close(frozen.decode(z, squares(2)).mean, vae.decode(z, squares(2)).mean)


def test_walk_along_a_dimension_moves_that_one_alone():
    z = along(5, 2, 10.0, 100)
    assert z.shape == (100, 5) and z[0, 2] == -10 and z[-1, 2] == 10
    assert (z[:, [0, 1, 3, 4]] == 0).all() and torch.allclose(z[:, 2].diff(), torch.tensor(20 / 99), atol=1e-5)


def test_walk_outwards_ends_at_its_distance():
    z = outwards(torch.randn(7), 10.0, 100)
    assert z[0].norm() == 0 and z[-1].norm().item() == pytest.approx(10.0, rel=1e-5)


def test_walk_where_the_decoder_sees_no_code_shows_one_image():
    vae = random_vae(TINY)
    with torch.no_grad():
        vae.decoder.of_code[0].weight.zero_()
    images = walk(vae, along(TINY.latent, 0, 10.0, 7), torch.rand(1, 28, 28))
    torch.testing.assert_close(images, images[:1].expand_as(images))
