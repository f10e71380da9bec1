"""Options that several commands share, and their meaning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.bounds import LATENT, SEED, WHOLE
from lso_bench.commands.exit_status import INCOMPLETE
from lso_bench.errors import UnusableError, UsageError, unknown

DEVICES = ["auto", "cpu", "cuda"]
LONGEST_RANGE = 100_000  # numbers in a range as 0-9


def outside(text: str | Path) -> Path:
    """Convert a path as typed; `~` means a home folder also where the shell leaves it (`--results=~/x`)."""
    from lso_bench.files.paths import from_outside

    try:
        return from_outside(text)
    except UnusableError as error:
        raise UsageError(str(error)) from error


def plugin(text: str) -> str:
    """Convert the name of a plugin or data set, or the path of its file or folder."""
    from lso_bench.plugins.notation import with_home_folder

    try:
        return with_home_folder(text)
    except UnusableError as error:
        raise UsageError(str(error)) from error


LISTED = "Names, separated by commas; may stand several times"
Models = Annotated[list[str], typer.Option("--model", help=f"{LISTED}; `lso-bench list models`.")]
Epochs = Annotated[int | None, typer.Option(min=1, max=WHOLE, help="[default: 30; paper 100]")]
Compile = Annotated[bool, typer.Option("--compile", help="By torch.compile; needs a C++ compiler.")]
Capture = Annotated[bool, typer.Option("--capture", help="The step as a CUDA graph; on a GPU.")]
Precision = Annotated[str, typer.Option(help="Of training: fp32, or bf16 where the machine multiplies it.")]
Data = Annotated[
    str,
    typer.Option(
        parser=plugin, metavar="TEXT", help="A name (`lso-bench list data`), ./file.py, or a folder of images."
    ),
]
Arch = Annotated[str, typer.Option(help="small, paper, conv or ./file.py; settings follow (small:gated=true).")]
TrainSeed = Annotated[int, typer.Option("--seed", min=0, max=SEED, help="Of the training.")]
Draws = Annotated[int, typer.Option(min=0, max=SEED, help="Seed of the measurement.")]
Latent = Annotated[int, typer.Option(min=1, max=LATENT, help="Latent dimensions.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        parser=outside, metavar="PATH", help="Where data sets lie [default: $LSO_BENCH_DATA, else the cache]."
    ),
]
Results = Annotated[
    Path, typer.Option(parser=outside, metavar="PATH", help="Folder of results.", envvar="LSO_BENCH_RESULTS")
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]

Jobs = Annotated[int | None, typer.Option(min=1, help="Runs at the same time [default: by cores and memory].")]
Timeout = Annotated[float | None, typer.Option(min=0.001, help="Seconds of a run; then its status is timeout.")]
Retries = Annotated[int, typer.Option(min=0, max=WHOLE, help="Further tries of a run whose process died.")]
Isolation = Annotated[
    str | None, typer.Option(help="run: a process each; batch: processes for many short runs [default: run].")
]
Memory = Annotated[float | None, typer.Option(min=0, help="GB that a run may take, 0.6 at least [default: its share].")]
Executor = Annotated[str, typer.Option(help="local: processes of this machine; ray: a Ray cluster.")]
Address = Annotated[
    str | None, typer.Option(help="Of the Ray cluster: local (of our own), auto, HOST:PORT, ray://HOST:PORT.")
]
Gpu = Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of a GPU that a run takes.")]


def names(option: str, texts: Sequence[str]) -> list[str]:
    """Return the names in lists with commas, each once, with their settings (`lso_bench.plugins.notation`)."""
    from lso_bench.plugins.notation import parts, unquoted_path

    listed: list[str] = []
    for text in texts:
        if hint := unquoted_path(text):
            raise UsageError(f"--{option} {text!r}: {hint}")
        try:
            listed += parts(text)
        except ValueError as error:
            raise UsageError(f"--{option}: {error}") from error
        if not all(listed):
            raise UsageError(f"--{option} wants names separated by commas, not {text!r}.")
    return list(dict.fromkeys(map(plugin, listed)))


def numbers(option: str, texts: Sequence[str]) -> list[int]:
    """Return the whole numbers in lists with commas, each once, none larger than a seed can be; 0-9 is a range."""
    try:
        parts = [part.strip() for text in texts for part in text.split(",")]
        return list(dict.fromkeys(number for part in parts for number in _range(part)))
    except ValueError as error:
        text = ",".join(texts)
        expected = f"whole numbers from 0 to {SEED}, separated by commas, or ranges as 0-9"
        raise UsageError(f"--{option} wants {expected}, not {text!r}.") from error


def _range(text: str) -> range:
    """Return the whole numbers of "7" or "0-9".

    Raises:
        ValueError: it is neither, or longer than LONGEST_RANGE.
    """
    from lso_bench.plugins.notation import whole

    first, dash, last = text.partition("-")
    low = whole(first.strip(), 0, SEED)
    numbered = range(low, whole(last.strip(), low, SEED) + 1) if dash else range(low, low + 1)
    if len(numbered) > LONGEST_RANGE:
        raise ValueError(text)
    return numbered


def thresholds(option: str, texts: Sequence[str]) -> tuple[float, ...]:
    """Return the thresholds in lists with commas, the largest first."""
    from lso_bench.plugins.notation import real
    from lso_bench.study import file

    try:
        return file.thresholds([real(part.strip()) for text in texts for part in text.split(",")])
    except ValueError as error:
        text = ",".join(texts)
        raise UsageError(f"{option} wants finite numbers from 0 on, separated by commas, not {text!r}.") from error


Strict = Annotated[bool, typer.Option("--strict", help=f"Exit status {INCOMPLETE} if anything is skipped.")]


def check_folder(option: str, path: Path) -> None:
    """Refuse a path that is no folder, before any figure is drawn."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"--{option} wants a folder, and {str(path)!r} is none; give another name.")


