"""Who imports whom: downwards only, and nothing heavy before a command runs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lso_bench

ROOT = Path(__file__).parents[1]
ORDER = [  # each may import what stands after it, never what stands before
    ["cli"],
    ["commands"],
    ["catalogue", "doctor", "example", "report", "testing", "traverse"],
    ["latent_search", "study_file"],
    ["reproduce"],
    ["against_paper"],
    ["evaluation", "training"],
    ["pictures", "verdict"],
    ["descent", "figures"],
    ["compare", "completeness", "estimate", "executors", "integrity", "paper", "progress"],
    ["rerun"],
    ["study"],
    ["caveats", "collapse", "convergence", "index", "paired", "standing", "twins", "variance"],
    ["sensitivity"],
    ["archive", "searches"],
    ["selection", "store", "run"],
    ["run_folder"],
    ["columns", "reading"],
    ["drive"],
    ["rules", "running", "diverged"],
    ["beside", "identity", "loaded", "older", "record", "plugins", "spelling", "starts"],
    ["answers", "turns"],
    ["calls"],
    ["spec", "search", "space", "task", "stopping"],
    [
        "alive",
        "canvas",
        "captured",
        "region",
        "clock",
        "bootstrap",
        "colours",
        "intervals",
        "process",
        "ranks",
        "streams",
        "surrogate",
    ],
    ["bounded", "errors", "finding", "limits", "numbers", "text", "units"],
]
LEVEL = {name: i for i, names in enumerate(ORDER) for name in names}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    named = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    named |= {f"{n.module}.{a.name}" for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
    return named | {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources("vae"), ids=lambda p: p.name)
def test_vae_knows_nothing_of_the_harness(path):
    assert not [m for m in imported(path) if m.split(".")[0] in ("lso_bench", "tasks", "results", "tests")]


@pytest.mark.parametrize("path", sources("tasks"), ids=lambda p: p.name)
def test_task_needs_only_the_harness_public_names(path):
    own = [m for m in imported(path) if m.split(".")[0] in ("lso_bench", "vae", "results", "tests")]
    assert set(own) <= {"lso_bench", *(f"lso_bench.{name}" for name in lso_bench.__all__)}


@pytest.mark.parametrize("path", sources("lso_bench"), ids=lambda p: str(p.relative_to(ROOT / "lso_bench")))
def test_harness_imports_downwards(path):
    own = path.relative_to(ROOT / "lso_bench").parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for module in imported(path):
        parts = module.split(".")
        assert parts[0] not in ("tasks", "results", "tests")
        if parts[0] == "lso_bench" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != own:
            assert LEVEL[parts[1]] >= LEVEL[own], f"{own} imports {module}"


def test_every_module_has_its_level():
    modules = {p.name.removesuffix(".py") for p in (ROOT / "lso_bench").iterdir() if p.name != "__pycache__"}
    assert modules - {"__init__"} == set(LEVEL)


def test_help_imports_nothing_heavy():
    heavy = "torch", "pandas", "numpy", "matplotlib", "scipy", "botorch"
    code = f"import sys, lso_bench.cli; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "[]\n"
