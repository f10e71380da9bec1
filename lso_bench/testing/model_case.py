"""Test case of a frozen model from outside: the model, test samples, and what it makes of them."""

from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from lso_bench.errors import PluginError
from lso_bench.testing.promise import UnmetRequirementError
from lso_bench.testing.side_effects import Watch
from lso_bench.vae import external_model
from lso_bench.vae.data import load
from lso_bench.vae.data_path import data_of
from lso_bench.vae.external_model import ExternalModel
from lso_bench.vae.external_text_model import ExternalTextModel
from lso_bench.vae.frozen_models import FrozenModel
from lso_bench.vae.text_samples import TextSamples

SAMPLES = 64  # test samples that are encoded


class ModelCase:
    """A frozen model, its latents of test samples, and the samples decoded from them."""

    def __init__(
        self,
        model: FrozenModel,
        name: str,
        samples: Float[Tensor, "t *shape"] | None,
        data_dir: Path | None,
        watch: Watch,
        is_live: bool = False,
    ):
        self.plugin, self.name, self.watch, self._is_live = model, name, watch, is_live
        self._samples, self._data_dir = samples, data_dir

    @cached_property
    def x(self) -> Float[Tensor, "n *shape"]:
        """Samples spread over the test set: those passed in, else that of the model's data."""
        test = load(data_of(self.plugin), self._data_dir).test if self._samples is None else self._samples
        return test[torch.linspace(0, len(test) - 1, min(SAMPLES, len(test))).long()].float()

    @cached_property
    def model(self) -> ExternalModel:
        """The model with its weights.

        Raises:
            UnmetRequirementError: it cannot be loaded.
        """
        with self.watch.during("load"):
            return required(lambda: external_model.loaded(self.plugin, self.name, self._is_live))

    def posterior(self, x: Float[Tensor, "b *shape"]) -> Distribution:
        """Return q(z|x) of a copy of `x`, without a gradient."""
        with torch.no_grad(), self.watch.during("encode"):
            return required(lambda: self.model.encode(x.clone()))

    def decoded(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
        """Return the samples decoded from a copy of `z`, without a gradient."""
        with torch.no_grad(), self.watch.during("decode"):
            return required(lambda: self.model.mean(z.clone()))

    @cached_property
    def z(self) -> Float[Tensor, "n d"]:
        """Mean latent of each sample; of a model without an encoder draws from the prior."""
        if not self.model.has_encoder:
            return torch.randn(len(self.x), self.model.latent, generator=torch.Generator().manual_seed(2))
        return self.posterior(self.x).mean

    def encoded(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b d"]:
        """Return the mean latent of each sample; of a model without an encoder a 0."""
        return self.posterior(x).mean if self.model.has_encoder else torch.zeros(len(x), 1)

    @cached_property
    def reconstructions(self) -> Float[Tensor, "n *shape"]:
        """Samples decoded from `z`."""
        return self.decoded(self.z)


def text_samples(case: ModelCase) -> TextSamples:
    """Return what turns texts of a model of texts into samples."""
    assert isinstance(case.model, ExternalTextModel)
    return case.model.text_samples


def texts_of(case: ModelCase, x: Float[Tensor, "n t v"]) -> list[str]:
    """Return the texts of samples of a model of texts."""
    return text_samples(case).texts(x)


def required(call):
    """Return the result of code of the model.

    Raises:
        UnmetRequirementError: it broke its contract.
    """
    try:
        return call()
    except PluginError as error:
        raise UnmetRequirementError(str(error)) from error
