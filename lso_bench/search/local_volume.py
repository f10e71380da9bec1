"""Volume that a decoder gives to the surroundings of a latent, as the Latent Exploration Score (LES) takes it."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import layer_norm, pad
from torch.overrides import TorchFunctionMode

from lso_bench.errors import PluginError
from lso_bench.vae.likelihoods.categorical import END, Categorical
from lso_bench.vae.model import VAE, LatentModel
from lso_bench.vae.sequence_decoder import SequenceDecoder

DECODED = 512  # most latents decoded at once, to bound memory


def local_volume(model: LatentModel, z: Float[Tensor, "b d"], x: Float[Tensor, "b *shape"]) -> Float[Tensor, " b"]:
    """Return half the log determinant of J^T J, where J is the Jacobian of what a model decodes (`elements`).

    J is exact, by d derivatives along the dimensions of z, which cost d decodings. J^T J is in double precision. Minus
    infinity where a dimension changes nothing.

    Raises:
        PluginError: an operation of the decoder has no forward derivative, or it decodes fewer than d numbers.

    Source: Ronen et al. 2024, "Mitigating over-exploration in latent space optimization using LES" (arXiv 2406.09657).
    Their code (repository OmerRonen/les) has finite differences.
    """
    part = points_at_once(z.shape[1])
    return torch.cat([_volume(model, *both) for both in zip(z.split(part), x.split(part), strict=True)])


def points_at_once(d: int) -> int:
    """Return the most points of d dimensions whose derivatives are computed at once."""
    return max(1, DECODED // d)


def _volume(model: LatentModel, z: Float[Tensor, "b d"], x: Float[Tensor, "b *shape"]) -> Float[Tensor, " b"]:
    def column(direction: Float[Tensor, " d"]) -> Float[Tensor, "b n"]:
        return jvp(lambda point: elements(model, point, x), (z,), (direction.expand_as(z),))[1]

    try:
        with sdpa_kernel(SDPBackend.MATH), _WrittenOut():  # of attention the only kernel with forward derivatives
            jacobian = vmap(column)(torch.eye(z.shape[1]).to(z)).double()  # (d, b, n)
    except NotImplementedError as error:
        raise PluginError(
            "Penalty 'les' needs forward derivatives, and PyTorch has none of an operation of this decoder; choose "
            "penalty=prior, likelihood or consistency."
        ) from error
    _check_count(*jacobian.shape[::2])
    return torch.einsum("ibn,jbn->bij", jacobian, jacobian).slogdet().logabsdet / 2


def _check_count(d: int, n: int) -> None:
    """Refuse a decoder of fewer numbers than dimensions: J^T J is singular, and its determinant a rounding error."""
    if n < d:
        raise PluginError(
            f"Penalty 'les' wants a decoder of at least as many numbers as latent dimensions, {d}, and this one has "
            f"{n}; choose penalty=prior, likelihood or consistency."
        )


class _WrittenOut(TorchFunctionMode):
    """Layer norm as plain operations: through PyTorch's (2.13), a forward derivative has a wrong gradient."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (_layer_norm if func is layer_norm else func)(*args, **(kwargs or {}))


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    dimensions = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(dimensions, keepdim=True)
    x = centred * (centred.square().mean(dimensions, keepdim=True) + eps).rsqrt()
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def elements(model: LatentModel, z: Float[Tensor, "b d"], x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b n"]:
    """Return what a model decodes as numbers that determine the decoder's output, of each sample in a row.

    They are the means of images. Of sequences they are the probabilities of tokens at each position and 1 over the sum
    of the exponentiated logits, without which the probabilities would not determine the logits (the authors' code). An
    autoregressive decoder is given x (inferred; the authors' decoders are given probabilities).
    """
    if not isinstance(model, VAE):
        return model.mean(z).flatten(1)
    if not isinstance(model.density, Categorical):
        return model.decode(z, x).mean.flatten(1)
    logits = _logits(model.decoder, z, x) if model.autoregressive else model.decoder(z)
    return with_constant(logits).flatten(1)


def with_constant(logits: Float[Tensor, "b t v"]) -> Float[Tensor, "b t w"]:
    """Return probabilities, and 1 over the sum of the exponentiated logits of each position."""
    return torch.cat([logits.softmax(-1), (-logits.logsumexp(-1, keepdim=True)).exp()], -1)


def _logits(decoder: SequenceDecoder, z: Float[Tensor, "b d"], x: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
    """Return the logits of an autoregressive decoder step by step: its other ways have no forward derivative."""
    steps, tokens = decoder.steps(z), x.argmax(-1)
    logits = torch.stack([steps(None), *(steps(token) for token in tokens[:, :-1].unbind(1))], 1)
    return decoder.after_end(logits, pad(x[:, :-1, END, None], (0, 0, 1, 0)) > 0.5)