def device_of(name: str) -> str:
    """Return the device that a name stands for: cpu or cuda."""
    import torch

    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("No CUDA device here; say --device cpu.")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def check_capture(capture: bool, device: str) -> None:
    """Refuse a CUDA graph on a device that has none."""
    if capture and device != "cuda":
        raise UsageError("--capture wants a CUDA device; leave it out.")


def check_compile(compile: bool, device: str) -> None:
    """Refuse to compile for a CPU where torch cannot: without a C++ compiler, or in a folder with a space.

    Raises:
        UsageError: names the cause and the remedy.
    """
    if not compile or device != "cpu":
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise UsageError("--compile needs a C++ compiler, g++ or $CXX; install one, or leave --compile out.") from error
    if " " in (folder := cache_dir()):
        raise UsageError(
            f"--compile cannot work in {folder!r}, which has a space in its name; set TORCHINDUCTOR_CACHE_DIR to a "
            "folder without one."
        )


def address_of(executor: str, address: str | None) -> str | None:
    """Return the address of the cluster that carries out the runs; None: this machine."""
    if executor not in ("local", "ray"):
        raise unknown("executor", executor, ["local", "ray"])
    if executor == "local" and address:
        raise UsageError("--address is of a Ray cluster; say --executor ray too.")
    return (address or "local") if executor == "ray" else None


def execution_options(runs: int, device: str, data_dir: Path | None, compile: bool, capture: bool, requested):
    """Return the options to carry out `runs` runs."""
    from lso_bench.executors import resources
    from lso_bench.runner.placement import Placement

    if requested.isolation not in (None, "run", "batch"):
        raise unknown("isolation", requested.isolation, ["run", "batch"])
    is_remote = requested.address is not None and device in DEVICES  # the machines of the cluster decide
    target_device = device if is_remote else device_of(device)
    check_capture(capture and target_device != "auto", target_device)
    check_compile(compile, target_device)
    return resources.resolve(runs, Placement(data_dir, target_device, compile, capture), requested)
