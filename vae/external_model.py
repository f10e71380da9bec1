"""A frozen model from outside, as the rest of the program uses a model."""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from lso_bench.errors import LsoBenchError, PluginError, UnusableError, UsageError
from lso_bench.files import safe_read
from lso_bench.plugins.containment import contained, place, reason
from lso_bench.plugins.discovery import call_user_code
from lso_bench.plugins.notation import is_object, name_of
from lso_bench.plugins.settings import settings_of
from lso_bench.vae.data import file_name
from lso_bench.vae.data_path import data_of
from lso_bench.vae.datasets import DATASETS, Source, TextSource
from lso_bench.vae.frozen_models import FROZEN_MODELS, FrozenModel, FrozenTextModel, of_training
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.likelihoods.categorical import Categorical
from lso_bench.vae.model import LatentModel

LARGEST = 1 << 40  # bytes of a file of weights
EXPONENTIATE = "write Normal(mean, (logvar / 2).exp()) for a log-variance, Normal(mean, logstd.exp()) for a log"
LOAD_WEIGHTS = (
    "; build the network, call its load_state_dict, and return the network. A checkpoint of Lightning holds weights "
    "under 'state_dict', with a prefix: {k.removeprefix('model.'): v for k, v in checkpoint['state_dict'].items()}"
)
SINGLE = 32  # bits of a number in single precision


def build(name: str, seed: int = 0) -> FrozenModel:
    """Return the frozen model of a name or path; if it stands for several trainings, that of a seed.

    Raises:
        UsageError: there is none, or it names no data set or no number of latent dimensions, or its `seed` is no whole
            number.
    """
    return checked(training(FROZEN_MODELS.build(name), seed, name), name)


def training(plugin: FrozenModel, seed: int, name: str) -> FrozenModel:
    """Return the training of a seed of a model that stands for several; `name` stands in messages.

    Raises:
        UsageError: its `seed` is no whole number.
    """
    try:
        return call_user_code(lambda: of_training(plugin, seed), name)
    except (ValueError, TypeError) as error:
        raise UsageError(f"Model {name!r}: {error}") from error


def checked(plugin: FrozenModel, name: str) -> FrozenModel:
    """Return the model, if it says its data set, latent dimensions and files.

    Raises:
        UsageError: as `build`.
    """
    if not is_dataclass(plugin):
        raise UsageError(f"Model {name!r}: wanted a dataclass; write @dataclass(frozen=True) above its class.")
    if not (type(plugin.latent) is int and plugin.latent > 0):
        raise UsageError(
            f"Model {name!r}: wanted latent, a whole number from 1, got {plugin.latent!r}{flattening(plugin.latent)}."
        )
    if not (isinstance(plugin.files, tuple | list) and all(isinstance(f, str) for f in plugin.files)):
        raise UsageError(f"Model {name!r}: wanted files, a tuple of names, got {plugin.files!r}.")
    if not plugin.data:
        raise UsageError(f"Model {name!r} names no data set; write data = 'omniglot', or another of its samples.")
    try:
        source = DATASETS.build(data_of(plugin))
    except UsageError as error:
        raise UsageError(f"Model {name!r}: {error}") from error
    if isinstance(plugin, FrozenTextModel) and not isinstance(source, TextSource):
        raise UsageError(f"Model {name!r}: wanted a data set of texts, as expressions, got {plugin.data!r}.")
    return plugin


def file_of(plugin: FrozenModel) -> Path:
    """Return the file of a model's class; for a class typed at a prompt, a path in the working folder."""
    try:
        return Path(inspect.getfile(type(plugin))).absolute()
    except (OSError, TypeError):
        return Path.cwd() / type(plugin).__name__


