"""Colour and marker of a model or a searcher, by its name alone: the same in every figure, table and folder.

Families have the colours of Okabe & Ito 2008 and of Tol's muted scheme, made for colour-blind readers. Members of a
family (beta, c, settings) differ in lightness. All models differ in their markers, for readers who see no colours or
too many.
"""

import hashlib
import re
from collections.abc import Iterable
from itertools import cycle

import numpy as np

FAMILIES = {
    "vae": "#0072B2",  # blue
    "nevae_se": "#D55E00",  # vermilion
    "beta_vae": "#009E73",  # green
    "nevae_lp": "#CC79A7",  # purple
    "aggressive": "#E69F00",  # orange
    "vae_noanneal": "#56B4E9",  # sky blue
    "aggressive_noanneal": "#B8A800",  # yellow, darker than theirs, for lines on white
    "free_bits": "#000000",
    "cyclical": "#332288",  # indigo
    "info_vae": "#882255",  # wine
    "rae": "#999933",  # olive
}
OTHER_COLOURS = ("#44AA99", "#AA4499", "#117733", "#661100", "#888888")  # models of the user's own
SEARCHER_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito 2008
SEARCHERS = (  # a colour each for the first seven; the next ones differ in the marker
    *("adam", "bo", "cmaes", "turbo", "sobol", "screening", "latent_ga"),
    *("lbfgs", "baxus", "hill_climbing", "saasbo", "random", "string_ga", "image_ga", "cowboys", "ascent"),
)
MARKERS = "os^Dv<>Pp*Xh"
MARKERS_ABOVE_ONE = "sD<>pX"  # of weights of the KL; those that 0.9, 0.8, ... 0.4 do not have
MAX_LIGHTENING = 0.6  # fraction of the way to white
DARK = "#15181c"  # background of the page in dark mode
MIN_CONTRAST = 4.0  # contrast of a line with the dark page; WCAG 2.1 requires 3
LARGEST_BETA = 10.0  # weights of the KL above the end of their scale are darker, up to this one
SCALES = {"beta_vae": (0.4, 0.9), "nevae_lp": (-5.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, 5.0)}


def colour_of(model: str) -> str:
    """Return the colour of a model as #rrggbb, by its name alone; a note in brackets behind it does not count."""
    model = re.sub(r" \([^()]*\)$", "", model)  # the architecture, where a section has several
    name, _, settings = model.partition(":")
    family, number = _split(name)
    base = FAMILIES.get(family) or OTHER_COLOURS[_hash(model) % len(OTHER_COLOURS)]
    if settings:
        return _towards_white(base, 0.3 + _hash(settings) % 4 / 10)
    if number is None:
        return base
    if family == "beta_vae" and number > 1:
        return _towards_black(base, MAX_LIGHTENING * _position_above_one(number))
    return _towards_white(base, MAX_LIGHTENING * _position_on_scale(SCALES[family], number))


def marker_of(model: str) -> str:
    """Return the matplotlib marker of a model, by its name alone; members of a family have different markers."""
    family, number = _split(model.partition(":")[0])
    if family == "beta_vae" and number is not None and number > 1:
        return MARKERS_ABOVE_ONE[round(5 * _position_above_one(number))]
    if number is not None:
        return MARKERS[round(11 * _position_on_scale(SCALES[family], number))]
    names = [*FAMILIES]
    at = names.index(family) if model in names else _hash(model)
    return MARKERS[at % len(MARKERS)]


def for_dark_mode(colour: str) -> str:
    """Return the colour with the same hue, lightened until it is visible on a dark page."""
    for share in np.linspace(0, 1, 21).tolist():
        if contrast(lighter := _towards_white(colour, share), DARK) >= MIN_CONTRAST:
            return lighter
    return "#ffffff"


def contrast(a: str, b: str) -> float:
    """Compute the contrast ratio of two colours, from 1 (equal) to 21 (black on white).

    Source: WCAG 2.1, "contrast ratio".
    """
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """Compute the relative luminance of sRGB, from 0 to 1. Source: WCAG 2.1."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _position_on_scale(scale: tuple[float, ...], number: float) -> float:
    """Return 1 at the start of the scale, 0 at its end."""
    return float(np.interp(number, scale, np.linspace(1, 0, len(scale))))


def _position_above_one(beta: float) -> float:
    """Return 0 at 1 and 1 at LARGEST_BETA and beyond, by its logarithm."""
    return float(np.clip(np.log(beta) / np.log(LARGEST_BETA), 0, 1))


def _split(name: str) -> tuple[str, float | None]:
    """Split a name into family and number: `beta_vae_0.9` is `beta_vae` and 0.9."""
    match = re.fullmatch(r"(beta_vae|nevae_lp)_(-?\d+(?:\.\d+)?)", name)
    return (match[1], float(match[2])) if match else (name, None)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _towards_white(colour: str, share: float) -> str:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(p + share * (255 - p)):02x}" for p in parts)


def _towards_black(colour: str, share: float) -> str:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round((1 - share) * p):02x}" for p in parts)


def searcher_looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each searcher of a figure, all different.

    Those of a built-in searcher depend on its name alone, so they are the same in every figure. Of several settings of
    a searcher the first has its look. All others have a colour that is free, as long as there is one.
    """
    looks: dict[str, tuple[str, str]] = {}
    for name in sorted(names, key=lambda n: (n not in SEARCHERS, n)):
        base = re.split(r"\W", name, maxsplit=1)[0]
        preferred = [_LOOKS[SEARCHERS.index(base)]] if base in SEARCHERS else []
        used, used_colours = set(looks.values()), {colour for colour, _ in looks.values()}
        free = [look for look in (*preferred, *_LOOKS) if look not in used] or _LOOKS
        looks[name] = free[0] if free[:1] == preferred else min(free, key=lambda look: look[0] in used_colours)
    return looks


_LOOKS = [*zip(cycle(SEARCHER_COLOURS), MARKERS * len(SEARCHER_COLOURS), strict=False)]  # 84 pairs, all different
