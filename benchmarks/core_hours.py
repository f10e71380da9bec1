"""Count the core-hours that the shipped results took: trainings of their models, and searches.

    python benchmarks/core_hours.py

A training counts the median of its epochs' seconds for each epoch, because some waited for other work on the machine. A
search counts its seconds times its threads, which is more than it took where it shared a core. A run that lies in two
folders counts in the first.
"""

from pathlib import Path
from statistics import median

import lso_bench as lb
from lso_bench.vae.checkpoint import read
from lso_bench.vae.trained_model import SHIPPED

RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    """Print one line of the trainings and one of each folder of results."""
    trainings = [read(path)[1] for path in sorted(SHIPPED.glob("*-d[0-9]*-s*.safetensors"))]
    seconds = [median(e["seconds"] for e in t["history"]) * t["epochs"] * t["threads"] for t in trainings]
    print(f"{len(trainings)} trainings: {sum(seconds) / 3600:.1f} core-hours")
    counted: list[str] = []
    for folder in sorted(RESULTS.glob("*/runs")):
        runs = lb.load(folder.parent).runs
        runs = runs[~runs["key"].isin(counted)]
        counted += runs["key"].tolist()
        hours = (runs["seconds.total"] * runs["versions.threads"]).sum() / 3600
        print(f"{folder.parent.name}: {len(runs)} runs, {hours:.1f} core-hours")


if __name__ == "__main__":
    main()