def fingerprint(name: str, plugin: FrozenModel) -> str:
    """Compute the sha256 of what a model is: its code, settings and weights, and the user's own data that it is of.

    Raises:
        UsageError: as `build`.
        UnusableError: a file of weights is missing or cannot be read.
    """
    code = FROZEN_MODELS.code_version(name, plugin).get("model_sha256", "")
    weights = {file: _sha256(name, file_of(plugin).parent / file) for file in plugin.files}
    data = data_of(plugin)
    content = [] if DATASETS.is_built_in(name_of(data)) else [file_name(data)]  # a file's or folder's has a hash
    identity = [code, settings_of(plugin), plugin.data, plugin.latent, weights, *content]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _sha256(name: str, file: Path) -> str:
    try:
        return safe_read.sha256_of_state(file, LARGEST)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UnusableError(
            f"Model {name!r}: its weights {file} cannot be read: {why}; put them there, or correct `files`."
        ) from error


def load(name: str, seed: int = 0) -> "ExternalModel":
    """Return a frozen model with its weights, on the CPU; if it stands for several trainings, that of a seed.

    Raises:
        UsageError: as `build`.
        PluginError: its code raises, or its latents or samples have another form than it says.
    """
    return loaded(build(name, seed), name, is_object(name))


def loaded(plugin: FrozenModel, name: str, is_live: bool = False) -> "ExternalModel":
    """Return a frozen model with its weights; `name` stands in messages.

    Of a plugin that is live, an object of Python, the network may be the user's own, which goes on being trained. So a
    copy of it is frozen.

    Raises:
        PluginError: as `load`.
    """
    with plugin_code(name, "load"):
        network: object = plugin.load(file_of(plugin).parent)
        if is_live and isinstance(network, nn.Module):
            with torch.no_grad():  # else the weights of a scripted copy are no leaves
                network = deepcopy(network).cpu()
    if not isinstance(network, nn.Module):
        raise PluginError(
            f"model {name}: wanted a torch.nn.Module from load, got {type(network).__name__}"
            + LOAD_WEIGHTS * isinstance(network, Mapping)
        )
    model = _wrapped(plugin, name, _frozen(network))
    model.rounding = max((torch.finfo(t.dtype).eps for t in model.weights()), default=0.0)
    with torch.no_grad():
        if model.has_encoder:
            model.deterministic = isinstance(model.encoded(model.example()), Tensor)
        model.mean(torch.zeros(2, model.latent))
    return model.eval()


def _frozen(network: nn.Module) -> nn.Module:
    """Return the network in evaluation mode, without gradients of weights; a scripted one is frozen by parameters.

    The parameters of a copy of a scripted module are no leaves.
    """
    for parameter in network.eval().parameters():
        if parameter.is_leaf:
            parameter.requires_grad_(False)
        else:
            parameter.detach_()
    return network


def _wrapped(plugin: FrozenModel, name: str, network: nn.Module) -> "ExternalModel":
    if not isinstance(plugin, FrozenTextModel):
        return ExternalModel(plugin, name, network)
    from lso_bench.vae.external_text_model import ExternalTextModel  # which imports this module

    return ExternalTextModel(plugin, name, network)


