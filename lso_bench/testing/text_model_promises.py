"""Requirements of every frozen model of texts from outside: those of any such model, with texts for samples."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from lso_bench.task.nearest_row import edit_distances
from lso_bench.testing.model_case import ModelCase, required, text_samples, texts_of
from lso_bench.testing.model_promises import ALONE, REMEDY, REQUIREMENTS, decoded_elsewhere, has_encoder
from lso_bench.testing.promise import Requirement, UnmetRequirementError
from lso_bench.testing.task_case import near, worst_mismatch

SHIFTS = 4  # other texts with whose latents each text is compared
LESS = 0.95  # largest ratio of the distances of reconstructions and of shuffled ones
ERRORS = 2  # standard errors by which they must differ
ROUNDING = 1e-4  # nats by which a log-probability may exceed 0


def _check_texts(case: ModelCase) -> str:
    """Check that latents of data and of the prior decode to texts, and say how many the data's tokens can write."""
    z = torch.randn(len(case.x), case.model.latent, generator=torch.Generator().manual_seed(0))
    texts = texts_of(case, case.reconstructions) + texts_of(case, case.decoded(z))
    written = sum(text_samples(case).writes(text) for text in texts)
    rest = "" if written == len(texts) else "; tasks score the others as they are"
    return f"the tokens of {case.plugin.data} can write {written} of {len(texts)} decoded texts{rest}"


def _check_round_trip(case: ModelCase) -> str:
    texts, source = texts_of(case, case.x), text_samples(case).source
    again = source.texts(source.tokens(texts))
    if changed := [(a, b) for a, b in zip(texts, again, strict=True) if a != b]:
        raise UnmetRequirementError(
            f"wanted the same text after `tokens` and `texts` of {case.plugin.data}, got {changed[0][1]!r} for "
            f"{changed[0][0]!r}; look at the symbols of the data set"
        )
    return f"{len(texts)} test texts are the same after `tokens` and `texts`, as {texts[0]!r}"


def _check_reencoding(case: ModelCase) -> str:
    """Check that the model encodes what it decodes: every search ends with that."""
    z = 2 * torch.randn(len(case.x), case.model.latent, generator=torch.Generator().manual_seed(1))
    texts = ["", *texts_of(case, case.decoded(z))]
    case.posterior(text_samples(case).samples(texts))
    return f"takes {len(texts)} texts, the empty one and those decoded at twice the prior's width"


def _check_determinism(case: ModelCase) -> None:
    latents, texts = [], []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            latents.append(case.encoded(case.x))
            texts.append(texts_of(case, case.decoded(case.z)))
    _require_same(latents, texts, "asked twice", case.model.rounding)


def _check_batch_independence(case: ModelCase) -> None:
    z = torch.cat([case.encoded(x) for x in case.x[:ALONE].split(1)])
    alone = [text for part in case.z[:ALONE].split(1) for text in texts_of(case, case.decoded(part))]
    texts = [texts_of(case, case.reconstructions[:ALONE]), alone]
    _require_same([case.encoded(case.x)[:ALONE], z], texts, "for one beside others and alone", case.model.rounding)


def _require_same(latents: Sequence[Tensor], texts: Sequence[Sequence[str]], when: str, rounding: float) -> None:
    """Check that two answers are the same, latents up to rounding.

    Raises:
        UnmetRequirementError: they differ.
    """
    first, again = latents
    if not near(first, again, rounding).all():
        raise UnmetRequirementError(
            f"wanted the same from `encode` {when}, got {worst_mismatch(first, again)}; {REMEDY}"
        )
    if differing := [pair for pair in zip(*texts, strict=True) if len({*pair}) > 1]:
        raise UnmetRequirementError(
            f"wanted the same from `decode` {when}, got {differing[0][0]!r} and {differing[0][1]!r}; {REMEDY}"
        )


def _check_worker(case: ModelCase) -> None:
    here, elsewhere = texts_of(case, case.decoded(case.z[:ALONE])), texts_of(case, decoded_elsewhere(case))
    if differing := [pair for pair in zip(here, elsewhere, strict=True) if pair[0] != pair[1]]:
        raise UnmetRequirementError(
            f"wanted the same texts in a worker process, got {differing[0][1]!r} for {differing[0][0]!r}; let `load` "
            "read all that decoding depends on"
        )


