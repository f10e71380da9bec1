"""Measured latent spaces as a table, as JSON and as pictures."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from math import log
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from lso_bench.files.sanitize import file_part
from lso_bench.models.measurements import Measured
from lso_bench.plotting import images as pictures
from lso_bench.plotting.numbers import fixed
from lso_bench.vae.metrics import BLOCK, Metrics

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
    "re-encoding, mean (z - z')^2": "reencoding_mean",
    "re-encoding, -log q(z|x^), nats": "reencoding_logp",
    "|mu(x') - z|, z from the prior": "consistency_prior",
    "|mu(x') - z|, z from q(z|x)": "consistency_posterior",
}
LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # thresholds of activity


def terminal(measured: Sequence[Measured]) -> Table:
    """Return a table with one column per model; each mean has its standard error."""
    model, n = measured[0].model, measured[0].metrics.n
    title = f"{model.data} test set, {n:,} images; {model.arch}, d = {model.latent}; mean +- standard error"
    table = Table(title=title, title_justify="left", title_style="italic")
    table.add_column("")
    for m in measured:
        table.add_column(escape(m.model.name), justify="right")
    for label, key in ROWS.items():
        table.add_row(label, *(_cell(m, key) for m in measured))
    for limit in LIMITS:
        label = "active units (activity > 0.01)" if limit == 0.01 else f"dimensions with activity > {limit}"
        table.add_row(label, *(str(active_units(m, limit)) for m in measured))
    e = measured[0].effort
    images, codes = min(e.images, n), min(e.codes, n)
    table.caption = (
        f"MI cannot exceed log n = {log(n):.2f}; {_batch_note(n)}. NLL: the gap to -ELBO over "
        f"{images} images, {e.samples} codes each. Consistency: {codes} codes; an encoder that answers 0 is sqrt(d) = "
        f"{model.latent**0.5:.1f} away. Seed of the draws: {measured[0].what['seed']}."
    )
    return table


def dimensions(measured: Sequence[Measured]) -> Table:
    """Return a table with one row per dimension, sorted by activity for each model: number, activity, KL in nats."""
    table = Table(title="Each latent dimension, by activity: number, activity, KL in nats", title_justify="left")
    for m in measured:
        for column in (escape(m.model.name), "activity", "KL"):
            table.add_column(column, justify="right")
    for i in range(measured[0].model.latent):
        table.add_row(*(cell for m in measured for cell in _dimension_cells(m.metrics, i)))
    return table


def active_units(measured: Measured, limit: float) -> int:
    """Count dimensions whose posterior mean has a variance above `limit` over the test images."""
    return sum(a > limit for a in measured.metrics.activity)


def as_json(measured: Sequence[Measured]) -> str:
    """Return all measurements and their settings as JSON."""
    rows = [{k: v for k, v in asdict(m).items() if k != "each"} for m in measured]
    return json.dumps(rows, indent=1, allow_nan=False)


def picture(measured: Sequence[Measured], folder: Path) -> Path:
    """Draw the activity of each latent dimension, one panel per model, and the active units at every threshold."""
    first = measured[0].model
    names = "-".join(m.model.name for m in measured)
    if len(names.encode()) > 80:
        names = f"{file_part(names)}-{hashlib.sha256(names.encode()).hexdigest()[:6]}"  # no two lists share a file
    name = f"activity-{Path(replace(first, name=names).file).stem}.png"
    return pictures.activity(folder / name, [(m.model.name, m.metrics.activity) for m in measured])


def _batch_note(n: int) -> str:
    if n < BLOCK:
        return f"{n} images make no batch of {BLOCK}"
    return f"in batches of {BLOCK}, log {BLOCK} = {log(BLOCK):.2f}"


def _dimension_cells(metrics: Metrics, rank: int) -> tuple[str, str, str]:
    n = sorted(range(len(metrics.activity)), key=lambda i: -metrics.activity[i])[rank]
    return str(n), fixed(metrics.activity[n], 4), fixed(metrics.kl_each[n], 4) if metrics.kl_each else "-"


def _cell(measured: Measured, key: str) -> str:
    value = getattr(measured.metrics, key)
    return "-" if value is None else f"{fixed(value, 3)} +- {fixed(measured.metrics.se[key], 3)}"
