"""A frozen model of two modules, made in Python."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lso_bench.vae.external_model import checked
from lso_bench.vae.frozen_models import FrozenModel


@dataclass(frozen=True, eq=False)
class ModulePair(FrozenModel):
    """An encoder and a decoder."""

    encoder: nn.Module
    decoder: nn.Module
    latent: int
    data: str
    name: str = "model"

    def load(self, folder: Path) -> nn.Module:
        """Return copies of both modules, because the harness freezes them."""
        return deepcopy(nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder})).cpu()

    def encode(self, network: nn.Module, x: Float[Tensor, "b *shape"]) -> Distribution | Float[Tensor, "b d"]:
        assert isinstance(network, nn.ModuleDict)
        return network["encoder"](x)

    def decode(self, network: nn.Module, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
        assert isinstance(network, nn.ModuleDict)
        return network["decoder"](z)


def model(
    encoder: nn.Module, decoder: nn.Module, latent: int, data: str = "omniglot", name: str = "model"
) -> FrozenModel:
    """Return a frozen model of copies of two modules, for `Study(models=[...])`; it stays in this process.

    Args:
        encoder: takes samples (b, *shape) and gives a distribution of latents or a tensor of them, (b, d).
        decoder: takes latents (b, d) and gives samples (b, *shape); images lie in [0, 1].
        latent: dimensions of the latent space, d.
        data: the data set whose samples these are.
        name: how results name the model; letters, digits and ._-.

    Raises:
        TypeError: `encoder` or `decoder` is no module.
        UsageError: `latent` is no whole number from 1, or there is no such data set.
    """
    for role, module in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(module, nn.Module):
            raise TypeError(f"{role}: wanted a torch.nn.Module, got {type(module).__name__}; write it as a module")
    copies = deepcopy(encoder), deepcopy(decoder)  # which the user's training does not change
    return checked(ModulePair(*copies, latent, data, name), name)
