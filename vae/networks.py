"""The networks: a ResNet encoder, a PixelCNN decoder and a transposed-convolution decoder.

Layer sizes: He et al. 2019, "Lagging Inference Networks", appendix B.3, and their public code, which
"Neighbor Embedding Variational Autoencoder" (arXiv 2103.11349, section 5) says it follows.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from lso_bench.plugins.notation import parse, write
from lso_bench.plugins.settings import apply_settings, differing

Likelihood = Literal["bernoulli", "gaussian"]  # of a pixel
STEP = 1 / 255  # between two grey levels; inferred: a sigma without this bound lets the density diverge
START = 0.25  # initial sigma; inferred: about that of a decoder that predicts the mean image


@dataclass(frozen=True)
class Architecture:
    """Sizes of an encoder and a decoder for square grey images, and the likelihood of a pixel."""

    size: int = 28  # pixels a side
    latent: int = 32  # latent dimensions, d
    encoder: int = 64  # channels of the residual blocks
    hidden: int = 512  # channels between the blocks and the latent
    channels: int = 64  # channels of the decoder
    kernels: tuple[int, ...] = (7, 7, 7, 7, 7, 5, 5, 5, 5, 3, 3, 3, 3)  # per PixelCNN layer; (): not autoregressive
    skips: bool = True  # residual blocks across every three PixelCNN layers
    gated: bool = False  # tanh times sigmoid after each masked convolution, instead of an ELU
    likelihood: Likelihood = "bernoulli"

    def __post_init__(self):
        counts = [self.size, self.latent, self.encoder, self.hidden, self.channels, *self.kernels]
        if not all(type(n) is int and 0 < n <= 1024 for n in counts) or len(self.kernels) > 64:
            raise ValueError("Sizes of an architecture are whole numbers from 1 to 1024, of at most 64 layers.")
        if self.kernels and self.channels < 2:
            raise ValueError(f"A PixelCNN halves its channels; wanted 2 or more, got {self.channels}.")
        if self.likelihood not in get_args(Likelihood):
            raise ValueError(f"A likelihood is one of {get_args(Likelihood)}, not {self.likelihood!r}.")
        if self.likelihood == "gaussian" and self.kernels:
            raise ValueError("A PixelCNN draws pixels of 0 and 1, and these data are Gaussian; choose conv.")


ARCHITECTURES = {
    "paper": Architecture(),
    "small": Architecture(encoder=32, hidden=128, channels=32, kernels=(7, 7, 7, 5, 5, 3, 3), skips=False),
    "conv": Architecture(encoder=32, hidden=128, channels=32, kernels=()),
}


def architecture(text: str, latent: int, size: int = 28, likelihood: Likelihood = "bernoulli") -> Architecture:
    """Return the architecture of `name` or `name:setting=value,...`, for `latent` dimensions and images of `size`
    pixels a side.

    Raises:
        ValueError: the name or setting does not exist, or does not fit the images.
    """
    name, settings = parse(text)
    if name not in ARCHITECTURES:
        raise ValueError(f"No architecture {name!r}; there are {', '.join(ARCHITECTURES)}.")
    plain = ARCHITECTURES[name]
    arch = apply_settings(plain, settings)
    if (arch.size, arch.latent, arch.likelihood) != (plain.size, plain.latent, plain.likelihood):
        raise ValueError(
            "size and likelihood are those of the data, and the number of latent dimensions has an option of its own."
        )
    if not arch.kernels and settings and (arch.gated or arch.skips != plain.skips):
        raise ValueError("gated and skips are settings of a PixelCNN.")
    return replace(arch, latent=latent, size=size, likelihood=likelihood)


def canonical(text: str) -> str:
    """Return the canonical text of an architecture: only settings that differ from the defaults of its name.

    Raises:
        ValueError: as `architecture`.
    """
    name, settings = parse(text)
    if name not in ARCHITECTURES:
        raise ValueError(f"No architecture {name!r}; there are {', '.join(ARCHITECTURES)}.")
    return write(name, differing(apply_settings(ARCHITECTURES[name], settings), ARCHITECTURES[name]))


class CausalConv2d(nn.Module):
    """Masked convolution that multiplies only the rows of its kernel that the mask leaves.

    Mask "A" hides the centre pixel, "B" shows it. Source: van den Oord et al. 2016, "Pixel Recurrent Neural
    Networks", section 3.4. A full k x k masked kernel gives the same output with 2k / (k + 1) times the work.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, mask: str, bias: bool = False):
        super().__init__()
        self.pad = kernel // 2
        self.weight = nn.Parameter(torch.empty(outputs, inputs, self.pad + 1, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        visible = torch.ones(self.pad + 1, kernel)
        visible[-1, self.pad + (mask == "B") :] = 0
        self.register_buffer("mask", visible, persistent=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        # Only the top is padded: padding both ends and cropping the bottom takes twice the time in the backward pass.
        above = pad(x, (0, 0, self.pad, 0))
        return conv2d(above, self.weight * self.mask, self.bias, padding=(0, self.pad))


class Residual(nn.Module):
    """Residual block elu(main(x) + shortcut(x)), in place: new memory took a fifth of a search step on a CPU."""

    def __init__(self, main: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.main, self.shortcut = main, shortcut

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o v u"]:
        return nn.functional.elu_(self.main(x).add_(self.shortcut(x)))


def halving_block(inputs: int, outputs: int) -> Residual:
    """Build two 3 x 3 convolutions, the first of stride 2, with a 1 x 1 shortcut of stride 2."""
    main = nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ELU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    )
    return Residual(main, nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs)))


class Gate(nn.Module):
    """Product of tanh of one half of the channels and sigmoid of the other half.

    Source: van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", equation 2. As in He et
    al. there is one stack of masked convolutions, not that paper's vertical and horizontal stacks: its blind spot
    stays.
    """

    def forward(self, x: Float[Tensor, "b c *pixels"]) -> Float[Tensor, "b o *pixels"]:
        value, gate = x.chunk(2, dim=1)
        return value.tanh() * gate.sigmoid()


def causal_block(channels: int, kernel: int, gated: bool) -> Residual:
    """Build a bottleneck around a masked convolution: 1 x 1 to half the channels, k x k of mask B, 1 x 1 back."""
    half = channels // 2
    inner = half * (1 + gated)
    main = nn.Sequential(
        nn.Conv2d(channels, half, 1, bias=False),
        nn.BatchNorm2d(half),
        nn.ELU(inplace=True),
        CausalConv2d(half, inner, kernel, "B"),
        nn.BatchNorm2d(inner),
        Gate() if gated else nn.ELU(inplace=True),
        nn.Conv2d(half, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    )
    return Residual(main, nn.Identity())


class Encoder(nn.Module):
    """Encoder of images to 2d numbers each: the mean and the log variance of q(z|x)."""

    def __init__(self, arch: Architecture):
        super().__init__()
        halvings = max(1, (arch.size - 1).bit_length() - 2)  # down to 4, rounded up: 28 -> 14 -> 7 -> 4
        side = -(-arch.size // 2**halvings)
        self.main = nn.Sequential(
            halving_block(1, arch.encoder),
            *(halving_block(arch.encoder, arch.encoder) for _ in range(halvings - 1)),
            nn.Conv2d(arch.encoder, arch.hidden, side, bias=False),
            nn.BatchNorm2d(arch.hidden),
            nn.ELU(inplace=True),
            nn.Flatten(),
            nn.Linear(arch.hidden, 2 * arch.latent),
        )

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b e"]:
        return self.main(x)


class PixelCNN(nn.Module):
    """Decoder of latents and the pixels before each pixel to the logits of that pixel.

    The first layer is linear in image and latent. It is the sum of two parts: `of_image` (mask A) and `of_code`
    (not masked: every pixel sees the whole latent).
    """

    def __init__(self, arch: Architecture):
        super().__init__()
        maps, c, (first, *rest) = 4, arch.channels, arch.kernels  # 4 maps of the latent: He et al. 2019
        self.of_image = CausalConv2d(1, c, first, "A")
        self.of_code = nn.Sequential(
            nn.Linear(arch.latent, maps * arch.size**2),
            nn.Unflatten(1, (maps, arch.size, arch.size)),
            nn.Conv2d(maps, c, first, padding=first // 2, bias=False),
        )
        self.entry = nn.Sequential(nn.BatchNorm2d(c), nn.ELU(inplace=True))
        self.layers = nn.ModuleList(causal_block(c, k, arch.gated) for k in rest)
        self.skips = nn.ModuleList(causal_block(c, k, arch.gated) for k in arch.kernels[1:-1]) if arch.skips else None
        self.exit = nn.Sequential(
            nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c), nn.ELU(inplace=True), nn.Conv2d(c, 1, 1)
        )

    def forward(self, z: Float[Tensor, "b d"], teacher: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        return self.rest(self.of_image(teacher) + self.of_code(z))

    def rest(self, first: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        """Compute the logits from the sum of the two parts of the first layer."""
        outputs = [self.entry(first)]
        for i, layer in enumerate(self.layers):
            x = outputs[-1]
            if self.skips and i >= 2:
                x = x + self.skips[i - 2](outputs[i - 2])
            outputs.append(layer(x))
        return self.exit(outputs[-1] + self.skips[-1](outputs[-3]) if self.skips else outputs[-1])


def doubling(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """Build a block that doubles the side of its maps."""
    conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
    return conv, nn.BatchNorm2d(outputs), nn.ELU(inplace=True)


class ConvDecoder(nn.Module):
    """Decoder of latents to logits by transposed convolutions; every pixel depends on the latent alone.

    Under a Gaussian likelihood the sigmoid of a logit is a pixel's mean. All pixels share one learned standard
    deviation: a fixed one would be another weight of the rate, to be tuned for every data set. Source: Rybkin et
    al. 2021, "Simple and Effective VAE Training with Calibrated Decoders" (arXiv 2006.13202), the sigma-VAE.
    """

    def __init__(self, arch: Architecture):
        super().__init__()
        doublings, c = 2, arch.channels
        while arch.size % 2 ** (doublings + 1) == 0 and arch.size >> doublings > 7:
            doublings += 1  # 28 = 7 * 2**2, 64 = 4 * 2**4
        side = arch.size >> doublings
        self.main = nn.Sequential(
            nn.Linear(arch.latent, arch.hidden),
            nn.ELU(inplace=True),
            nn.Linear(arch.hidden, 2 * c * side**2, bias=False),
            nn.Unflatten(1, (2 * c, side, side)),
            nn.BatchNorm2d(2 * c),
            nn.ELU(inplace=True),
            *doubling(2 * c, c),
            *(layer for _ in range(doublings - 1) for layer in doubling(c, c)),
            nn.Conv2d(c, 1, 3, padding=1),
        )
        gaussian = arch.likelihood == "gaussian"
        self.log_sigma = nn.Parameter(torch.tensor(START).log()) if gaussian else None

    @property
    def sigma(self) -> Float[Tensor, ""]:
        """Standard deviation of a pixel, above one grey level."""
        assert self.log_sigma is not None, "a Bernoulli has none"
        return STEP + self.log_sigma.exp()

    def forward(self, z: Float[Tensor, "b d"], teacher: Tensor | None = None) -> Float[Tensor, "b 1 h w"]:
        return self.main(z)
