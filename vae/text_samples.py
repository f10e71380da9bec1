"""Texts as samples of a data set of texts, also those that its tokens cannot write."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from lso_bench.vae.datasets import TextSource
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.likelihoods.categorical import END

SCALE = 2.0**21  # above every code point, so that a spelled character is exact in single precision
CUT = "…"  # ends a text that a sample cannot hold


class TextSamples:
    """Texts as samples (t, v): one-hot tokens, or the text spelled out, where tokens cannot write it.

    A sample that is spelled out begins with an end. After it stand the characters, -(1 + code point) / SCALE, which no
    probability is. It holds (t - 1) v characters; a longer text is cut and ends in CUT.
    """

    def __init__(self, source: TextSource):
        self.source = source
        self._likelihood = LIKELIHOODS.build(source.likelihood)

    def samples(self, texts: Sequence[str]) -> Float[Tensor, "n t v"]:
        """Return texts as samples, on the CPU, in single precision."""
        rows = [self._tokens(text) for text in texts]
        ends = np.zeros(self.source.length, np.uint8)
        stored = np.stack([ends if row is None else row for row in rows]) if rows else ends[None][:0]
        x = self._likelihood.model_input(torch.from_numpy(stored))
        for sample, text, row in zip(x, texts, rows, strict=True):
            if row is None:
                _spell(sample, text)
        return x

    def texts(self, x: Float[Tensor, "n t v"]) -> list[str]:
        """Return the texts of samples: what is spelled, or the likeliest token at each position up to the first end."""
        x = x.detach()
        texts = self.source.texts(x.argmax(-1).cpu().numpy())
        spelled = (x[:, 0, END] == 1) & (x[:, 1:] < 0).flatten(1).any(1)
        for i in spelled.nonzero().flatten().tolist():
            texts[i] = _read(x[i])
        return texts

    def writes(self, text: str) -> bool:
        """Return whether the tokens of the data set can write a text."""
        return self._tokens(text) is not None

    def _tokens(self, text: str) -> UInt8[np.ndarray, " t"] | None:
        if not text:
            return np.zeros(self.source.length, np.uint8)
        try:
            return self.source.tokens([text])[0]
        except ValueError:
            return None


def _spell(sample: Float[Tensor, "t v"], text: str) -> None:
    """Spell a text out after the end with which a sample of ends begins."""
    sample[1:] = 0
    places = sample[1:].view(-1)
    room = len(places)
    held = text if len(text) <= room else (text[: room - 1] + CUT)[:room]
    places[: len(held)] = torch.tensor([-(1.0 + ord(character)) for character in held]) / SCALE


def _read(sample: Float[Tensor, "t v"]) -> str:
    codes = (-SCALE * sample[1:].flatten().double()).round().long()
    return "".join(chr(code - 1) for code in codes[codes > 0].clamp(max=0x110000).tolist())
