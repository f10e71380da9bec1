"""A frozen model as a searcher's runner sees it."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Bernoulli

from vae.frozen import freeze
from vae.model import VAE
from vae.networks import PixelCNN


class Space:
    """The latent space of a frozen model for k problems side by side.

    `teacher`: the image of each problem that an autoregressive decoder is conditioned on. Its part of the first
    layer does not depend on z and is computed once.
    """

    def __init__(self, vae: VAE, teacher: Float[Tensor, "k 1 h w"] | None):
        self.vae = freeze(vae)
        self.latent = vae.arch.latent
        decoder = self.vae.decoder
        if isinstance(decoder, PixelCNN):
            if teacher is None:
                raise ValueError("an autoregressive decoder needs a teacher image for each problem")
            self._given: Tensor | None = decoder.of_image(teacher)  # (k, c, h, w)
        else:
            self._given = None

    def decode(
        self, z: Float[Tensor, "k n d"], problems: Int[Tensor, " k"] | slice = slice(None)
    ) -> Float[Tensor, "k n 1 h w"]:
        """The decoder's mean images for the codes of these problems, teacher-forced where it is autoregressive."""
        k, n, _ = z.shape
        flat, decoder = z.flatten(0, 1), self.vae.decoder
        if isinstance(decoder, PixelCNN):
            assert self._given is not None
            first = decoder.of_code(flat).unflatten(0, (k, n)) + self._given[problems].unsqueeze(1)
            logits = decoder.rest(first.flatten(0, 1))
        else:
            logits = decoder(flat)
        return Bernoulli(logits=logits, validate_args=False).mean.unflatten(0, (k, n))

    def encode(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b d"]:
        """The posterior means."""
        return self.vae.encode(x).mean
