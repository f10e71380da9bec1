"""Latent traversals: the changes of the image or text along a dimension or a random direction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UsageError, unknown
from lso_bench.models import text_sheets
from lso_bench.plotting import images as pictures
from lso_bench.plotting.html_page import page
from lso_bench.plotting.shown import CHANNELS
from lso_bench.run_settings import PRIOR
from lso_bench.runner.aggregate_posterior import moments
from lso_bench.search import coordinates
from lso_bench.search.coordinates import AnyCoordinates
from lso_bench.study.lookup import find_checkpoint
from lso_bench.vae import loading
from lso_bench.vae.data import load
from lso_bench.vae.datasets import DATASETS, TextSource, is_ink
from lso_bench.vae.metrics import ACTIVE, measure
from lso_bench.vae.model import LatentModel
from lso_bench.vae.text_samples import TextSamples
from lso_bench.vae.trained_model import Model
from lso_bench.vae.traverse import along, outwards, walk

ROW = 10  # images in one row of the sheet of a walk
COLUMNS = 11  # images of each dimension in the sheet of all dimensions
SPACES = (PRIOR, "standard")  # coordinates of a walk: z itself, or shifted and scaled by the aggregate posterior


@dataclass(frozen=True)
class Walks:
    """Settings of the walks; reach and steps as in arXiv 2103.11349, section 5."""

    dimensions: Sequence[int] = (0,)  # ranks of dimensions with a separate sheet; 0 is the most active one
    steps: int = 100
    reach: float = 10.0  # standard deviations: of the prior, or in `standard` coordinates of the aggregate posterior
    seed: int = 0  # of the random direction, and of the noise that decides which pixels are ink
    active: float = ACTIVE  # activity threshold; the walk without active dimensions holds the dimensions above it at 0
    space: str | None = None  # coordinates, one of SPACES; None: those of searches in the model


@dataclass(frozen=True)
class Sheet:
    """Rows of samples under a title."""

    name: str
    title: str
    labels: Sequence[str]  # of the rows
    rows: Sequence[Float[Tensor, "s *shape"]]


def traverse(model: Model, walks: Walks, folder: Path, data_dir: Path | None = None, device: str = "cpu") -> list[Path]:
    """Write sheets, PNG and an HTML page of all for images, text files for texts; return the paths, the page last.

    Raises:
        UsageError: the model has neither images nor texts, or no such coordinates.
    """
    (vae, header), source = loading.load(model, find_checkpoint(model)), DATASETS.build(model.data)
    if not isinstance(source, TextSource) and (len(vae.shape) != 3 or vae.shape[0] not in CHANNELS):
        raise UsageError(
            f"A walk draws grey or colour images, or prints texts; the samples of {model.data} have shape {vae.shape}."
        )
    activity, space = _activity(vae, header, model, data_dir), walks.space or coordinates.default(model)
    mapping = _coordinates(space, vae, model, data_dir)
    walked, stem = sheets(vae.to(device), activity, walks, mapping), _stem(model, space)
    if isinstance(source, TextSource):
        return [_write_texts(model, source, sheet, folder / f"{stem}-{sheet.name}.txt") for sheet in walked]
    pngs = []
    for sheet in walked:
        png = folder / f"{stem}-{sheet.name}.png"
        rows = [r.cpu() for r in sheet.rows]
        pngs.append(pictures.sheet(png, f"{model.name}: {sheet.title}", sheet.labels, rows, is_ink(model.data)))
    networks = "" if model.external else f"{model.arch}, "
    seed = "" if model.external and not model.seed else f", seed {model.seed}"
    title = f"Latent traversals of {model.name} ({model.data}, {networks}d = {model.latent}{seed})"
    return [*pngs, page(folder / f"{stem}.html", title, pngs)]


def _activity(vae: LatentModel, header: dict, model: Model, data_dir: Path | None) -> Float[Tensor, " d"] | None:
    """Return the activity of each dimension; None of a model without an encoder."""
    if not vae.has_encoder:
        return None
    stored = _stored_activity(header, model.latent)
    return torch.tensor(stored or measure(vae, load(model.data, data_dir).test).activity)


def _coordinates(space: str, vae: LatentModel, model: Model, data_dir: Path | None) -> AnyCoordinates | None:
    """Return the map of the coordinates to z; None if they are z.

    Raises:
        UsageError: there are none of this name, or the model has no encoder.
    """
    if space not in SPACES:
        raise unknown("space of a walk", space, [*SPACES])
    if space == PRIOR:
        return None
    if not vae.has_encoder:
        raise UsageError(f"Space {space!r} needs an encoder, and model {model.name!r} has none; say --space prior.")
    return coordinates.build(space, moments(vae, load(model.data, data_dir)), lambda _: torch.empty(0))


def _stem(model: Model, space: str) -> str:
    """Return the beginning of the names of a model's files; of one from outside with a hash of its weights."""
    weights = f"-{loading.fingerprint(model, Path())[:8]}" if model.external else ""
    return f"{Path(model.file).stem}{weights}{f'-{space}' * (space != PRIOR)}"


