"""Requirements of every frozen model from outside; each check raises an error that says what is missing."""

import math
import pickle
import resource
import sys
import time
from dataclasses import MISSING, fields, is_dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import PluginError, UnusableError
from lso_bench.testing.model_case import ModelCase, required
from lso_bench.testing.promise import Requirement, UnmetRequirementError, describe
from lso_bench.testing.settings import storable_settings
from lso_bench.testing.task_case import near, worst_mismatch
from lso_bench.testing.worker import LostWorkerError, answer_elsewhere
from lso_bench.vae import external_model
from lso_bench.vae.external_checks import latents, samples_fault
from lso_bench.vae.frozen_models import FrozenModel

ALONE = 8  # samples that are encoded and decoded alone
NARROW, WIDE = 0.5, 2.0  # ratios of the latents' norm to the prior's shell, outside of which a remark follows
DECODED = 256  # samples of the timed decode
REMEDY = "draw no noise, pass training=False to functional.dropout, and leave evaluation mode as the harness sets it"


def _check_data(case: ModelCase) -> None:
    external_model.checked(case.plugin, case.name)


def _check_weights(case: ModelCase) -> str:
    try:
        digest = external_model.fingerprint(case.name, case.plugin)
    except UnusableError as error:
        raise UnmetRequirementError(f"wanted the files that `files` names, got none: {error}") from error
    count = len(case.plugin.files)
    if not count:
        return f"no files; its code alone identifies it ({digest[:12]}), so name in `files` what `load` reads"
    return f"{count} file{'s' * (count != 1)} of weights; the model's identity is {digest[:12]}"


def _check_loading(case: ModelCase) -> str:
    parameters = sum(p.numel() for p in case.model.parameters())
    return f"{type(case.model.network).__name__} with {parameters:,} parameters"


def _check_latents(case: ModelCase) -> str:
    _require_finite(case.z, "latents", "encode")
    kind = "a tensor: deterministic" if case.model.deterministic else "a distribution"
    return f"{case.model.latent} numbers a sample, finite ({kind})"


def _check_samples(case: ModelCase) -> None:
    random = torch.Generator().manual_seed(0)
    prior = torch.cat([latents(case.model), torch.randn(len(case.x), case.model.latent, generator=random)])
    for x in (case.reconstructions, case.decoded(prior)):
        if fault := samples_fault(x, case.model.bounded):
            raise UnmetRequirementError(fault)


def _require_finite(values: Tensor, what: str, method: str) -> None:
    if bad := int((~values.flatten(1).isfinite().all(-1)).sum()):
        raise UnmetRequirementError(
            f"wanted finite {what} from `{method}`, got {bad} of {len(values)} that are not; look at its weights"
        )


