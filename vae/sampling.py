"""Samples from p(x|z), of an autoregressive decoder element by element.

For each pixel of a PixelCNN one new column of activations is computed, for each token of a sequence one new state.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import elu, linear, one_hot, pad

from lso_bench.vae.frozen import freeze
from lso_bench.vae.likelihoods.categorical import END, gumbel, padded
from lso_bench.vae.model import VAE, LatentModel
from lso_bench.vae.networks import CausalConv2d, PixelCNN, Residual
from lso_bench.vae.sequence_decoder import SequenceDecoder


@torch.no_grad()
def sample(
    vae: LatentModel, z: Float[Tensor, "b d"], noise: Float[Tensor, "#b *shape"] | None = None
) -> tuple[Float[Tensor, "b *shape"], Float[Tensor, "b *shape"]]:
    """Draw samples x ~ p(x|z), and return them with the mean of each element given z and the elements drawn before it.

    The mean of a Bernoulli pixel is its probability of ink. A Bernoulli pixel is ink where this exceeds `noise`
    (uniform in [0, 1), of each sample or one for all; default: drawn). With the same noise, images of two latents
    differ only by the latents. Noise of 0.5 takes the likelier value of each pixel in turn. A normal pixel is its
    quantile at `noise`, so that 0.5 takes the mean. The decoded samples of a model from outside are returned as they
    are, because it has no distribution of samples.
    """
    if not isinstance(vae, VAE):
        return (x := vae.mean(z)), x
    if noise is None:
        noise = torch.rand(len(z), *vae.shape, device=z.device)
    if not vae.autoregressive:
        p = vae.decode(z)
        return vae.density.draw(p, noise), p.mean
    if isinstance(vae.decoder, SequenceDecoder):
        return _by_tokens(vae.decoder, z, noise)
    return _by_pixels(freeze(vae).decoder, z, noise[:, 0])


def _by_tokens(
    decoder: SequenceDecoder, z: Float[Tensor, "b d"], noise: Float[Tensor, "#b t v"]
) -> tuple[Float[Tensor, "b t v"], Float[Tensor, "b t v"]]:
    """Sample from a decoder of sequences, which keeps what it computed for the tokens before."""
    steps, token, ended = decoder.steps(z), None, torch.zeros(len(z), 1, dtype=torch.bool, device=z.device)
    tokens, logits = [], []
    for chance in gumbel(noise).unbind(1):
        logits.append(decoder.after_end(steps(token), ended))
        token = (logits[-1] + chance).argmax(-1)
        ended = token[:, None] == END
        tokens.append(token)
    x = one_hot(torch.stack(tokens, 1), noise.shape[-1]).to(z.dtype)
    return x, torch.stack(logits, 1).softmax(-1)


def expected(vae: VAE, z: Float[Tensor, "b d"]) -> Float[Tensor, "b t v"]:
    """Return probabilities of tokens, each given z and the probabilities of the tokens before it in place of tokens.

    They have a gradient. They are biased: the mean of p(x|z) over draws of the tokens before differs. Where every token
    is certain, they are those of the likeliest tokens. A decoder of all tokens at once has no tokens before: the result
    is its mean.
    """
    if not vae.autoregressive:
        return vae.mean(z)
    steps, chances = vae.decoder.steps(z), []
    for _ in range(vae.shape[0]):
        chances.append(steps(chances[-1] if chances else None).softmax(-1))
    return padded(torch.stack(chances, 1))


def _by_pixels(
    decoder: nn.Module, z: Float[Tensor, "b d"], noise: Float[Tensor, "#b h w"]
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Sample from a frozen PixelCNN. Every layer stores its inputs at the pixels before."""
    assert isinstance(decoder, PixelCNN)
    latent_part = decoder.of_code(z)  # (b, c, h, w)
    b, _, h, w = latent_part.shape
    first = _CausalWindow(decoder.of_image, b, h, w)
    layers = [_CausalBlock(m, b, h, w) for m in decoder.layers]
    skips = [_CausalBlock(m, b, h, w) for m in decoder.skips] if decoder.skips else None
    x, mean = z.new_zeros(b, 1, h, w), z.new_zeros(b, 1, h, w)
    for i in range(h):
        for j in range(w):
            outputs = [elu(first.at_pixel(i, j) + latent_part[:, :, i, j])]
            for n, layer in enumerate(layers):
                u = outputs[-1]
                if skips and n >= 2:
                    u = u + skips[n - 2](outputs[n - 2], i, j)
                outputs.append(layer(u, i, j))
            last = outputs[-1] + skips[-1](outputs[-3], i, j) if skips else outputs[-1]
            mean[:, 0, i, j] = decoder.exit(last[:, :, None, None])[:, 0, 0, 0].sigmoid()
            x[:, 0, i, j] = (mean[:, 0, i, j] > noise[:, i, j]).to(z)
            first.store(x[:, :, i, j], i, j)
    return x, mean


class _CausalWindow:
    """Masked convolution, one pixel at a time, with its past inputs laid out for its window."""

    def __init__(self, conv: CausalConv2d, b: int, h: int, w: int):
        self.pad, (_, inputs, rows, columns) = conv.pad, conv.weight.shape
        self.rows, self.columns = rows, columns
        visible: Bool[Tensor, " t"] = conv.mask.flatten().bool()
        self.weight = (conv.weight * conv.mask).permute(0, 2, 3, 1).flatten(1)  # (o, rows * columns * c)
        self.weight = self.weight[:, : int(visible.sum()) * inputs]  # the window ends at the last visible pixel
        self.bias = conv.bias
        self.inputs = pad(conv.weight.new_zeros(b, h, w, inputs), (0, 0, *[self.pad] * 2, self.pad, 0))

    def store(self, values: Float[Tensor, "b c"], i: int, j: int) -> None:
        self.inputs[:, i + self.pad, j + self.pad] = values

    def at_pixel(self, i: int, j: int) -> Float[Tensor, "b o"]:
        window = self.inputs[:, i : i + self.rows, j : j + self.columns].flatten(1)
        return linear(window[:, : self.weight.shape[1]], self.weight, self.bias)


class _CausalBlock:
    """Frozen causal block, one pixel at a time."""

    def __init__(self, block: nn.Module, b: int, h: int, w: int):
        assert isinstance(block, Residual) and isinstance(block.main, nn.Sequential)
        self.narrow, _, _, masked, _, self.activation, self.widen, _ = block.main
        assert isinstance(masked, CausalConv2d)
        self.window = _CausalWindow(masked, b, h, w)

    def __call__(self, u: Float[Tensor, "b c"], i: int, j: int) -> Float[Tensor, "b c"]:
        self.window.store(elu(_at_one_pixel(self.narrow, u)), i, j)
        v = self.activation(self.window.at_pixel(i, j))
        return elu(_at_one_pixel(self.widen, v) + u)


def _at_one_pixel(conv: nn.Module, u: Float[Tensor, "b c"]) -> Float[Tensor, "b o"]:
    """Apply a 1 x 1 convolution to one pixel."""
    assert isinstance(conv, nn.Conv2d)
    return linear(u, conv.weight[:, :, 0, 0], conv.bias)
