"""A frozen model of two modules, made in Python."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lso_bench.vae.external_model import checked
from lso_bench.vae.frozen_models import FrozenModel


@dataclass(frozen=True, eq=False)
class ModulePair(FrozenModel):
    """An encoder, or none, and a decoder."""

    stays_here = True
    encoder: nn.Module | None = field(repr=False)
    decoder: nn.Module = field(repr=False)
    latent: int
    data: str
    name: str = "model"
    density: Callable[[Tensor, Tensor], Tensor] | None = field(default=None, repr=False)

    def load(self, folder: Path) -> nn.Module:
        """Return both modules, of which the harness freezes a copy."""
        encoder = {} if self.encoder is None else {"encoder": self.encoder}
        return nn.ModuleDict(encoder | {"decoder": self.decoder})

    @property
    def has_encoder(self) -> bool:
        return self.encoder is not None

    def encode(self, network: nn.Module, x: Float[Tensor, "b *shape"]) -> Distribution | Float[Tensor, "b d"]:
        assert isinstance(network, nn.ModuleDict)
        return network["encoder"](x)

    def decode(self, network: nn.Module, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
        assert isinstance(network, nn.ModuleDict)
        return network["decoder"](z)

    @property
    def has_log_prob(self) -> bool:
        return self.density is not None

    def log_prob(
        self, network: nn.Module, x: Float[Tensor, "b *shape"], z: Float[Tensor, "b d"]
    ) -> Float[Tensor, " b"]:
        assert self.density is not None
        return self.density(x, self.decode(network, z))


@dataclass(frozen=True, eq=False)
class WithoutGradient(ModulePair):
    """A pair whose decoder gives no gradient."""

    differentiable = False


def model(
    encoder: nn.Module | None,
    decoder: nn.Module,
    latent: int,
    data: str = "omniglot",
    name: str = "model",
    differentiable: bool = True,
    log_prob: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> FrozenModel:
    """Return a frozen model of copies of two modules, for `Study(models=[...])`; it stays in this process.

    Args:
        encoder: takes samples (b, *shape) and gives a distribution of latents or a tensor of them, (b, d). None: the
            model has none, as a GAN; its searches start from the prior N(0, I), and its latent space is not measured.
        decoder: takes latents (b, d) and gives samples (b, *shape); images lie in [0, 1].
        latent: dimensions of the latent space, d.
        data: the data set whose samples these are.
        name: how results name the model; letters, digits and ._-.
        differentiable: whether gradients of the decoded samples reach the latents; searchers that need them refuse
            another model when a study is planned.
        log_prob: takes samples x and what the decoder gave for their latents, both (b, *shape), and gives log p(x|z) in
            nats, (b,). Without it the measures that need it stay empty.

    Raises:
        TypeError: `encoder` or `decoder` is no module, its `forward` wants more than one argument, `data` is no text,
            or `log_prob` cannot be called.
        UsageError: `latent` is no whole number from 1, or there is no such data set.
    """
    if encoder is not None:
        _check_module("encoder", encoder, "write it as a module, or say None if there is none")
    _check_module("decoder", decoder, "write it as a module")
    if not isinstance(data, str):
        raise TypeError(
            f"data: wanted the name of a data set, or the path of a file with its class, got {type(data).__name__}; "
            "docs/bring-your-own.md has such a file"
        )
    if not (log_prob is None or callable(log_prob)):
        raise TypeError(f"log_prob: wanted a function of samples and decoded samples, got {type(log_prob).__name__}")
    with torch.no_grad():
        copies = deepcopy(encoder), deepcopy(decoder)  # which the user's training does not change
    return checked((ModulePair if differentiable else WithoutGradient)(*copies, latent, data, name, log_prob), name)


def _check_module(role: str, module: object, remedy: str) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"{role}: wanted a torch.nn.Module, got {type(module).__name__}; {remedy}")
    if (names := _required(module)) and len(names) > 1:
        raise TypeError(
            f"{role}: wanted a module of one argument, got forward({', '.join(names)}); wrap it in one that gives the "
            f"rest, or write a model file with a field `{names[1]}` (lso-bench new-model mine.py)"
        )


def _required(module: nn.Module) -> list[str]:
    """Return the names of what `forward` must be given; empty if a hook may give it, or where nothing says it."""
    if module._forward_pre_hooks:
        return []
    if isinstance(module, torch.jit.ScriptModule):
        schema = getattr(getattr(module, "forward", None), "schema", None)
        return [a.name for a in schema.arguments[1:] if not a.has_default_value()] if schema else []
    parameters = signature(module.forward).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
