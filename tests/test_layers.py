"""Imports between packages: downwards only, and nothing heavy before a command runs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lso_bench

ROOT = Path(__file__).parents[1]
PACKAGES = [  # each may import what stands in a row after its own, and nothing of its row or before
    ["cli"],
    ["commands"],
    ["api"],
    ["report"],
    ["paper", "testing"],
    ["analysis", "executors", "models"],
    ["study"],
    ["doctor", "progress"],
    ["runner"],
    ["plotting", "searchers", "store", "tasks"],
    ["process", "record", "search"],
    ["limits", "spec", "streams", "task"],
    ["vae"],
    ["molecules"],
    ["plugins"],
    ["files", "run_settings"],
    ["bounds", "errors"],
]
INSIDE = {  # likewise the modules of a package
    "analysis": [
        ["conditions", "curves"],
        ["comparison"],
        ["best_texts", "caveats", "unmeasured", "unpaired", "variance"],
        ["collapse", "convergence", "duplicates", "groups", "paired"],
        ["start_sensitivity"],
        ["bootstrap", "overlap", "rank_correlation", "table"],
        ["fields", "intervals", "rank_tests", "united"],
    ],
    "executors": [
        ["local", "ray_cluster"],
        ["pool", "ray_workers"],
        ["fork_server", "ray_connection", "remote_worker", "serial"],
        ["parent_death", "resources", "socket_names", "worker"],
    ],
    "report": [
        ["html_report", "latex_table", "summary"],
        ["html_answers"],
        ["full_answers"],
        ["answers", "html_overview", "html_texts", "latex_matrix", "tables"],
        ["export", "figure_files", "measurements", "paired_tables", "paper_latent_search", "paper_tables"],
        ["convergence_tables", "loss_tables", "run_tables", "start_tables", "text_tables"],
        ["row_heads"],
        ["cells", "findings", "html_images", "renderers", "section_figures"],
        ["figures"],
        ["contests"],
        ["frames", "paper_files", "provenance", "sections", "svg", "table", "trainings"],
    ],
    "store": [
        ["archive", "index"],
        ["unpack"],
        ["store"],
        ["encoding", "results_folder"],
        ["run_folder"],
        ["columns", "heartbeat", "schema"],
        ["process_identity", "result_files"],
    ],
}


def levels(rows: list[list[str]]) -> dict[str, int]:
    return {name: i for i, names in enumerate(rows) for name in names}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    named = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    named |= {f"{n.module}.{a.name}" for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
    return named | {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources("vae"), ids=lambda p: p.name)
def test_vae_knows_nothing_of_the_harness_but_what_lies_below_it(path):
    ours = [m for m in imported(path) if m.split(".")[0] in ("lso_bench", "vae", "tasks", "results", "tests")]
    below = "vae", "molecules", "plugins", "files", "bounds", "errors"
    assert all(m.startswith(tuple(f"lso_bench.{name}" for name in below)) for m in ours)


@pytest.mark.parametrize("path", sources("tasks"), ids=lambda p: p.name)
def test_task_needs_only_the_harness_public_names_and_the_tasks_that_it_is_made_of(path):
    modules = [m for m in imported(path) if m.split(".")[0] in ("lso_bench", "vae", "tasks", "results", "tests")]
    assert {m for m in modules if not m.startswith("lso_bench.tasks.")} <= {
        "lso_bench",
        *(f"lso_bench.{name}" for name in lso_bench.__all__),
    }


@pytest.mark.parametrize("package", ["", *INSIDE])
def test_harness_imports_downwards(package):
    folder, level = ROOT / "lso_bench" / package, levels(INSIDE.get(package, PACKAGES))
    above = ["lso_bench", *package.split()]
    for path in sorted(folder.rglob("*.py")):
        importer = path.relative_to(folder).parts[0].removesuffix(".py")
        for module in imported(path) if importer != "__init__" else ():
            *parents, name = module.split(".")[: len(above) + 1]
            assert module.split(".")[0] not in ("vae", "tasks", "results", "tests")
            if parents == above and name in level and name != importer:
                assert level[name] > level[importer], f"{importer} imports {module}"


@pytest.mark.parametrize("package", ["", *INSIDE])
def test_every_module_has_its_level(package):
    entries = [p for p in (ROOT / "lso_bench" / package).iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    rows = INSIDE.get(package, PACKAGES)
    assert {p.stem for p in entries} - {"__init__"} == set(levels(rows))


def test_a_dozen_files_at_most_lie_beside_the_packages():
    assert len([*(ROOT / "lso_bench").glob("*.py")]) <= 12


def test_help_imports_nothing_heavy():
    heavy = "torch", "pandas", "numpy", "matplotlib", "scipy", "botorch"
    code = f"import sys, lso_bench.cli; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "[]\n"