class ExternalModel(LatentModel):
    """Frozen model from outside: what its code returns is checked, and its errors name it."""

    frozen = True
    autoregressive = False
    draws = False
    binary_input = False  # a decoded sample is encoded as it is
    rounding = 0.0  # largest machine epsilon of its weights and of what it gave so far

    def __init__(self, plugin: FrozenModel, name: str, network: nn.Module):
        super().__init__()
        source: Source = DATASETS.build(data_of(plugin))
        self.plugin, self.name, self.network = plugin, name, network
        self._shape = tuple(source.shape)
        self._likelihood = LIKELIHOODS.build(source.likelihood)
        self.has_encoder, self.has_density = plugin.has_encoder, plugin.has_log_prob
        self.register_buffer("_place", torch.zeros(()), persistent=False)  # a network may have no parameters

    @property
    def latent(self) -> int:
        return self.plugin.latent

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def bounded(self) -> bool:
        return self._likelihood.bounded

    @property
    def of_texts(self) -> bool:
        return isinstance(self._likelihood, Categorical)

    @property
    def discrete(self) -> bool:
        return self._likelihood.binary or self.of_texts

    @property
    def device(self) -> torch.device:
        return self._place.device  # pyright: ignore[reportReturnType]

    def weights(self) -> list[Tensor]:
        """Return the floating-point weights and buffers of its networks."""
        return [t for t in (*self.network.parameters(), *self.network.buffers()) if t.is_floating_point()]

    def in_precision(self, dtype: torch.dtype) -> LatentModel:
        """Return the model for samples of a dtype; weights of half precision stay so, as its code may expect."""
        low = any(torch.finfo(t.dtype).bits < SINGLE for t in self.weights())
        return self if low else super().in_precision(dtype)

    def network_input(self, values: Float[Tensor, "b *n"]) -> Float[Tensor, "b *n"]:
        """Return a copy of values, in the dtype of the weights if they share one."""
        dtypes = {t.dtype for t in self.weights()}
        return values.to(*dtypes, copy=True) if len(dtypes) == 1 else values.clone()

    def rounded(self, values: Float[Tensor, "b *n"], dtype: torch.dtype) -> Float[Tensor, "b *n"]:
        """Return what the model gave in the dtype of the run."""
        self.rounding = max(self.rounding, torch.finfo(values.dtype).eps)
        return values.to(dtype)

    def example(self) -> Float[Tensor, "2 *shape"]:
        """Return two samples that the model must encode."""
        return torch.zeros(2, *self.shape)

    def encoded(self, x: Float[Tensor, "b *shape"]) -> Independent | Float[Tensor, "b d"]:
        """Return what the model's own `encode` gives: a tensor, or a normal with the dimensions of a latent as event.

        Raises:
            PluginError: it is neither, or not one finite latent a sample; or a decoded sample is not finite.
        """
        if bad := int((~x.flatten(1).isfinite().all(-1)).sum()):
            raise PluginError(
                f"model {self.name}: decode gave {bad} of {len(x)} samples that are not finite, which encode cannot "
                "take; look at its weights, or search a smaller --region"
            )
        with plugin_code(self.name, f"encode of samples of {self.plugin.data}, {len(x)} of shape {self.shape},"):
            q: Any = self.plugin.encode(self.network, self.network_input(x))  # it may change its input
        return self.checked_latents(q, x)

    def label(self, x: Float[Tensor, "b *shape"], i: int) -> str:
        """Return how a message names a sample of a batch."""
        return f"sample {i + 1} of {len(x)}"

    def checked_latents(self, q: Any, x: Float[Tensor, "b *shape"]) -> Independent | Float[Tensor, "b d"]:
        """Return what `encode` gave for samples, in the dtype of the run.

        Raises:
            PluginError: as `encoded`.
        """
        normal = q.base_dist if isinstance(q, Independent) else q
        values: Any = normal.mean if isinstance(normal, Normal) else q
        if _shape(values) != (expected := (len(x), self.latent)):
            raise PluginError(
                f"model {self.name}: wanted latents of shape {expected} from encode, a tensor or a "
                f"torch.distributions.Normal, got {_shape(values) or type(q).__name__}"
                + "; return its mean, or Normal(mean, standard deviation)" * isinstance(q, tuple)
                + flattening(_shape(values)[1:])
            )
        if not values.is_floating_point():
            raise PluginError(
                f"model {self.name}: wanted floating-point latents from encode, got {values.dtype}; give the "
                "continuous vectors before quantization, and quantize in decode"
            )
        if not (finite := values.isfinite().all(-1)).all():
            bad = self.label(x, int((~finite).nonzero()[0]))
            raise PluginError(f"model {self.name}: wanted finite latents from encode, got others for {bad}")
        if not isinstance(normal, Normal):
            return self.rounded(values, x.dtype)
        if not ((normal.stddev >= 0) & normal.stddev.isfinite()).all():
            got = f"{normal.stddev.min():.3g} to {normal.stddev.max():.3g}"
            raise PluginError(
                f"model {self.name}: wanted finite standard deviations above 0 from encode, got {got}; {EXPONENTIATE}"
            )
        if values.dtype != x.dtype:
            normal = Normal(self.rounded(normal.mean, x.dtype), normal.stddev.to(x.dtype), validate_args=False)
        return Independent(normal, 1)

    def encode(self, x: Float[Tensor, "b *shape"]) -> Distribution:
        """Return q(z|x): batch (b,), event (d,); of a deterministic encoder without variance."""
        q = self.encoded(x)
        return Independent(Normal(q, torch.zeros_like(q), validate_args=False), 1) if isinstance(q, Tensor) else q

    def mean(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
        """Return the decoded samples.

        Raises:
            PluginError: they are not floating-point samples of the data set's shape.
        """
        with plugin_code(self.name, "decode"):
            x: Any = self.plugin.decode(self.network, self.network_input(z))
        expected = (len(z), *self.shape)
        if _shape(x) != expected or not x.is_floating_point():
            got = f"{x.dtype} of {_shape(x)}" if isinstance(x, Tensor) else type(x).__name__
            raise PluginError(f"model {self.name}: wanted samples of shape {expected} from decode, got {got}")
        return self.rounded(x, z.dtype)

    def decode(self, z: Float[Tensor, "b d"], teacher: Tensor | None = None) -> "Decoded":
        """Return the decoded samples with the model's own density."""
        return Decoded(lambda: self.mean(z), lambda x: self._log_prob(x, z))

    def _log_prob(self, x: Float[Tensor, "c *shape"], z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        if not self.has_density:
            raise PluginError(
                f"model {self.name}: has no log p(x|z); write a method `log_prob` in a file with its class, or give "
                "lso_bench.model its `log_prob`"
            )
        with plugin_code(self.name, "log_prob"):
            values: Any = self.log_likelihood(self.network_input(x.expand(len(z), *self.shape)), self.network_input(z))
        if _shape(values) != (len(z),):
            raise PluginError(
                f"model {self.name}: wanted one log p(x|z) a sample, shape {(len(z),)}, got {_shape(values)}"
            )
        return values.to(z.dtype)

    def log_likelihood(self, x: Float[Tensor, "b *shape"], z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Return what the model's own `log_prob` gives."""
        return self.plugin.log_prob(self.network, x, z)


class Decoded:
    """Decoded samples of a model that has no distribution of samples, only, perhaps, a density."""

    def __init__(self, mean: Callable[[], Tensor], log_prob: Callable[[Tensor], Tensor]):
        self._mean, self.log_prob = mean, log_prob

    @cached_property
    def mean(self) -> Float[Tensor, "b *shape"]:
        """Decoded samples, which a density alone does not need."""
        return self._mean()


def flattening(axes: object) -> str:
    """Return what to do about latents with several axes; empty if these are no sizes of such."""
    sizes = tuple(axes) if isinstance(axes, tuple | list) else ()
    if len(sizes) < 2 or not all(type(n) is int and n > 0 for n in sizes):
        return ""
    return (
        f"; latents with axes are flattened: say latent = {math.prod(sizes)}, end encode with .flatten(1), and begin "
        f"decode with z.unflatten(1, {sizes})"
    )


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


@contextmanager
def plugin_code(name: str, method: str) -> Iterator[None]:
    """Run code of the model in this context.

    Raises:
        PluginError: names the model and the method.
    """
    try:
        with contained():
            yield
    except LsoBenchError:
        raise
    except Exception as error:
        mend = f"; {EXPONENTIATE}" if "Expected parameter scale" in str(error) else ""
        raise PluginError(f"model {name}: {method} raised {reason(error)}{place(error)}{mend}") from error
