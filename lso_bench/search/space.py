"""Frozen model as the runner of a search uses it."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from lso_bench.search.coordinates import AnyCoordinates
from lso_bench.vae.default_architecture import is_of_sequences
from lso_bench.vae.frozen import freeze
from lso_bench.vae.model import VAE, LatentModel
from lso_bench.vae.networks import PixelCNN
from lso_bench.vae.sampling import expected, sample

DECODINGS = {
    "teacher": "the mean image, every pixel given the target's pixels before it (PixelCNN, GRU, transformer)",
    "mean": "the mean image (a decoder that is not autoregressive)",
    "soft": "probabilities of tokens, given those of the tokens before (GRU, transformer); biased, with a gradient",
    "sample": "an image drawn pixel by pixel; the same chance for every code of a run, and no gradient",
    "greedy": "the likelier value of each pixel in turn; no gradient",
}


GRADIENT = ("teacher", "mean", "soft")  # decodings with a gradient, which give means instead of samples
DTYPES = {"fp32": torch.float32, "fp64": torch.float64}  # precisions of a search
ENCODED = 5000  # most images encoded at once
CHUNK = 512  # most images decoded at once without a gradient, to bound memory


def free_running(likelihood: str) -> str:
    """Return the default decoding of an autoregressive decoder that has no target."""
    return "greedy" if is_of_sequences(likelihood) else "sample"


class Space:
    """Latent space of a frozen model, for k problems at once.

    A point is given by its coordinates u. They are z itself, unless the space has `coordinates`.

    Args:
        decoding: one of `DECODINGS`.
        teacher: the teacher image of each problem, for decoding "teacher". Its part of the first layer of a PixelCNN
            does not depend on z and is computed once.
        seed: of the random numbers of decoding "sample".
        compile: compile the decoder by torch.compile; worth it for long searches.
        capture: whether a search may replay decoding and scoring as a CUDA graph.
        dtype: of latents, images and weights.
        coordinates: map from u to z; None: u is z.
    """

    def __init__(
        self,
        vae: LatentModel,
        decoding: str,
        teacher: Float[Tensor, "k *shape"] | None = None,
        seed: int = 0,
        compile: bool = False,
        capture: bool = False,
        dtype: torch.dtype = torch.float32,
        coordinates: AnyCoordinates | None = None,
    ):
        self.vae = freeze(vae) if dtype == torch.float32 else freeze(vae).in_precision(dtype)
        self.dtype = dtype
        self.coordinates = coordinates and coordinates.to(self.device, dtype)
        self.latent = coordinates.dimension if coordinates else vae.latent
        self.decoding = decoding
        self.capture = capture
        self.decodes = 0  # images decoded so far
        decoder = self.vae.decoder if isinstance(self.vae, VAE) else None
        if decoding == "teacher":
            if teacher is None or not vae.autoregressive:
                raise ValueError("wanted an autoregressive decoder and a teacher image for each problem")
            teacher = teacher.to(dtype)
            self._teacher_part: Tensor = decoder.of_image(teacher) if isinstance(decoder, PixelCNN) else teacher
        self._rest: Callable[[Tensor], Tensor] = decoder.rest if isinstance(decoder, PixelCNN) else self.vae.mean
        if compile:
            self._rest = torch.compile(self._rest, dynamic=True)  # batches shrink as problems end
        size, generator = vae.shape, torch.Generator().manual_seed(seed)
        drawn = torch.rand(size, generator=generator) if decoding == "sample" else torch.full(size, 0.5)
        self._noise = drawn.to(self.device, dtype)

    @property
    def device(self) -> torch.device:
        return self.vae.device

    def decode(
        self, u: Float[Tensor, "k n d"], problems: Int[Tensor, " k"] | None = None
    ) -> Float[Tensor, "k n *shape"]:
        """Decode the points of these problems (default: of all)."""
        if not isinstance(u, Tensor) or u.ndim != 3 or u.shape[-1] != self.latent:
            got = tuple(u.shape) if isinstance(u, Tensor) else type(u).__name__
            raise ValueError(
                f"decode: wanted a tensor of points of shape (problems, points, {self.latent}), got {got}; of one "
                "problem it is z[None]"
            )
        k, n, _ = u.shape
        self.decodes += k * n
        flat = self.to_z(u).flatten(0, 1)
        indices = torch.arange(k, device=u.device) if problems is None else problems
        indices = indices.repeat_interleave(n)
        if torch.is_grad_enabled() or len(flat) <= CHUNK:
            return self._samples(flat, indices).unflatten(0, (k, n))
        parts = zip(flat.split(CHUNK), indices.split(CHUNK), strict=True)
        return torch.cat([self._samples(*part) for part in parts]).unflatten(0, (k, n))

    def _samples(self, z: Float[Tensor, "b d"], problems: Int[Tensor, " b"]) -> Float[Tensor, "b *shape"]:
        if self.decoding == "teacher":
            assert isinstance(self.vae, VAE)
            if not isinstance(self.vae.decoder, PixelCNN):
                return self.vae.decode(z, self._teacher_part[problems]).mean
            return self._rest(self.vae.decoder.of_code(z) + self._teacher_part[problems]).sigmoid()
        if self.decoding == "mean":
            return self._rest(z)
        if self.decoding == "soft":
            assert isinstance(self.vae, VAE)
            return expected(self.vae, z)
        x = sample(self.vae, z, self._noise[None])[0]
        return x.clamp(0, 1) if self.vae.bounded else x  # a normal pixel may lie outside

    @torch.no_grad()
    def discrete(
        self, u: Float[Tensor, "k n d"], problems: Int[Tensor, " k"] | None = None
    ) -> Float[Tensor, "k n *shape"]:
        """Decode the points of these problems to samples of the kind that the model was trained on."""
        return self.discrete_of(self.decode(u, problems))

    def discrete_of(self, x: Float[Tensor, "k n *shape"]) -> Float[Tensor, "k n *shape"]:
        """Return decoded samples as those that the model was trained on: if these are binary, the likeliest one."""
        return self.vae.likeliest(x.flatten(0, 1)).to(x).view_as(x) if self.vae.binary_input else x

    def log_prob(self, x: Float[Tensor, "b *shape"], u: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Return log p(x|z) in nats at coordinates u, with a gradient; x is what an autoregressive decoder is given."""
        self.decodes += len(u)
        return self.vae.decode(self.to_z(u), teacher=x).log_prob(x)

    def means(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b d"]:
        """Return the coordinates of the means of q(z|x), encoding in batches that bound memory."""
        return self.to_u(torch.cat([self.posterior(part).mean for part in x.split(ENCODED)]))

    def posterior(self, x: Float[Tensor, "b *shape"]) -> Distribution:
        """Return q(z|x) of the latents z: batch (b,), event (d,)."""
        return self.vae.encode(x.to(self.dtype))

    def to_z(self, u: Float[Tensor, "... k"]) -> Float[Tensor, "... d"]:
        """Return the latents at coordinates u."""
        return u if self.coordinates is None else self.coordinates.to_z(u)

    def norm(self, u: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
        """Return |u|."""
        return u.norm(dim=-1)

    def to_u(self, z: Float[Tensor, "... d"]) -> Float[Tensor, "... k"]:
        """Return the coordinates of latents; of latents beyond the axes, those of their projection."""
        return z if self.coordinates is None else self.coordinates.to_u(z)
