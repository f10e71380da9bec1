"""A frozen model of texts from outside, as the rest of the program uses a model: texts are samples of its data set."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent

from lso_bench.errors import PluginError
from lso_bench.files.sanitize import one_line
from lso_bench.vae.data_path import data_of
from lso_bench.vae.datasets import DATASETS, TextSource
from lso_bench.vae.external_model import ExternalModel, plugin_code
from lso_bench.vae.frozen_models import FrozenTextModel
from lso_bench.vae.text_samples import TextSamples


class ExternalTextModel(ExternalModel):
    """Frozen model that takes and gives texts; a text that the data set's tokens cannot write stays what it is."""

    draws = True  # a decoded text is no mean
    plugin: FrozenTextModel

    def __init__(self, plugin: FrozenTextModel, name: str, network: torch.nn.Module):
        super().__init__(plugin, name, network)
        source = DATASETS.build(data_of(plugin))
        assert isinstance(source, TextSource), "it was checked"
        self.text_samples = TextSamples(source)

    @property
    def bounded(self) -> bool:
        return False  # spelled characters are negative

    def example(self) -> Float[Tensor, "2 t v"]:
        """Return what the model decodes, which it must encode, too."""
        return self.mean(torch.zeros(2, self.latent))

    def encoded(self, x: Float[Tensor, "b t v"]) -> Independent | Float[Tensor, "b d"]:
        """Return what the model's own `encode` gives for the texts of samples, as `ExternalModel.encoded`.

        Raises:
            PluginError: as there.
        """
        with plugin_code(self.name, "encode"):
            q = self.plugin.encode(self.network, self.text_samples.texts(x))
        return self.checked_latents(q, x)

    def label(self, x: Float[Tensor, "b t v"], i: int) -> str:
        return repr(self.text_samples.texts(x)[i][:80])

    def texts(self, z: Float[Tensor, "b d"]) -> list[str]:
        """Return the decoded texts.

        Raises:
            PluginError: they are not a list of as many texts.
        """
        with plugin_code(self.name, "decode"):
            texts: object = self.plugin.decode(self.network, self.network_input(z))
        if not isinstance(texts, list) or len(texts) != len(z):
            got = f"{len(texts)}" if isinstance(texts, list) else type(texts).__name__
            raise PluginError(f"model {self.name}: wanted a list of {len(z)} texts from decode, got {got}")
        if wrong := [text for text in texts if not _is_text(text)]:
            got = one_line(repr(wrong[0]), 80)
            raise PluginError(f"model {self.name}: wanted texts, str in Unicode, from decode, got {got}")
        return texts

    def mean(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b t v"]:
        """Return the decoded texts as samples.

        Raises:
            PluginError: as `texts`.
        """
        return self.text_samples.samples(self.texts(z)).to(z)

    def log_likelihood(self, x: Float[Tensor, "b t v"], z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        return self.plugin.log_prob(self.network, self.text_samples.texts(x), z)


def _is_text(value: object) -> bool:
    """Return whether a value is a text that a file can hold; a lone surrogate is none."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