def _check_determinism(case: ModelCase) -> None:
    def answers(seed: int) -> list[Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return [case.encoded(case.x), case.decoded(case.z)]

    for method, first, again in zip(("encode", "decode"), answers(1), answers(2), strict=True):
        if not near(*_rows(first, again), rounding=case.model.rounding).all():
            raise UnmetRequirementError(
                f"wanted the same from `{method}` asked twice, got {worst_mismatch(*_rows(first, again))}; {REMEDY}"
            )


def _check_batch_independence(case: ModelCase) -> None:
    z = torch.cat([case.encoded(x) for x in case.x[:ALONE].split(1)])
    x = torch.cat([case.decoded(z) for z in case.z[:ALONE].split(1)])
    encoded = case.encoded(case.x)[:ALONE]
    for method, together, alone in (("encode", encoded, z), ("decode", case.reconstructions[:ALONE], x)):
        if not near(*_rows(together, alone), rounding=case.model.rounding).all():
            raise UnmetRequirementError(
                f"wanted each sample on its own from `{method}`, got {worst_mismatch(*_rows(together, alone))} for one "
                f"beside others and alone; {REMEDY}"
            )


def _rows(*tensors: Tensor) -> list[Float[Tensor, "k n"]]:
    return [t.flatten(1) for t in tensors]


def _check_reconstruction(case: ModelCase) -> str:
    """Check that a sample is decoded better from its own latent than from that of another sample."""
    shuffled = case.reconstructions.roll(1, 0)
    matched, mismatched = (_error(case.x, x) for x in (case.reconstructions, shuffled))
    if not matched.mean() < mismatched.mean():
        raise UnmetRequirementError(
            f"wanted a smaller error of a sample decoded from its own latent than from another's, got "
            f"{matched.mean():.4g} and {mismatched.mean():.4g}; encoder and decoder do not belong together, or the "
            "decoder ignores its latent"
        )
    share = (matched < mismatched).float().mean().item()
    return f"error {matched.mean():.4g}, from another's latent {mismatched.mean():.4g}; smaller for {share:.0%}"


def _error(x: Float[Tensor, "n *shape"], decoded: Float[Tensor, "n *shape"]) -> Float[Tensor, " n"]:
    return (x - decoded).square().flatten(1).sum(-1)


def _check_spread(case: ModelCase) -> str:
    """Say how far the latents lie from the origin, beside the prior's mass; they may not all be the same."""
    q = case.posterior(case.x)
    if not (q.mean.double().var(0, correction=0) + q.variance.double().mean(0)).any():
        raise UnmetRequirementError(
            f"wanted latents that differ between samples, got the same for all {len(case.x)}; --space standard, the "
            "default of such a model, has no scale then and fails: correct `encode`, leave it out if the model has no "
            "encoder, or say --space prior"
        )
    norm, shell = case.z.norm(dim=-1).median().item(), math.sqrt(case.model.latent)
    text = f"median norm of a sample's latent {norm:.3g}, of the prior's shell {shell:.3g}"
    if not NARROW <= norm / shell <= WIDE:
        wide = f"box:3 reaches {3 * shell / norm:.3g} root mean squares of a dimension" if norm else "the latents are 0"
        text += f"; {wide}; --space standard, the default of such a model, makes it and random starts fit"
    return text


def _check_precision(case: ModelCase) -> str:
    """Say in which precisions it decodes."""
    try:
        with torch.no_grad(), case.watch.during("decode"):
            case.model.in_precision(torch.float64).mean(case.z[:1].double())
    except PluginError as error:
        return f"single; --precision fp64 ends in an error ({error}): cast to the dtype of your weights in `decode`"
    return "single and double (--precision fp64)"


def _check_gradient(case: ModelCase) -> None:
    remedy = "decode by torch operations on z, or say differentiable = False"
    z = case.z[:ALONE].clone().requires_grad_()
    with torch.enable_grad(), case.watch.during("decode"):
        x = required(lambda: case.model.mean(z))
    if not x.requires_grad:
        raise UnmetRequirementError(f"wanted a gradient that reaches the latents, got none; {remedy}")
    (gradient,) = torch.autograd.grad((x - 0.5).square().sum(), z, allow_unused=True)
    if gradient is None or not gradient.any():
        raise UnmetRequirementError(f"wanted a gradient that reaches the latents, got none or 0; {remedy}")
    _require_finite(gradient, "gradients", "decode")


def _check_density(case: ModelCase) -> str:
    """Check that a sample is likelier under its own latent than under another's."""
    with torch.no_grad(), case.watch.during("log_prob"):
        matched, mismatched = (
            required(lambda z=z: case.model.decode(z).log_prob(case.x)) for z in (case.z, case.z.roll(1, 0))
        )
    _require_finite(matched.unsqueeze(-1), "values", "log_prob")
    if not matched.mean() > mismatched.mean():
        raise UnmetRequirementError(
            f"wanted a greater log p(x|z) of a sample's own latent than of another's, got {matched.mean():.4g} and "
            f"{mismatched.mean():.4g} on average; sum the log-densities of a sample, with the sign of a logarithm"
        )
    return f"log p(x|z) is {matched.mean():.4g}, under another's latent {mismatched.mean():.4g} nats"


def _decode(plugin: FrozenModel, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
    return external_model.loaded(plugin, type(plugin).__name__).mean(z)


def _check_worker(case: ModelCase) -> None:
    decoded = decoded_elsewhere(case)
    if not near(*_rows(case.reconstructions[:ALONE], decoded), rounding=case.model.rounding).all():
        mismatch = worst_mismatch(*_rows(case.reconstructions[:ALONE], decoded))
        raise UnmetRequirementError(
            f"wanted the same samples in a worker process, got {mismatch}; let `load` read all that decoding depends on"
        )


def decoded_elsewhere(case: ModelCase) -> Float[Tensor, "b *shape"]:
    """Return the first samples, decoded in a worker process.

    Raises:
        UnmetRequirementError: the model cannot be sent there, or the process ends.
    """
    try:
        pickled = pickle.dumps((case.plugin, case.z[:ALONE]))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UnmetRequirementError(
            f"wanted a model that can be sent to a worker process, got {type(error).__name__}: {error}; define its "
            "class at the top of a module, and load networks in `load`"
        ) from error
    try:
        return answer_elsewhere(_decode, pickled, type(case.plugin).__module__)
    except LostWorkerError as error:
        raise UnmetRequirementError("wanted samples from a worker process, got its end") from error


def _check_cost(case: ModelCase) -> str:
    """Measure the seconds and the memory of a decode."""
    z = case.z[torch.arange(DECODED) % len(case.z)]
    before, started = _peak_bytes(), time.perf_counter()
    case.decoded(z)
    seconds, added = time.perf_counter() - started, max(0, _peak_bytes() - before)
    return f"{1000 * seconds / DECODED:.3g} ms a decode, {_memory(added)} for {DECODED} at once"


def _memory(added: int) -> str:
    return f"{added / 2**20:.3g} MB more" if added else "no more memory than the checks before"


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _check_settings(case: ModelCase) -> None:
    storable_settings(case.plugin)


def has_encoder(model: FrozenModel) -> bool:
    return model.has_encoder


def _has_defaults(model: FrozenModel) -> bool:
    """Return whether a name can stand for the model; two modules in Python have none."""
    assert is_dataclass(model)
    return all(f.default is not MISSING or f.default_factory is not MISSING for f in fields(model))


REQUIREMENTS = (
    Requirement("data", "the data set whose samples it takes, and the number of latents", _check_data, blocking=True),
    Requirement("weights", "files whose content is part of its identity", _check_weights, blocking=True),
    Requirement("loading", "`load` gives the networks", _check_loading, blocking=True),
    Requirement("latents", "one finite latent a sample", _check_latents, has_encoder, blocking=True),
    Requirement("samples", "finite samples of the data set's form", _check_samples, blocking=True),
    Requirement("determinism", "the same asked twice", _check_determinism),
    Requirement("batch independence", "each sample on its own", _check_batch_independence),
    Requirement("reconstruction", "encoder and decoder belong together", _check_reconstruction, has_encoder),
    Requirement("spread", "where its latents lie", _check_spread, has_encoder),
    Requirement("precision", "in which precisions it decodes", _check_precision),
    Requirement("gradient", "reaches the latents", _check_gradient, applies=lambda model: model.differentiable),
    Requirement(
        "density",
        "a sample is likelier under its own latent",
        _check_density,
        applies=lambda model: model.has_log_prob and model.has_encoder,
    ),
    Requirement("settings", "every one can be recorded", _check_settings, applies=_has_defaults),
    Requirement(
        "worker",
        "goes to another process and decodes the same there",
        _check_worker,
        applies=lambda model: not model.stays_here,
    ),
    Requirement("cost", "time and memory of a decode", _check_cost),
    Requirement("side effects", "the rest of the program left as it is", lambda case: case.watch.check()),
    Requirement("description", "a docstring that says what it is", lambda case: describe(case, "what it is")),
)