def _write_texts(model: Model, source: TextSource, sheet: Sheet, path: Path) -> Path:
    rows = [TextSamples(source).texts(row) for row in sheet.rows]
    return text_sheets.write(path, f"{model.name}: {sheet.title}", sheet.labels, rows)


def _stored_activity(header: dict, d: int) -> list[float] | None:
    """Return the activity in the checkpoint's header, if it is valid."""
    metrics = header.get("metrics")
    activity = metrics.get("activity") if isinstance(metrics, dict) else None
    valid = isinstance(activity, list) and len(activity) == d and all(isinstance(a, float) for a in activity)
    return activity if valid else None


def sheets(
    vae: LatentModel,
    activity: Float[Tensor, " d"] | None,
    walks: Walks,
    mapping: AnyCoordinates | None = None,
) -> Iterator[Sheet]:
    """Yield the sheet of all dimensions, most active first, those of single dimensions, and a random direction.

    The random direction comes once complete and once without its active dimensions, if inactive ones exist. Without
    activities the dimensions stand in their order.

    Args:
        mapping: map of the coordinates that are walked to z; None: they are z.
    """
    d, device = vae.latent, vae.device
    random = torch.Generator().manual_seed(walks.seed)
    noise = torch.rand(vae.shape, generator=random).to(device)
    if vae.of_texts:
        noise = torch.full_like(noise, 0.5)  # the likeliest token each time
    direction = torch.randn(d, generator=random)
    order = [*range(d)] if activity is None else activity.argsort(descending=True).tolist()
    unit = "" if mapping is None else " standard deviations of the latents from their mean"
    span = f"from -{walks.reach:g} to +{walks.reach:g}{unit}"
    to_z = (lambda u: u) if mapping is None else mapping.to(device, torch.float32).to_z

    def images(u: Tensor) -> Tensor:
        return walk(vae, to_z(u.to(device)), noise)

    all_dimensions = images(torch.cat([along(d, i, walks.reach, COLUMNS) for i in order]))
    labels = [f"{i}" if activity is None else f"{i}: {activity[i]:.3f}" for i in order]
    by_activity = ", by activity" * (activity is not None)
    yield Sheet("all", f"every dimension {span}{by_activity}", labels, all_dimensions.split(COLUMNS))
    for n in walks.dimensions:
        of_dimension = "" if activity is None else f", activity {activity[order[n]]:.3f}"
        title = f"dimension {order[n]}{of_dimension}, {span} in {walks.steps} steps"
        yield _walk(f"dim{n}", title, images(along(d, order[n], walks.reach, walks.steps)))
    title = f"from the origin to a random code at distance {walks.reach:g}"
    if mapping is not None:
        title = f"from the mean to a random code {walks.reach:g} standard deviations from it"
    path = outwards(direction, walks.reach, walks.steps)
    yield _walk("random", title, images(path))
    active = torch.ones(d, dtype=torch.bool) if activity is None else activity > walks.active
    if not active.all():
        title += f", the {int(active.sum())} active dimensions held at 0"
        yield _walk("passive", title, images(path.where(~active, 0)))


def _walk(name: str, title: str, images: Float[Tensor, "s *shape"]) -> Sheet:
    rows = images.split(ROW)
    return Sheet(name, title, [f"step {1 + i * ROW}" for i in range(len(rows))], rows)
