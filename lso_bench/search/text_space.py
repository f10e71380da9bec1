"""Latent space of a model of texts, to decode to texts and to encode them by hand."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.search.coordinates import AnyCoordinates
from lso_bench.search.space import Space
from lso_bench.vae.datasets import TextSource
from lso_bench.vae.external_text_model import ExternalTextModel
from lso_bench.vae.model import LatentModel
from lso_bench.vae.text_samples import TextSamples


class TextSpace(Space):
    """Latent space whose samples are texts of a data set."""

    def __init__(
        self, vae: LatentModel, decoding: str, source: TextSource, *, coordinates: AnyCoordinates | None = None
    ):
        super().__init__(vae, decoding, coordinates=coordinates)
        self._samples_of_texts = TextSamples(source)

    @torch.no_grad()
    def texts(self, u: Float[Tensor, "k n d"]) -> list[list[str]]:
        """Return the n decoded texts of each of k problems."""
        x = self.decode(u)
        texts = self._samples_of_texts.texts(x.flatten(0, 1))
        return [texts[i : i + x.shape[1]] for i in range(0, len(texts), x.shape[1])]

    @torch.no_grad()
    def means(self, x: Sequence[str] | Float[Tensor, "b *shape"]) -> Float[Tensor, "b d"]:
        """Return the coordinates of the means of q(z|x) of texts, or of samples.

        Raises:
            UsageError: the tokens of the data set cannot write a text.
        """
        return super().means(x if isinstance(x, Tensor) else self._encodable(x))

    def _encodable(self, texts: Sequence[str]) -> Float[Tensor, "b t v"]:
        if isinstance(texts, str):
            raise UsageError(f"Wanted a list of texts, got the text {texts[:80]!r}; write [text].")
        samples = self._samples_of_texts
        try:
            if not isinstance(self.vae, ExternalTextModel):  # which takes any text
                samples.source.tokens([t for t in texts if t])
        except ValueError as error:
            raise UsageError(f"The model encodes texts of its data set alone: {error}.") from error
        return samples.samples(texts).to(self.device)
