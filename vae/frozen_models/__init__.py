"""Frozen models from outside: networks and weights that this program did not train, one model a file.

To add one, write a file with one subclass of `FrozenModel`, a frozen dataclass:

- `data`, `latent` and `files` say whose samples it takes and gives, how many latent dimensions it has, and which files
  beside it hold its weights;
- `load` and `decode` use the networks; `encode` and `log_prob` are optional: a GAN's generator has neither;
- its fields are its settings (`--model ./mine.py:field=value`); a field `seed` is the seed of its training, which
  `--train-seed` sets.

A model of texts is a subclass of `FrozenTextModel`, which gets and gives texts in place of samples.

`lso-bench check-model ./mine.py` tests it. A file in this folder is known by its name.
"""

from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributions import Distribution

from lso_bench.plugins.registry import Registry


class FrozenModel(ABC):
    """Decoder of the user's own, and its encoder if it has one; a frozen dataclass whose fields are its settings.

    With a field `seed: int = 0` it stands for several trainings: `--train-seed`, in Python `train_seeds`, sets it.
    The networks are used in evaluation mode, on the device of the run, and without gradients of their weights.
    """

    data: str = ""  # the data set whose samples it takes and gives; every model names one
    latent: int = 0  # latent dimensions, d
    files: tuple[str, ...] = ()  # weights, relative to the folder of the class's file; their content identifies it
    differentiable: ClassVar[bool] = True  # whether gradients of the decoded sample reach the latent
    stays_here: ClassVar[bool] = False  # whether it never goes to another process
    decoding: ClassVar[str] = "mean"  # how records name what it decodes

    @abstractmethod
    def load(self, folder: Path) -> nn.Module:
        """Build the networks with their weights, on the CPU; `folder` is that of the class's file."""

    def encode(self, network: nn.Module, x: Float[Tensor, "b *shape"]) -> Distribution | Float[Tensor, "b d"]:
        """Return q(z|x), a `torch.distributions.Normal`, or the latents of a deterministic encoder; optional.

        Without it searches start from the prior N(0, I), and the latent space is not measured.
        """
        raise NotImplementedError

    @abstractmethod
    def decode(self, network: nn.Module, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
        """Return samples in the form of the data set; images lie in [0, 1]. Each depends on its latent alone."""

    def log_prob(
        self, network: nn.Module, x: Float[Tensor, "b *shape"], z: Float[Tensor, "b d"]
    ) -> Float[Tensor, " b"]:
        """Return log p(x|z) in nats; optional. Without it the measures that need it stay empty."""
        raise NotImplementedError

    @property
    def has_encoder(self) -> bool:
        """Return whether the model encodes samples."""
        return type(self).encode not in (FrozenModel.encode, FrozenTextModel.encode)

    @property
    def has_log_prob(self) -> bool:
        """Return whether the model says log p(x|z)."""
        return type(self).log_prob not in (FrozenModel.log_prob, FrozenTextModel.log_prob)

    @staticmethod
    def tensors(file: Path) -> dict[str, Any]:
        """Read the tensors of a file of safetensors or of `torch.save`, on the CPU; no code in the file is executed.

        Raises:
            OSError: the file is missing or cannot be opened.
            ValueError: it is damaged, or holds other objects than tensors, numbers and texts in lists and dicts.
        """
        try:
            if file.suffix == ".safetensors":
                return load_file(file)
            return torch.load(file, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # torch raises many kinds
            raise ValueError(
                f"{file.name} is damaged, or holds more than tensors ({type(error).__name__}); save "
                "network.state_dict() by torch.save"
            ) from error


class FrozenTextModel(FrozenModel):
    """Decoder of texts of the user's own, and its encoder if it has one, with a vocabulary of their own.

    It is a frozen dataclass. `data` names a data set of texts. `encode` must take what `decode` gives, the empty text
    too.
    """

    differentiable = False  # no gradient passes a text
    decoding = "greedy"

    def encode(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, network: nn.Module, texts: list[str]
    ) -> Distribution | Float[Tensor, "b d"]:
        """Return q(z|x) of each text, a `torch.distributions.Normal`, or the latents of a deterministic encoder.

        It is optional: see `FrozenModel.encode`.
        """
        raise NotImplementedError

    @abstractmethod
    def decode(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, network: nn.Module, z: Float[Tensor, "b d"]
    ) -> list[str]:
        """Return a text of each latent; it depends on its latent alone, and is the same each time."""

    def log_prob(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, network: nn.Module, texts: list[str], z: Float[Tensor, "b d"]
    ) -> Float[Tensor, " b"]:
        """Return log p(text|z) in nats, at most 0; optional. Without it the measures that need it stay empty."""
        raise NotImplementedError


WEIGHTS = (
    "Weights need such a file, which says how to use them and names theirs in `files`: `lso-bench new-model my_model` "
    "writes one. `lso-bench import-checkpoint` takes weights of our networks."
)
SEED = "seed"  # field of a model that stands for several trainings
FROZEN_MODELS = Registry(
    "model",
    FrozenModel,
    __name__,
    "lso_bench.models",
    pinned=True,
    fixed={SEED: "it is that of the training, which --train-seed sets, in Python train_seeds"},
    file_advice={"": WEIGHTS},
    advice="lso_bench.model(encoder, decoder, latent, data) makes one of two modules",
)


def has_encoder(name: str, external: bool) -> bool:
    """Return whether a model encodes samples: all of ours do, and of those from outside those that say how."""
    return not external or FROZEN_MODELS.build(name).has_encoder


def has_trainings(model: FrozenModel) -> bool:
    """Return whether a model stands for several trainings, one for each value of its field `seed`."""
    return is_dataclass(model) and SEED in {f.name for f in fields(model)}


def of_training(model: FrozenModel, seed: int) -> FrozenModel:
    """Return the training of a seed; a model that is one training stays as it is.

    Raises:
        ValueError: the field `seed` is no whole number.
    """
    if not has_trainings(model):
        return model
    if type(default := getattr(model, SEED)) is not int:
        raise ValueError(f"wanted seed, that of its training, a whole number, got {default!r}; write `seed: int = 0`.")
    return replace(model, **{SEED: seed})  # pyright: ignore[reportArgumentType]
