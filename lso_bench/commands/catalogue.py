"""Contents of the lists that `lso-bench list` shows, kept in the user's cache: torch takes seconds to import."""

import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import lso_bench
from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.paths import cache_folder, own_folder
from lso_bench.plugins.sources import INSTALLED
from lso_bench.vae.default_architecture import OF_IMAGES, OF_SEQUENCES

GROUPS = {  # groups of entry points, by kind; a model is an objective, or comes from outside
    "models": ("lso_bench.objectives", "lso_bench.models"),
    "data": ("lso_bench.datasets",),
    "tasks": ("lso_bench.tasks",),
    "searchers": ("lso_bench.searchers",),
    "architectures": ("lso_bench.architectures",),
}
DEFAULTS = (OF_IMAGES, OF_SEQUENCES)  # architectures
OUTSIDE = "(with its weights)"  # end of the description of a model that this program does not train
PACKAGE = Path(lso_bench.__file__).parent
LARGEST = 1 << 20  # bytes of a kept list


@dataclass(frozen=True)
class Catalogue:
    """Plugins of one kind."""

    names: Mapping[str, str]  # descriptions by name
    faults: Mapping[str, str]  # reasons by the name of what cannot be used


def catalogue(kind: str) -> Catalogue:
    """Return the plugins of a kind, one of GROUPS; a kept list counts while no file and no package has changed."""
    path, state = cache_folder() / "lists" / f"{kind}.json", _state(kind)
    if (names := _kept(path, state)) is not None:
        return Catalogue(names, {})
    listed = _collect(kind)
    if not listed.faults:  # what is mended outside of these files must be seen
        with suppress(UnusableError):  # a cache that cannot be written costs time, nothing else
            write_atomic(path, json.dumps({"state": state, "names": dict(listed.names)}).encode())
    return listed


def trained(name: str) -> str:
    """Return the data sets with a checkpoint of a model in their default architecture, as a remark."""
    folders = own_folder(), PACKAGE / "vae" / "checkpoints"
    files = {p.name for folder in folders for p in folder.glob("*.safetensors") if ".state." not in p.name}
    data_sets = [f.split("-")[0] for f in sorted(files) if any(f"-{a}-d32-{name}-s0." in f for a in DEFAULTS)]
    return f"(checkpoints: {', '.join(dict.fromkeys(data_sets))})" if data_sets else "(no checkpoint yet)"


def _collect(kind: str) -> Catalogue:
    from lso_bench.search import SEARCHERS
    from lso_bench.task import TASKS
    from lso_bench.vae.architectures import ARCHITECTURES
    from lso_bench.vae.datasets import DATASETS
    from lso_bench.vae.frozen_models import FROZEN_MODELS
    from lso_bench.vae.objectives import OBJECTIVES

    registries = {r.group: r for r in (OBJECTIVES, FROZEN_MODELS, DATASETS, TASKS, SEARCHERS, ARCHITECTURES)}
    names: dict[str, str] = {}
    faults: dict[str, str] = {}
    for group in GROUPS[kind]:
        remark = f" {OUTSIDE}" if group == FROZEN_MODELS.group else ""
        names |= {name: text + remark for name, text in registries[group].names().items()}
        faults |= registries[group].faults()
    return Catalogue(names, faults)


def _state(kind: str) -> str:
    """Return a hash of all that a list depends on: files of this package, entry points, folders of installed ones."""
    folders = PACKAGE, *((PACKAGE / name).resolve() for name in ("vae", "tasks"))  # in a checkout these are links
    files = [(p, p.stat()) for folder in folders for p in sorted(folder.rglob("*.py"))]
    stats = [(str(p), status.st_mtime_ns, status.st_size) for p, status in files]
    installed = [(p, Path(p).stat().st_mtime_ns) for p in sys.path if Path(p).name in INSTALLED and Path(p).is_dir()]
    entries = (e for group in GROUPS[kind] for e in entry_points(group=group))
    points = sorted((e.name, e.value, e.dist.version if e.dist else "") for e in entries)
    return hashlib.sha256(repr((lso_bench.__version__, stats, installed, points)).encode()).hexdigest()


def _kept(path: Path, state: str) -> dict[str, str] | None:
    """Return the kept names; None if there are none, or of another state."""
    try:
        kept = safe_read.read_json(path, LARGEST)
        names = kept["names"] if kept["state"] == state else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_sound = isinstance(names, dict) and all(isinstance(v, str) for v in names.values())
    return names if is_sound else None
