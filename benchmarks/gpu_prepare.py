"""Collect what gpu.py needs on a bare machine without a network, in one folder: wheels, and Omniglot's images.

    python benchmarks/gpu_prepare.py FOLDER [--python 3.12]

The wheels are those packages of ours, in the versions that are installed here, that do not commonly come with torch,
botorch and pytest; for Linux on x86-64.
"""

import argparse
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lso_bench.files.paths import data_folder
from lso_bench.vae.datasets import DATASETS

PACKAGES = (  # typer may be there in an older version; it wants pydantic, and that all that follows it
    *("beartype", "cmaes", "platformdirs", "zstandard"),
    *("typer", "pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions"),
)
PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in (28, 27, 17)] + ["manylinux2014_x86_64"]  # pip matches each exactly


def fetch(folder: Path, python: str) -> None:
    """Download the wheels for another machine's Python.

    Raises:
        CalledProcessError: one of them is not to be had.
    """
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    options += [word for platform in PLATFORMS for word in ("--platform", platform)]
    packages = [f"{name}=={version(name)}" for name in PACKAGES]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "-d", str(folder), *packages], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="version of Python on that machine")
    typed = parser.parse_args()
    typed.folder.mkdir(parents=True, exist_ok=True)
    fetch(typed.folder, typed.python)
    np.savez_compressed(typed.folder / "omniglot-28.npz", images=DATASETS.build("omniglot").samples(data_folder()))
    size = sum(path.stat().st_size for path in typed.folder.iterdir())
    print(f"{typed.folder}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
