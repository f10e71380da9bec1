"""Registry of models by name, and the paths of their checkpoints.

A name may be followed by settings of its objective: `nevae_se:reduction=sum,sample=false`.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

from lso_bench.errors import UnusableError
from lso_bench.files.paths import own_folder
from lso_bench.plugins.discovery import (
    ambiguous_names,
    instantiate,
    load_entry_point,
    module_at,
    plugin_entry_points,
    shadowed_names,
    single_subclass,
)
from lso_bench.plugins.notation import digits, is_file, parse, path_text, read, write
from lso_bench.plugins.settings import apply_settings, differing
from lso_bench.plugins.sources import digest
from lso_bench.vae.data import file_name
from lso_bench.vae.objectives import Objective
from lso_bench.vae.objectives.aggressive import Aggressive
from lso_bench.vae.objectives.cyclical import Cyclical
from lso_bench.vae.objectives.elbo import ELBO
from lso_bench.vae.objectives.free_bits import FreeBits
from lso_bench.vae.objectives.info_vae import InfoVAE
from lso_bench.vae.objectives.nevae_lp import NeighborLP
from lso_bench.vae.objectives.nevae_se import NeighborSE
from lso_bench.vae.objectives.rae import RAE

GROUP = "lso_bench.objectives"
SHIPPED = Path(__file__).parent / "checkpoints"
TABLE_1 = (  # the rows of Table 1 of arXiv 2103.11349, in its order
    "vae_noanneal",
    "vae",
    "aggressive",
    "aggressive_noanneal",
    *(f"beta_vae_{beta}" for beta in (0.9, 0.8, 0.7, 0.6, 0.5)),
    "nevae_se",
    *(f"nevae_lp_{c}" for c in (5.0, 3.0, 1.0, 0.1, 0.0, -0.1, -1.0, -3.0, -5.0)),
)
NAMES = (*TABLE_1, "free_bits", "cyclical", "info_vae", "rae")  # beta and c may be any number

_FAMILIES: dict[str, Callable[..., Objective]] = {
    r"vae": ELBO,
    r"vae_noanneal": lambda: ELBO(anneal=False),
    r"aggressive": Aggressive,
    r"aggressive_noanneal": lambda: Aggressive(anneal=False),
    r"beta_vae_(\d+(?:\.\d+)?)": lambda beta: ELBO(beta=float(beta)),
    r"nevae_se": NeighborSE,
    r"nevae_lp_(-?\d+(?:\.\d+)?)": lambda c: NeighborLP(c=float(c)),
    r"free_bits": FreeBits,
    r"cyclical": Cyclical,
    r"info_vae": InfoVAE,
    r"rae": RAE,
}


@dataclass(frozen=True)
class Model:
    """Identity of one trained model."""

    name: str  # objective, with its settings
    data: str  # with its settings
    arch: str = "small"  # with its settings
    latent: int = 32
    seed: int = 0  # training seed

    @property
    def file(self) -> str:
        """Name of the checkpoint file; the user's own data and objectives add a hash of their content."""
        family, settings = read(self.name)
        if is_file(family) and os.path.isfile(family):
            family = f"{Path(family).stem}+{digest(Path(family))[:8]}"
        name, arch = (re.sub(r"[^\w.=-]+", "+", text) for text in (write(family, settings), self.arch))
        return f"{file_name(self.data)}-{arch}-d{self.latent}-{name}-s{self.seed}.safetensors"


def objective(name: str) -> Objective:
    """Return the objective of a model name, with settings after a colon.

    It is a built-in objective, one that a package publishes under the entry-point group `lso_bench.objectives`, or
    the one in a file (`./mine.py`).

    Raises:
        ValueError: the name or setting does not exist, or the file has no objective.
    """
    family, settings = parse(name)
    return apply_settings(_make(family), settings)


def canonical(name: str) -> str:
    """Return the canonical name of a model for any spelling of its objective: the one with the fewest settings.

    Raises:
        ValueError: as `objective`.
    """
    family, settings = parse(name)
    plain = _make(family)
    configured = apply_settings(plain, settings)
    if not is_ours(family):
        return write(path_text(family) if is_file(family) else family, differing(configured, plain))
    names = [n for n in _spellings(configured) if is_ours(n) and type(_make(n)) is type(configured)]
    return min((write(n, differing(configured, _make(n))) for n in names), key=lambda text: len(parse(text)[1]))


def _spellings(configured: Objective) -> list[str]:
    """Return the built-in names that may stand for an objective, the preferred ones first."""
    c = digits(getattr(configured, "c", 0.0))
    numbered = [f"beta_vae_{digits(configured.beta)}", f"nevae_lp_{c if '.' in c else f'{c}.0'}"]  # as Table 1 has them
    return ["vae", *numbered, *(n for n in NAMES if n not in TABLE_1), *TABLE_1]


def names() -> list[str]:
    """Return all model names, the built-in ones first."""
    return [*NAMES, *offered()]


def offered() -> dict[str, EntryPoint]:
    """Return the objectives that packages publish, by name, except those with a built-in name."""
    return {n: e for n, e in plugin_entry_points(GROUP).items() if not is_ours(n)}


def faults() -> dict[str, str]:
    """Return the entry points that cannot be used, with the reason: a built-in name, or several packages publish it."""
    return shadowed_names(GROUP, is_ours) | ambiguous_names(GROUP)


def is_ours(name: str) -> bool:
    """Return whether a name stands for a built-in objective, which is made without running any other code."""
    return any(re.fullmatch(pattern, name) for pattern in _FAMILIES)


def _make(family: str) -> Objective:
    for pattern, make in _FAMILIES.items():
        if match := re.fullmatch(pattern, family):
            return make(*match.groups())
    if is_file(family):
        return instantiate(Objective, single_subclass(Objective, module_at(Path(family))), family)
    if family in (published := offered()):
        return instantiate(Objective, load_entry_point(published[family]), published[family].value)
    raise ValueError(faults().get(family, f"No model {family!r}."))


def checkpoint(model: Model, folder: Path | None = None) -> Path:
    """Return the path of a model's checkpoint, in `folder` (default `own_folder()`) or among the shipped ones.

    Raises:
        UnusableError: it is in neither.
    """
    for directory in (folder or own_folder(), SHIPPED):
        if os.path.isfile(directory / model.file):  # unlike Path.is_file it takes a name of any length
            return directory / model.file
    raise UnusableError(f"No checkpoint {model.file} in {folder or own_folder()} or among those shipped.")
