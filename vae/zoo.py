"""The models by name, and where their checkpoints lie.

A name may be followed by settings of its objective: `nevae_se:reduction=sum,sample=false`.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from vae.errors import UnusableError
from vae.objectives import Objective
from vae.objectives.elbo import ELBO
from vae.objectives.nevae_lp import NeighborLP
from vae.objectives.nevae_se import NeighborSE
from vae.settings import with_settings

SHIPPED = Path(__file__).parent / "checkpoints"
NAMES = ("vae", "vae_noanneal", "beta_vae_0.9", "nevae_se", "nevae_lp_0.1")  # beta and c may be any number

_FAMILIES: dict[str, Callable[..., Objective]] = {
    r"vae": ELBO,
    r"vae_noanneal": lambda: ELBO(anneal=False),
    r"beta_vae_(\d+(?:\.\d+)?)": lambda beta: ELBO(beta=float(beta)),
    r"nevae_se": NeighborSE,
    r"nevae_lp_(-?\d+(?:\.\d+)?)": lambda c: NeighborLP(c=float(c)),
}


@dataclass(frozen=True)
class Model:
    """What identifies one trained model."""

    name: str  # of the objective, with its settings
    data: str
    arch: str = "small"
    latent: int = 32
    seed: int = 0  # of the training

    @property
    def file(self) -> str:
        """The name of its checkpoint file."""
        name = re.sub(r"[^\w.=-]+", "+", self.name)
        return f"{self.data}-{self.arch}-d{self.latent}-{name}-s{self.seed}.safetensors"


def objective(name: str) -> Objective:
    """The objective that a model name stands for.

    Raises:
        ValueError: no such name, or a setting that its objective does not have.
    """
    family, _, settings = name.partition(":")
    for pattern, make in _FAMILIES.items():
        if match := re.fullmatch(pattern, family):
            return with_settings(make(*match.groups()), settings)
    raise ValueError(f"No model {family!r}.")


def checkpoint(model: Model, folder: Path | None = None) -> Path:
    """The checkpoint of `model`: in `folder` (default `own_folder()`), else among those that ship.

    Raises:
        UnusableError: in neither.
    """
    for place in (folder or own_folder(), SHIPPED):
        if (place / model.file).is_file():
            return place / model.file
    raise UnusableError(f"No checkpoint {model.file} in {folder or own_folder()} or among those shipped.")


def own_folder() -> Path:
    """Where checkpoints that the user trained lie: `LSO_BENCH_CHECKPOINTS`, else a folder of the user's data."""
    own = os.environ.get("LSO_BENCH_CHECKPOINTS") or user_data_path("lso-bench") / "checkpoints"
    return Path(own).expanduser()
