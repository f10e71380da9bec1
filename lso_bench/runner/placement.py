"""Machine settings of a run, and the versions of code and machine."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import lso_bench


@dataclass(frozen=True)
class Placement:
    """Machine settings of a run, which are not part of its identity."""

    data_dir: Path | None = None  # None: `lso_bench.vae.data.data_folder()`
    device: str = "cpu"
    compile: bool = False  # compile the decoder by torch.compile
    capture: bool = False  # decode and score as a CUDA graph; GPU only


ON_CPU = Placement()


def versions_of(placement: Placement) -> dict[str, Any]:
    """Return the versions of code and machine, for the record."""
    return {
        "lso_bench": lso_bench.__version__,
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(placement.device) if placement.device.startswith("cuda") else "cpu",
        "compiled": placement.compile,
        "captured": placement.capture,
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
    }
