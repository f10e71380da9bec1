"""Glyphs, 28 x 28: letters of many scripts, drawn from the DejaVu fonts that matplotlib ships."""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lso_bench.files.cache import cached
from lso_bench.vae.datasets import ImageSource, Split

DRAWINGS = 20  # drawings of each letter, as in Omniglot
FACES = 4  # fewest faces with a letter
BIG = 112  # pixels a side before the area average to 28


@dataclass(frozen=True)
class Glyphs(ImageSource):
    """Letters of a dozen scripts in typeset drawings, made at first use without a download.

    Their number and split are about those of Omniglot: 23,000 / 1,345 / rest. Pixels vary with the version of
    FreeType.
    """

    ink = True

    def images(self, folder: Path) -> NDArray[np.uint8]:
        return cached("glyphs-28", render)

    def split(self, count: int, dealt: torch.Generator) -> Split:
        train, valid, test = torch.randperm(count, generator=dealt).tensor_split([23_000, 24_345])
        return train, valid, test


def render() -> NDArray[np.uint8]:
    """Draw every letter 20 times, 28 x 28, ink = 255; face, size, slant, rotation and place are seeded draws."""
    fonts = sorted(Path(matplotlib.get_data_path(), "fonts/ttf").glob("DejaVuS*.ttf"))
    fonts = [f for f in fonts if "Display" not in f.name]
    faces = [(ImageFont.truetype(str(f), 72), _letters(f)) for f in fonts]
    letters = sorted({c for _, held in faces for c in held if sum(c in h for _, h in faces) >= FACES})
    rng = np.random.default_rng(0)
    return np.stack([_draw(c, [f for f, held in faces if c in held], rng) for c in letters for _ in range(DRAWINGS)])


def _letters(font: Path) -> set[str]:
    """Return the letters that a font contains: Unicode category Lu, Ll or Lo, without a decomposition."""
    from fontTools.ttLib import TTFont

    codes = TTFont(font).getBestCmap() or {}
    return {c for c in map(chr, codes) if unicodedata.category(c) in ("Lu", "Ll", "Lo") and not _composed(c)}


def _composed(c: str) -> bool:
    return unicodedata.normalize("NFKD", c) != c


def _draw(letter: str, faces: list[ImageFont.FreeTypeFont], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a letter once: its box centred, then slant, rotation and scale about the centre."""
    big, extent = _centred(letter, faces[rng.integers(len(faces))])
    angle, slant, scale = rng.normal(0, 0.1), rng.normal(0, 0.15), rng.uniform(0.85, 1.15)
    scale *= max(1.0, extent / 92)  # wide letters must fit
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = scale * rotation @ np.array([[1, slant], [0, 1]])  # from the page to the letter
    shift = BIG / 2 - inverse @ np.full(2, BIG / 2) + rng.normal(0, 3, 2)
    affine = (*inverse[0], shift[0], *inverse[1], shift[1])
    page = big.transform((BIG, BIG), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return np.asarray(page.reduce(BIG // 28))


@lru_cache(maxsize=64)  # more than the number of faces
def _centred(letter: str, font: ImageFont.FreeTypeFont) -> tuple[Image.Image, int]:
    """Return a page with the letter's box in its middle, and the longer side of that box in pixels."""
    left, top, right, bottom = font.getbbox(letter)
    page = Image.new("L", (BIG, BIG))
    ImageDraw.Draw(page).text(((BIG - left - right) / 2, (BIG - top - bottom) / 2), letter, font=font, fill=255)
    return page, round(max(right - left, bottom - top))
