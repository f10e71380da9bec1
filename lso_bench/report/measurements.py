"""Measured latent spaces as a table, as JSON and as pictures."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from math import log
from pathlib import Path

from rich.console import RenderableType

from lso_bench.analysis.united import space_name
from lso_bench.files.sanitize import file_part
from lso_bench.models.measurements import Measured
from lso_bench.plotting import images as pictures
from lso_bench.plotting.numbers import fixed
from lso_bench.plugins.notation import short_name
from lso_bench.report.cells import EMPTY, number, word
from lso_bench.report.renderers import terminal as terminal_renderer
from lso_bench.report.table import Cell, Column, Table, columns
from lso_bench.report.trainings import bars, names
from lso_bench.vae.code_use import retrieval_chance
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.metrics import BLOCK, Metrics
from lso_bench.vae.trained_model import with_hash

ROWS = {  # label: field
    "-ELBO, nats": "nelbo",
    "NLL, importance-weighted, nats": "nll",
    "-ELBO - NLL, nats": "gap",
    "distortion, nats": "distortion",
    "squared error, summed over pixels": "squared_error",
    "KL, nats": "kl",
    "MI, nats": "mi",
    "MI in batches of 50, nats": "mi_b50",
    "KL(q(z), p(z)), nats": "divergence",
    "decoder use, nats": "decoder_use",
    "re-encoding, mean (z - z')^2": "reencoding_mean",
    "re-encoding of a draw, mean (z - z')^2": "reencoding_draw",
    "re-encoding, -log q(z|x^), nats": "reencoding_logp",
    "|mu(x') - z|, z from the prior": "consistency_prior",
    "|mu(x') - z|, z from q(z|x)": "consistency_posterior",
    "retrieval, share of images": "retrieval",
    "active units above the noise": "au_relative",
}
OF_TEXTS = {  # likewise, of models of texts alone
    "exact reconstruction, share of texts": "exact",
    "reconstructed tokens, share": "token_accuracy",
    "texts of the prior: valid, share": "prior_valid",
    "texts of the prior: distinct, of the valid": "prior_distinct",
    "texts of the prior: novel, of the distinct": "prior_novel",
}
ENTROPY = "entropy of the data, nats"
LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # thresholds of activity


def terminal(measured: Sequence[Measured]) -> RenderableType:
    """Return the table of metrics for the terminal."""
    return terminal_renderer.table(metrics_table(measured))


def dimensions(measured: Sequence[Measured]) -> RenderableType:
    """Return the table of dimensions for the terminal."""
    return terminal_renderer.table(dimensions_table(measured))


def metrics_table(measured: Sequence[Measured]) -> Table:
    """Return a table with one column per model; each mean has its standard error."""
    metrics, sizes, source = measured[0].metrics, measured[0].effort, DATASETS.build(measured[0].model.data)
    (samples, elements), entropy = source.words, source.entropy
    n, images, codes = metrics.n, min(sizes.images, metrics.n), min(sizes.codes, metrics.n)
    labels = labelled(measured, (samples, elements))
    rows = [[word(label), *(_cell(m, key) for m in measured)] for label, key in labels.items()]
    rows[1:1] = [[word(ENTROPY), *(number(entropy, lambda v: fixed(v, 3)) for _ in measured)]] if entropy else []
    for limit in LIMITS:
        label = "active units (activity > 0.01)" if limit == 0.01 else f"dimensions with activity > {limit}"
        rows.append([word(label), *(number(active_units(m, limit), str) for m in measured)])
    title = f"{measured[0].model.data} test set, {n:,} {samples}; {_spaces(measured)}; mean +- standard error"
    caption = (
        f"MI cannot exceed log n = {log(n):.2f}; {_batch_note(n, samples)}. NLL: the gap to -ELBO over "
        f"{images} {samples}, {sizes.samples} latents each. Consistency: {codes} latents; an encoder that answers 0 is "
        f"sqrt(d) = {_distances(measured)} away. {_code_use_note(codes, samples)}Seed of the draws: "
        f"{measured[0].inputs['seed']}.{_entropy_note(entropy)}"
    )
    if metrics.token_accuracy is not None:
        caption += (
            f" Reconstruction: the likeliest text of mu(x), of {codes} texts. Texts of the prior: {sizes.codes} draws "
            "of p(x|z), z from the prior."
        )
    return Table(title, columns(Column("", is_text=True, is_key=True), *names(measured)), rows, caption)


def dimensions_table(measured: Sequence[Measured]) -> Table:
    """Return a table with one row per dimension, sorted by activity for each model: number, activity, KL in nats."""
    ranks = range(max(len(m.metrics.activity) for m in measured))
    rows = [
        [number(rank + 1, str), *(cell for m in measured for cell in _dimension_cells(m.metrics, rank))]
        for rank in ranks
    ]
    headings = (f"{name}\n{heading}" for name in names(measured) for heading in ("number", "activity", "KL"))
    header = columns(Column("rank", is_key=True), *headings)
    return Table("Each latent dimension, by activity: number, activity, KL in nats", header, rows)


def _spaces(measured: Sequence[Measured]) -> str:
    """Return architecture and dimensions: once where all models share them, else each with the model's name."""
    texts = [space_name(m.model.arch, m.model.latent) for m in measured]
    if len({*texts}) == 1:
        return texts[0]
    return ", ".join(f"{m.model.name} {text}" for m, text in zip(measured, texts, strict=True))


