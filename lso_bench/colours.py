"""The colour of a model, the same in every picture.

Families have the colours of Okabe & Ito 2008 and of Tol's muted scheme, made for colour-blind eyes; the members of a
family (beta, c, settings) differ in lightness.
"""

import hashlib
import re

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
OTHERS = ("#44AA99", "#AA4499", "#117733", "#661100", "#888888")  # models of the user's own
PALEST = 0.6  # of the way to white
SCALES = {"beta_vae": (0.4, 0.9), "nevae_lp": (-5.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, 5.0)}


def colour_of(model: str) -> str:
    """#rrggbb, by the name alone."""
    name, _, settings = model.partition(":")
    family, number = _split(name)
    base = FAMILIES.get(family) or OTHERS[_hash(model) % len(OTHERS)]
    if settings:
        return _towards_white(base, 0.3 + _hash(settings) % 4 / 10)
    return base if number is None else _towards_white(base, PALEST * _place(SCALES[family], number))


def _place(scale: tuple[float, ...], number: float) -> float:
    """0 at the end of the scale, 1 at its beginning."""
    return float(np.interp(number, scale, np.linspace(1, 0, len(scale))))


def _split(name: str) -> tuple[str, float | None]:
    """`beta_vae_0.9` is of the family `beta_vae`, with 0.9."""
    found = re.fullmatch(r"(beta_vae|nevae_lp)_(-?\d+(?:\.\d+)?)", name)
    return (found[1], float(found[2])) if found else (name, None)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _towards_white(colour: str, share: float) -> str:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(p + share * (255 - p)):02x}" for p in parts)
