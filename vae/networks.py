"""Networks of 28 x 28 and larger images: a ResNet encoder, a PixelCNN and a transposed-convolution decoder.

Layer sizes: He et al. 2019, "Lagging Inference Networks", appendix B.3, and their public code, which
"Neighbor Embedding Variational Autoencoder" (arXiv 2103.11349, section 5) says it follows. Two details are ours.
Weights begin from PyTorch's defaults; theirs draw convolutions from N(0, sqrt(2 / (k k out))) and linear layers from
Xavier's uniform, with zero biases. The last 1 x 1 convolution of the PixelCNN has a bias.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

STEP = 1 / 255  # between two grey levels; inferred: a sigma without this bound lets the density diverge
# Fewest channels for the channels-last layout, which is 1.3 times faster on a CPU. With fewer, the backward pass of
# torch 2.13 writes outside its memory on a CPU with AVX2 alone (a 1 x 1 convolution of stride 2).
NARROWEST = 8
START = 0.25  # initial sigma; inferred: about that of a decoder that predicts the mean image


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

    def __init__(self, size: int, latent: int, channels: int, hidden: int):
        super().__init__()
        halvings = max(1, (size - 1).bit_length() - 2)  # down to 4, rounded up: 28 -> 14 -> 7 -> 4
        side = -(-size // 2**halvings)
        self.main = nn.Sequential(
            halving_block(1, channels),
            *(halving_block(channels, channels) for _ in range(halvings - 1)),
            nn.Conv2d(channels, hidden, side, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ELU(inplace=True),
            nn.Flatten(),
            nn.Linear(hidden, 2 * latent),
        )

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b e"]:
        return self.main(x)


class PixelCNN(nn.Module):
    """Decoder of latents and the pixels before each pixel to the logits of that pixel.

    The first layer is linear in image and latent. It is the sum of two parts: `of_image` (mask A) and `of_code`
    (not masked: every pixel sees the whole latent).
    """

    def __init__(
        self, size: int, latent: int, channels: int, kernels: Sequence[int], skips: bool = False, gated: bool = False
    ):
        super().__init__()
        maps, c, (first, *rest) = 4, channels, kernels  # 4 maps of the latent: He et al. 2019
        self.of_image = CausalConv2d(1, c, first, "A")
        self.of_code = nn.Sequential(
            nn.Linear(latent, maps * size**2),
            nn.Unflatten(1, (maps, size, size)),
            nn.Conv2d(maps, c, first, padding=first // 2, bias=False),
        )
        self.entry = nn.Sequential(nn.BatchNorm2d(c), nn.ELU(inplace=True))
        self.layers = nn.ModuleList(causal_block(c, k, gated) for k in rest)
        self.skips = nn.ModuleList(causal_block(c, k, gated) for k in kernels[1:-1]) if skips else None
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


class Sigma(nn.Module):
    """Standard deviation of a Gaussian likelihood, shared by all elements and learned.

    A fixed one would be another weight of the rate, to be tuned for every data set. Source: Rybkin et al. 2021,
    "Simple and Effective VAE Training with Calibrated Decoders" (arXiv 2006.13202), the sigma-VAE.
    """

    def __init__(self, gaussian: bool):
        super().__init__()
        self.log_sigma = nn.Parameter(torch.tensor(START).log()) if gaussian else None

    @property
    def sigma(self) -> Float[Tensor, ""]:
        """Standard deviation of an element, above one grey level."""
        assert self.log_sigma is not None, "a Bernoulli has none"
        return STEP + self.log_sigma.exp()


class ConvDecoder(Sigma):
    """Decoder of latents to logits by transposed convolutions; every pixel depends on the latent alone.

    Under a Gaussian likelihood the sigmoid of a logit is a pixel's mean.
    """

    def __init__(self, size: int, latent: int, channels: int, hidden: int, gaussian: bool = False):
        super().__init__(gaussian)
        doublings, c = 2, channels
        while size % 2 ** (doublings + 1) == 0 and size >> doublings > 7:
            doublings += 1  # 28 = 7 * 2**2, 64 = 4 * 2**4
        side = size >> doublings
        self.main = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.ELU(inplace=True),
            nn.Linear(hidden, 2 * c * side**2, bias=False),
            nn.Unflatten(1, (2 * c, side, side)),
            nn.BatchNorm2d(2 * c),
            nn.ELU(inplace=True),
            *doubling(2 * c, c),
            *(layer for _ in range(doublings - 1) for layer in doubling(c, c)),
            nn.Conv2d(c, 1, 3, padding=1),
        )

    def forward(self, z: Float[Tensor, "b d"], teacher: Tensor | None = None) -> Float[Tensor, "b 1 h w"]:
        return self.main(z)


def fully_connected(shape: Sequence[int], hidden: int, layers: int, outputs: int) -> list[nn.Module]:
    """Build hidden layers with ReLUs, and a last linear layer."""
    widths = [prod(shape), *[hidden] * layers]
    inner = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return [*inner, nn.Linear(hidden, outputs)]


class FullyConnectedDecoder(Sigma):
    """Decoder of latents to outputs of any shape by fully connected layers."""

    def __init__(self, latent: int, hidden: int, layers: int, shape: Sequence[int], gaussian: bool = False):
        super().__init__(gaussian)
        stack = fully_connected([latent], hidden, layers, prod(shape))
        self.main = nn.Sequential(*stack, nn.Unflatten(1, tuple(shape)))

    def forward(self, z: Float[Tensor, "b d"], teacher: Tensor | None = None) -> Float[Tensor, "b *shape"]:
        return self.main(z)
