"""Summary of a day on a GPU so far, in words, and of what is left to do."""

from collections.abc import Iterator

from gpu_packing import described, is_finished
from gpu_report import Places, Setting, read
from gpu_rows import FLOORS, PARTS, Entry
from gpu_searches import missing

from lso_bench.store.store import Store


def summary(places: Places, setting: Setting) -> str:
    """Tests, rows, trainings, searches, and what is left."""
    report, remains = read(places), left(places, setting)
    tests = {k: v for k, v in report.get("tests", {}).items() if k != "output"}
    lines = ["tests: " + ", ".join(f"{k} {v}" for k, v in tests.items())]
    lines += _rows(report.get("rows", {}))
    lines += _trainings(places, setting)
    lines += [f"{r.spec.title}: {r.status}, steps to {r.spec.thresholds}: {r.joint}" for r in Store(places.results)]
    return "\n".join([*lines, f"left: {', '.join(remains) or 'nothing'}"])


def left(places: Places, setting: Setting) -> list[str]:
    """Parts that another call would do."""
    report = read(places)
    unfinished = [n for n in setting.models if not is_finished(places.packed(setting.training(n)))]
    return [
        *(["tests"] if "status" not in report.get("tests", {}) else []),
        *(["rows"] if "all" not in report.get("rows", {}) else []),
        *(f"training of {n}" for n in unfinished),
        *(f"search in {n}" for n in dict.fromkeys([*missing(places, setting), *unfinished])),
    ]


def _rows(rows: dict[str, Entry]) -> Iterator[str]:
    """A line a row: milliseconds, times as fast as the yardstick, times its floor."""
    for part in PARTS:
        floors = {
            n[-4:]: max(r["arithmetic"], r["memory"])
            for n, r in rows.items()
            if n.startswith(f"{part}: {FLOORS}") and "memory" in r
        }
        for precision, least in floors.items():
            yield f"{part}: {FLOORS}, {precision}: {1e3 * least:.2f} ms"
        for name, r in rows.items():
            if name.startswith(part) and "error" in r:
                yield f"{name}: {r['error'].splitlines()[0]}"
            elif name.startswith(part) and "median" in r:
                by = f", {r['median'] / floors[r['precision']]:.1f} times its floor" if r["precision"] in floors else ""
                yield f"{name}: {1e3 * r['median']:.2f} ms, yardstick by it {r['yardstick'] / r['median']:.2f}{by}"


def _trainings(places: Places, setting: Setting) -> Iterator[str]:
    for name in setting.models:
        path = places.packed(setting.training(name))
        if path.is_file():
            header = described(path)
            nelbo = (header.get("metrics") or {}).get("nelbo")
            yield f"{name}: {header.get('epochs', 0)} of {setting.epochs} epochs, -ELBO {nelbo}"