def _check_reconstruction(case: ModelCase) -> str:
    """Check that a text is decoded better from its own latent than from those of others, by the edit distance."""
    texts, decoded = texts_of(case, case.x), texts_of(case, case.reconstructions)
    shifted = torch.stack([distances(texts, decoded[i:] + decoded[:i]) for i in range(SHIFTS + 1)]).double()
    matched, mismatched = shifted[0], shifted[1:].mean(0)
    gain, exact = mismatched - matched, sum(a == b for a, b in zip(texts, decoded, strict=True))
    figures = f"{matched.mean():.3g} edits, from others' latents {mismatched.mean():.3g}; {exact} of {len(texts)} exact"
    error = gain.std() / math.sqrt(len(gain))
    if not (matched.mean() <= LESS * mismatched.mean() and gain.mean() > ERRORS * error):
        raise UnmetRequirementError(
            f"wanted texts decoded from their own latents a twentieth nearer than from others', got {figures}; encoder "
            "and decoder do not belong together (a pooled state cannot be decoded), or the decoder ignores its latent"
        )
    return figures


def distances(first: Sequence[str], second: Sequence[str]) -> Int[Tensor, " n"]:
    """Return the Levenshtein distance of the texts of each pair."""
    return torch.tensor([_distance(*pair) for pair in zip(first, second, strict=True)])


def _distance(first: str, second: str) -> int:
    """Return the fewest characters that are inserted, deleted or replaced."""
    rows = np.array([[*map(ord, second)]], np.int64)
    return int(edit_distances([*map(ord, first)], rows, np.array([len(second)]))[0])


def _check_latents(case: ModelCase) -> str:
    """Say how wide the noise is, and in how many dimensions the means vary more; a foreign model's scale is its own."""
    if case.model.deterministic:
        return f"{case.model.latent} numbers a text, finite (a tensor: deterministic)"
    noise = case.posterior(case.x).stddev
    if not ((noise > 0) & noise.isfinite()).all():
        raise UnmetRequirementError("wanted positive standard deviations from `encode`, got others; exponentiate them")
    wider = int((case.z.var(0) > noise.square().mean(0)).sum())
    kind = "constant noise" if noise.std() <= 1e-3 * noise.mean() else "noise"
    return f"{case.model.latent} numbers a text, finite; {kind} of {noise.mean():.3g}; {wider} dimensions vary more"


def _check_density(case: ModelCase) -> str:
    """Check that log p(x|z) is that of a text, at most 0, and greater under its own latent than under another's."""
    with torch.no_grad(), case.watch.during("log_prob"):
        both = [required(lambda z=z: case.model.decode(z).log_prob(case.x)) for z in (case.z, case.z.roll(1, 0))]
    matched, mismatched, greatest = *both, torch.cat(both).max().item()
    figures = f"{matched.mean():.4g} nats, under another's latent {mismatched.mean():.4g}"
    if not (torch.cat(both).isfinite().all() and greatest <= ROUNDING):
        raise UnmetRequirementError(
            f"wanted finite log p(text|z) of at most 0, got {figures}, the greatest {greatest:.4g}; sum the "
            "log-probabilities of the symbols of a text"
        )
    if not matched.mean() > mismatched.mean():
        raise UnmetRequirementError(
            f"wanted a greater log p(text|z) of a text's own latent than of another's, got {figures}; look at its sign"
        )
    return f"log p(text|z) is {figures}"


TEXT_CHECKS = {
    "latents": Requirement("latents", "one finite latent a text", _check_latents, has_encoder, blocking=True),
    "samples": Requirement("texts", "as many texts as latents", _check_texts, blocking=True),
    "determinism": Requirement("determinism", "the same asked twice", _check_determinism),
    "batch independence": Requirement("batch independence", "each text on its own", _check_batch_independence),
    "reconstruction": Requirement(
        "reconstruction", "encoder and decoder belong together", _check_reconstruction, has_encoder
    ),
    "density": Requirement(
        "density",
        "a text is likelier under its own latent",
        _check_density,
        lambda model: model.has_log_prob and model.has_encoder,
    ),
    "worker": Requirement("worker", "goes to another process and decodes the same there", _check_worker),
}
ADDED = (
    Requirement("round trip", "the data's texts are the same after its tokens", _check_round_trip),
    Requirement(
        "re-encoding", "`encode` takes what `decode` gives, and the empty text", _check_reencoding, has_encoder
    ),
)
_SHARED = [TEXT_CHECKS.get(r.name, r) for r in REQUIREMENTS]
_AFTER = 1 + [r.name for r in _SHARED].index("texts")
TEXT_REQUIREMENTS = (*_SHARED[:_AFTER], *ADDED, *_SHARED[_AFTER:])
