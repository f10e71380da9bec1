"""Find faults of this installation, its data and checkpoints, and of results; each with its remedy.

Heavy imports happen within the check that needs them, so that a broken package does not break the other checks.
"""

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from lso_bench import limits
from lso_bench.doctor.finding import Finding
from lso_bench.errors import UnusableError
from lso_bench.vae.datasets import DATASETS

LOW_SPACE = 1e9  # free bytes below which there is a warning: a study of the paper's task takes as much
NO_SPACE = 50e6  # free bytes below which nothing useful can be written
HEADER = ("arch", "command", "data_sha256", "epochs", "metrics", "versions")  # fields of a header of ours
HEADER_OF_JUDGE = ("command", "data_sha256", "epochs", "kind", "metrics", "torch")
HEADER_OF_STATE = ("plan", "of", "history", "batches", "moments")  # of a training in progress


def examine(results: Sequence[Path] = (), data_dir: Path | None = None) -> Iterator[Finding]:
    """Yield all findings; a broken check gives a finding, and nothing is raised."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "versions": _versions,
        "threads": _threads,
        "gpu": _gpu,
        "disk": lambda: _disk(results),
        "data": lambda: _data(data_dir),
        "checkpoints": _checkpoints,
        "results": lambda: _results(results),
    }
    for about, check in checks.items():
        try:
            yield from check()
        except OSError as error:  # about a folder or file that this check reads
            yield Finding(about, "unusable", _describe(error), _remedy(error))
        except UnusableError as error:  # about a folder set by an environment variable
            yield Finding(about, "unusable", _describe(error), "write that path in full")
        except Exception as error:  # the check itself failed
            yield Finding(about, "unusable", _describe(error), "pip install --force-reinstall lso-bench")


def _describe(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _remedy(error: OSError) -> str:
    """Return the remedy for an unreadable file."""
    subject = f" {error.filename}" if error.filename else " what it names"
    return f"look at the rights and the path of{subject}: another user's, a link to itself, or a name that is too long"


def _versions() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    installed = {"python": platform.python_version()}
    try:
        installed["lso-bench"] = version("lso-bench")
        requirements = [Requirement(r) for r in requires("lso-bench") or []]
    except PackageNotFoundError:
        yield Finding("versions", "warning", "lso-bench runs without being installed", "pip install -e .")
        requirements = []
    for requirement in (r for r in requirements if r.marker is None):
        try:
            installed[requirement.name] = version(requirement.name)
        except PackageNotFoundError:
            yield Finding("versions", "unusable", f"no {requirement.name}", f"pip install '{requirement}'")
            continue
        if not requirement.specifier.contains(installed[requirement.name], prereleases=True):
            what = f"{requirement.name} {installed[requirement.name]}, wanted {requirement.specifier}"
            yield Finding("versions", "warning", what, f"pip install '{requirement}'")
    yield Finding("versions", "ok", ", ".join(f"{name} {v}" for name, v in installed.items()))


def _threads() -> Iterator[Finding]:
    policy, threads = os.environ.get("OMP_WAIT_POLICY", "not set"), os.environ.get("OMP_NUM_THREADS", "not set")
    cores = limits.cores()
    if policy.upper() != "PASSIVE":
        what = f"OMP_WAIT_POLICY is {policy}: on a busy machine torch's threads spin (35 to 90 times slower)"
        yield Finding("threads", "warning", what, "export OMP_WAIT_POLICY=PASSIVE")
    if not (threads.isdecimal() and 1 <= int(threads) <= cores):
        what = f"OMP_NUM_THREADS is {threads}, wanted a number from 1 to {cores}"
        yield Finding("threads", "warning", what, f"export OMP_NUM_THREADS={cores}")
    yield Finding("threads", "ok", f"{cores} cores, OMP_NUM_THREADS {threads}, OMP_WAIT_POLICY {policy}")


def _gpu() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        suffix = f", {torch.cuda.device_count()} in all" * (torch.cuda.device_count() > 1)
        yield Finding("gpu", "ok", f"{torch.cuda.get_device_name()}, {memory:.0f} GB{suffix}")
    elif shutil.which("nvidia-smi"):
        what = f"there is nvidia-smi, but torch {torch.__version__} finds no GPU"
        yield Finding("gpu", "warning", what, "install a torch built for its driver: https://pytorch.org")
    else:
        yield Finding("gpu", "ok", "none; everything runs on the CPU")


def _disk(results: Sequence[Path]) -> Iterator[Finding]:
    from lso_bench.files.paths import cache_folder, own_folder

    folders = {"cache (LSO_BENCH_CACHE)": cache_folder(), "own checkpoints (LSO_BENCH_CHECKPOINTS)": own_folder()}
    for name, folder in (folders | {f"results {r}": r for r in results if r.is_dir()}).items():
        existing = next(p for p in (folder, *folder.absolute().parents) if _exists(p))
        what = f"{name}: {folder}, {(free := shutil.disk_usage(existing).free) / 1e9:.3g} GB free"
        if not existing.is_dir():
            yield Finding("disk", "unusable", f"{name}: {folder}, but {existing} is no folder", "name another folder")
        elif not os.access(existing, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            yield Finding("disk", "warning", f"{what}, and it cannot be written", "name another folder")
        elif free < LOW_SPACE:
            yield Finding(
                "disk", "unusable" if free < NO_SPACE else "warning", what, "make room, or name another folder"
            )
        else:
            yield Finding("disk", "ok", what)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # its folder cannot be read


def _torchvision() -> Iterator[Finding]:
    from lso_bench.files.download import torchvision_datasets

    try:
        torchvision_datasets()
    except (ImportError, RuntimeError, OSError) as error:
        what = " ".join(f"it does not import, so nothing can be downloaded ({type(error).__name__}: {error})".split())
        yield Finding("torchvision", "warning", what, "pip install the torchvision that belongs to this torch")
        return
    yield Finding("torchvision", "ok", f"{version('torchvision')}, imports")


def _data(folder: Path | None) -> Iterator[Finding]:
    from lso_bench.errors import MissingError, UnusableError
    from lso_bench.files.download import offline
    from lso_bench.vae import data

    data_path, is_missing = folder or data.data_folder(), False
    for name in DATASETS.names():
        try:
            with offline():
                small = DATASETS.build(name).small
                dataset = data.load(f"{name}:{small}" if small else name, data_path)
        except MissingError as error:
            is_missing = True
            yield Finding(
                "data", "warning", str(error).rstrip("."), "nothing, unless it is wanted; some are downloaded then"
            )
        except (UnusableError, ValueError) as error:
            yield Finding("data", "unusable", f"{name}: {error}", f"move it out of {data_path}, or say --data-dir")
        else:
            count = len(dataset.train) + len(dataset.valid) + len(dataset.test)
            yield Finding("data", "ok", f"{name}: {count:,} samples, sha256 {dataset.sha256[:12]}")
    for name, why in DATASETS.faults().items():
        yield Finding("data", "warning", f"{name}: {why}", "mend or remove the file or package that it comes from")
    if is_missing:  # only downloads need torchvision, whose import takes a second
        yield from _torchvision()


def _checkpoints() -> Iterator[Finding]:
    from lso_bench.files.paths import own_folder
    from lso_bench.vae.checkpoint import mend
    from lso_bench.vae.trained_model import SHIPPED

    for folder in dict.fromkeys((SHIPPED, own_folder())):
        for path in sorted(folder.glob("*.safetensors")):
            yield _checkpoint(path, mend(folder))


def _checkpoint(path: Path, mend: str) -> Finding:
    from lso_bench.errors import UnusableError
    from lso_bench.vae import checkpoint

    try:
        tensors, header = checkpoint.read(path)
        fields = _check_weights(path, tensors, header)
    except (UnusableError, KeyError, TypeError) as error:
        what = str(error) if isinstance(error, UnusableError) else f"{path}: its header has no good {error}"
        return Finding("checkpoints", "unusable", what, mend)
    if missing := [k for k in fields if k not in header and "imported_from" not in header]:
        return Finding("checkpoints", "warning", f"{path}: its header lacks {', '.join(missing)}", mend)
    return Finding("checkpoints", "ok", f"{path}, sha256 {checkpoint.sha256(path)[:12]}")


def _check_weights(path: Path, tensors: dict[str, Any], header: dict[str, Any]) -> tuple[str, ...]:
    """Check that the weights fit; return the fields that the header of such a file has.

    Raises:
        UnusableError, KeyError, TypeError: the weights or the header do not fit.
    """
    from lso_bench.vae import checkpoint
    from lso_bench.vae.classifier import Classifier
    from lso_bench.vae.density import Density

    if ".state." in path.name:
        return HEADER_OF_STATE
    if header.get(checkpoint.ARCHITECTURE) == "":
        return HEADER  # whether weights fit can be told by code that only a command that names it executes
    if "kind" not in header:
        checkpoint.check_model(path, tensors, header)
        return HEADER
    judges = {"classifier": lambda: Classifier(header["classes"]), "density": Density}
    checkpoint.check_weights(path, tensors, judges[header["kind"]])
    return HEADER_OF_JUDGE


def _results(folders: Sequence[Path]) -> Iterator[Finding]:
    from lso_bench.doctor.results import findings

    yield from findings(folders)
