"""Latent spaces measured, as a table, as JSON and as a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import log
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from lso_bench.report.progress import shown
from lso_bench.study import find_checkpoint
from vae.checkpoint import load_model
from vae.data import load
from vae.metrics import Metrics, measure
from vae.zoo import Model

ROWS = {  # label: field
    "-ELBO, nats": "nelbo",
    "distortion, nats": "distortion",
    "KL, nats": "kl",
    "MI, nats": "mi",
    "MI in batches of 50, nats": "mi_b50",
    "re-encoding, mean (z - z')^2": "reencoding_mean",
    "re-encoding, -log q(z|x^), nats": "reencoding_logp",
}

Measured = list[tuple[Model, Metrics]]


def measured(models: Sequence[Model], data_dir: Path | None, device: str, quiet: bool) -> Measured:
    """Each model's metrics on the test set of its data."""
    paths = [find_checkpoint(m) for m in models]
    data = load(models[0].data, data_dir)
    with shown(quiet) as show:
        found = []
        for i, (model, path) in enumerate(zip(models, paths, strict=True)):
            show("measuring", i, len(models), model.name)
            vae, _ = load_model(path)
            found.append((model, measure(vae.to(device), data.test, device=device)))
    return found


def terminal(measured: Measured) -> Table:
    """A column a model; each mean with its standard error."""
    model, n = measured[0][0], measured[0][1].n
    title = f"{model.data} test set, {n:,} images; {model.arch}, d = {model.latent}; mean +- standard error"
    table = Table(title=title, title_justify="left", title_style="italic")
    table.add_column("")
    for m, _ in measured:
        table.add_column(escape(m.name), justify="right")
    for label, key in ROWS.items():
        table.add_row(label, *(f"{getattr(x, key):.3f} +- {x.se[key]:.3f}" for _, x in measured))
    for limit in (0.01, 0.05, 0.1, 0.2):
        label = "active units (activity > 0.01)" if limit == 0.01 else f"dimensions with activity > {limit}"
        table.add_row(label, *(str(sum(a > limit for a in x.activity)) for _, x in measured))
    table.caption = f"MI cannot exceed log n = {log(n):.2f}; in batches of 50, log 50 = {log(50):.2f}"
    return table


def as_json(measured: Measured) -> str:
    """Every field of every model's metrics."""
    return json.dumps([asdict(m) | {"metrics": asdict(x)} for m, x in measured], indent=1, allow_nan=False)


def picture(measured: Measured, folder: Path) -> Path:
    """The activity of each latent dimension, a panel a model."""
    from lso_bench.report.pictures import activity

    first = measured[0][0]
    names = "-".join(m.name for m, _ in measured)[:80].replace(":", "+")
    name = f"activity-{first.data}-{first.arch}-d{first.latent}-{names}-s{first.seed}.png"
    return activity(folder / name, [(m.name, x.activity) for m, x in measured])
