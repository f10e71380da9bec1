"""The networks: what may depend on what, and that the fast forms equal the plain ones."""

import pytest
import torch
from conftest import random_vae
from torch.nn.functional import conv2d

from lso_bench.errors import UsageError
from lso_bench.vae.architectures import ARCHITECTURES, IMAGE, architecture
from lso_bench.vae.frozen import freeze
from lso_bench.vae.networks import CausalConv2d

OF_IMAGES = [n for n in ARCHITECTURES.names() if ARCHITECTURES.build(n).shape == IMAGE]
PIXELCNNS = [n for n in OF_IMAGES if ARCHITECTURES.build(n).autoregressive]


@pytest.mark.parametrize("arch", PIXELCNNS)
@pytest.mark.parametrize("pixel", [(0, 0), (0, 27), (5, 9), (13, 13), (27, 0), (27, 27)])
def test_pixel_depends_only_on_teacher_pixels_before_it(arch, pixel):
    vae, (i, j) = random_vae(ARCHITECTURES.build(arch)), pixel
    x = torch.rand(1, 1, 28, 28, requires_grad=True)
    logit = vae.decoder(torch.randn(1, 32), x)[0, 0, i, j]
    (gradient,) = torch.autograd.grad(logit, x)
    assert (gradient.flatten()[28 * i + j :] == 0).all()
    if i + j > 0:
        assert (gradient.flatten()[: 28 * i + j] != 0).any()


@pytest.mark.parametrize("arch", OF_IMAGES)
def test_every_pixel_depends_on_the_whole_code(arch):
    vae = random_vae(ARCHITECTURES.build(arch))
    x = torch.rand(1, 1, 28, 28)
    for i, j in ((0, 0), (13, 20), (27, 27)):
        z = torch.randn(1, 32, requires_grad=True)
        (gradient,) = torch.autograd.grad(vae.decoder(z, x)[0, 0, i, j], z)
        assert (gradient != 0).all()


@pytest.mark.parametrize("size", [28, 32, 64])
@pytest.mark.parametrize("arch", OF_IMAGES)
def test_architecture_is_of_the_size_of_its_images(arch, size):
    settings = "hidden=4" if arch in ("mlp", "parallel") else "encoder=2,hidden=4,channels=2"
    vae, x = random_vae(architecture(f"{arch}:{settings}", 3, (1, size, size))), torch.rand(2, 1, size, size)
    assert vae.encode(x).mean.shape == (2, 3) and vae.decode(torch.randn(2, 3), x).mean.shape == x.shape


@pytest.mark.parametrize(("size", "side", "doublings"), [(28, 7, 2), (64, 4, 4)])
def test_convolutions_halve_to_a_side_of_4_and_double_from_a_small_one(size, side, doublings):
    vae = random_vae(architecture("conv", 2, (1, size, size)))
    layers = list(vae.decoder.main)
    assert layers[3].unflattened_size == (64, side, side)
    assert sum(isinstance(m, torch.nn.ConvTranspose2d) for m in layers) == doublings
    assert next(m for m in vae.encoder.main if isinstance(m, torch.nn.Conv2d)).kernel_size == (4, 4)


@pytest.mark.parametrize("mask", ["A", "B"])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_cropped_convolution_equals_the_plain_masked_one(mask, kernel):
    conv, half = CausalConv2d(3, 5, kernel, mask, bias=True), kernel // 2
    x = torch.randn(2, 3, 28, 28)
    full = torch.zeros(5, 3, kernel, kernel)
    full[:, :, : half + 1] = conv.weight.detach()
    full[:, :, half, half + (mask == "B") :] = 0
    plain = conv2d(x, full, conv.bias, padding=half)
    torch.testing.assert_close(conv(x), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arch", OF_IMAGES)
def test_frozen_model_gives_the_same_outputs(arch):
    vae = random_vae(ARCHITECTURES.build(arch))
    rng = torch.Generator().manual_seed(0)
    frozen, x, z = freeze(vae), torch.rand(4, 1, 28, 28, generator=rng), torch.randn(4, 32, generator=rng)
    with torch.no_grad():
        for output, plain in ((frozen.decoder(z, x), vae.decoder(z, x)), (frozen.encode(x).mean, vae.encode(x).mean)):
            scale = plain.abs().max().item()  # rounding grows with the largest of what a layer sums
            torch.testing.assert_close(output, plain, atol=1e-5 * scale, rtol=0)


def test_freezing_leaves_the_model_itself_alone(vae):
    before = {k: v.clone() for k, v in vae.state_dict().items()}
    freeze(vae)
    assert all(torch.equal(v, before[k]) for k, v in vae.state_dict().items())


def test_frozen_model_takes_no_weight_gradients(vae):
    assert not any(p.requires_grad for p in freeze(vae).parameters())


def test_distributions_have_one_event_an_image(vae):
    x = torch.rand(3, 1, 28, 28)
    q, p = vae.encode(x), vae.decode(torch.randn(3, 4), x)
    assert (q.batch_shape, q.event_shape) == ((3,), (4,))
    assert (p.batch_shape, p.event_shape) == ((3,), (1, 28, 28))


def test_decoder_that_cannot_halve_its_channels_is_refused():
    with pytest.raises(UsageError, match="wanted 2 or more, got 1"):
        architecture("small:channels=1", 4)
    assert architecture("conv:channels=1", 4).channels == 1