def _distances(measured: Sequence[Measured]) -> str:
    """Return the norm of the prior's shell of each number of latent dimensions."""
    return " or ".join(f"{d**0.5:.1f}" for d in dict.fromkeys(m.model.latent for m in measured))


def active_units(measured: Measured, limit: float) -> int:
    """Count dimensions whose posterior mean has a variance above `limit` over the test images."""
    return sum(a > limit for a in measured.metrics.activity)


def as_json(measured: Sequence[Measured]) -> str:
    """Return all measurements and their settings as JSON."""
    rows = [m.stored() for m in measured]
    return json.dumps(rows, indent=1, allow_nan=False)


def picture(measured: Sequence[Measured], folder: Path) -> Path:
    """Draw the activity of each latent dimension, one panel per model, and the active units at every threshold."""
    first = measured[0].model
    names = "-".join(map(_name_and_weights, measured))
    if len(names.encode()) > 80:
        names = f"{file_part(names)}-{hashlib.sha256(names.encode()).hexdigest()[:6]}"  # no two lists share a file
    name = f"activity-{Path(replace(first, name=names).file).stem}.png"
    return pictures.activity(folder / name, bars(measured))


def _name_and_weights(measured: Measured) -> str:
    """Return the name of a model; of one from outside with a hash of its code and weights, else of its code."""
    if not measured.model.external:
        return with_hash(measured.model.name)
    return f"{short_name(measured.model.name).removesuffix('.py')}+{measured.inputs['checkpoint'][:8]}"


def labelled(measured: Sequence[Measured], words: tuple[str, str]) -> dict[str, str]:
    """Return the field of each label, in the words for the samples of the data and for their elements."""
    samples, elements = words
    of_texts = {label: k for label, k in OF_TEXTS.items() if any(getattr(m.metrics, k) is not None for m in measured)}
    named = {label.replace("images", samples).replace("pixels", elements): key for label, key in ROWS.items()}
    return named | of_texts


def _batch_note(n: int, samples: str) -> str:
    if n < BLOCK:
        return f"{n} {samples} make no batch of {BLOCK}"
    return f"in batches of {BLOCK}, log {BLOCK} = {log(BLOCK):.2f}"


def _entropy_note(entropy: float | None) -> str:
    """Return what the entropy of a data set says, where it is known."""
    return "" if entropy is None else f" No -ELBO is on average below {entropy:.2f}, the entropy of the data in nats."


def _code_use_note(codes: int, samples: str) -> str:
    """Return what decoder use and retrieval are over, and chance; empty if there are no codes."""
    if not codes:
        return ""
    chance = f"chance retrieves {retrieval_chance(codes):.3f}"
    return f"Decoder use, re-encoding of a draw, retrieval: {codes} {samples}; {chance}. "


def mean(metrics: Metrics, key: str) -> Cell:
    """Return the cell of a metric: a count as it is, a mean with three decimals, nothing for a missing one."""
    return number(getattr(metrics, key), lambda v: str(v) if isinstance(v, int) else fixed(v, 3))


def _dimension_cells(metrics: Metrics, rank: int) -> tuple[Cell, Cell, Cell]:
    if rank >= len(metrics.activity):
        return EMPTY, EMPTY, EMPTY
    n = sorted(range(len(metrics.activity)), key=lambda i: -metrics.activity[i])[rank]
    activity, kl = metrics.activity[n], metrics.kl_each[n] if metrics.kl_each else None
    return number(n, str), number(activity, lambda v: fixed(v, 4)), number(kl, lambda v: fixed(v, 4))


def _cell(measured: Measured, key: str) -> Cell:
    cell, error = mean(measured.metrics, key), measured.metrics.se.get(key)
    return cell if error is None else cell._replace(text=f"{cell.text} +- {fixed(error, 3)}")
