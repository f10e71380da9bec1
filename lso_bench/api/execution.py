"""Options to carry out runs: device, compiler and resources, checked before they begin."""

from pathlib import Path

from lso_bench.errors import UsageError, unknown

DEVICES = ["auto", "cpu", "cuda"]


def device_of(name: str) -> str:
    """Return the device that a name stands for: cpu or cuda."""
    import torch

    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("No CUDA device here; wanted device cpu (--device cpu).")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def check_capture(capture: bool, device: str) -> None:
    """Refuse a CUDA graph on a device that has none."""
    if capture and device != "cuda":
        raise UsageError("To capture CUDA graphs (--capture) wants a CUDA device; leave it out.")


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
        raise UsageError(
            "To compile (--compile) needs a C++ compiler, g++ or $CXX; install one, or do not compile."
        ) from error
    if " " in (folder := cache_dir()):
        raise UsageError(
            f"torch.compile (--compile) cannot work in {folder!r}, which has a space in its name; set "
            "TORCHINDUCTOR_CACHE_DIR to a folder without one."
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

    if requested.isolation not in (None, "run", "batch", "none"):
        raise unknown("isolation", requested.isolation, ["run", "batch", "none"])
    is_remote = requested.address is not None and device in DEVICES  # the machines of the cluster decide
    target_device = device if is_remote else device_of(device)
    check_capture(capture and target_device != "auto", target_device)
    check_compile(compile, target_device)
    return resources.resolve(runs, Placement(data_dir, target_device, compile, capture), requested)
