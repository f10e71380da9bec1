"""Build and install the program and a package with plugins into a fresh environment."""

import json
import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from examples import INK, SHRINKING, SPARSE

ROOT = Path(__file__).parents[1]
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "outside"
version = "1.0"

[project.entry-points."lso_bench.tasks"]
outer_ink = "outside.ink:Ink"

[project.entry-points."lso_bench.searchers"]
outer_shrinking = "outside.shrinking:Shrinking"

[project.entry-points."lso_bench.objectives"]
outer_sparse = "outside.sparse:Sparse"

[tool.setuptools]
packages = ["outside"]
"""


PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--isolated"]
OFFLINE = ["--no-index", "--no-deps"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Wheels of this program and of the package."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in ("lso_bench", "vae", "tasks"):
        shutil.copytree(ROOT / name, folder / "ours" / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "ours")
    (folder / "project" / "outside").mkdir(parents=True)
    (folder / "project" / "pyproject.toml").write_text(PROJECT)
    for name, text in (("__init__", ""), ("ink", INK), ("shrinking", SHRINKING), ("sparse", SPARSE)):
        (folder / "project" / "outside" / f"{name}.py").write_text(text)
    for source in ("ours", "project"):
        called([*PIP, "wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", folder, folder / source])
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheels, tmp_path_factory):
    """The interpreter of a new environment with both; what is heavy it reads from the present one."""
    folder = tmp_path_factory.mktemp("outside")
    venv.create(folder / "env", with_pip=False)
    interpreter = folder / "env" / "bin" / "python"
    called([*PIP, f"--python={interpreter}", "install", *OFFLINE, *wheels])
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (packages / "present.pth").write_text("\n".join(site.getsitepackages()))
    return interpreter


def called(command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done


def program(python, *arguments, code="from lso_bench.cli import main; main()", folder=None):
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LSO_BENCH_CHECKPOINTS")}
    settings = {"cwd": folder or python.parent, "env": kept, "timeout": 200}
    return subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, **settings)


def test_wheel_holds_one_package_its_checkpoints_and_its_types(wheels):
    (ours,) = (w for w in wheels if w.name.startswith("lso_bench"))
    files = ZipFile(ours).namelist()
    assert {f.split("/")[0].split("-")[0] for f in files} == {"lso_bench"}
    weights = {f"lso_bench/vae/checkpoints/{p.name}" for p in (ROOT / "vae" / "checkpoints").iterdir()}
    assert {"lso_bench/py.typed", "lso_bench/tasks/ink.py", "lso_bench/vae/model.py"} | weights <= {*files}


def test_installed_program_runs_beside_files_of_the_user_with_names_of_ours(python, tmp_path):
    for name in ("vae", "tasks", "search", "results"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')")
    code = "import lso_bench; from lso_bench import Task; from lso_bench.testing import check_task; check_task('ink')\n"
    code += "print(lso_bench.__file__); from lso_bench.cli import main; main()"
    run = ["run", "--model", "vae", "--task", "glyphs50:instances=2", "--budget", "2", "--searcher", "sobol"]
    done = program(python, *run, "--starts", "random", "--no-pictures", "--quiet", code=code, folder=tmp_path)
    assert done.returncode == 0 and "executed" not in done.stderr, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(python.parents[1])
    assert [*tmp_path.glob("results/runs/*/*/result.json")]


def test_task_of_an_installed_package_is_listed(python):
    done = program(python, "list", "tasks")
    assert done.returncode == 0, done.stderr
    assert "outer_ink from outside.ink:Ink" in " ".join(done.stdout.split()) and "glyphs50" in done.stdout


def test_task_of_an_installed_package_keeps_its_promises(python):
    done = program(python, "check-task", "outer_ink:target=0.3", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {f["state"] for f in json.loads(done.stdout)} == {"ok", "not made"}


def test_searcher_and_objective_of_an_installed_package_are_built(python):
    code = "from lso_bench.search import SEARCHERS; from lso_bench.vae.objectives import OBJECTIVES\n"
    code += "import outside; print(outside.__file__)\n"
    code += "print(SEARCHERS.build('outer_shrinking:sigma=0.5'), OBJECTIVES.build('outer_sparse:pull=0.3'))"
    done = program(python, code=code)
    assert done.returncode == 0, done.stderr
    place, objects = done.stdout.splitlines()
    assert Path(place).is_relative_to(python.parents[1])
    assert objects == "Shrinking(sigma=0.5) Sparse(pull=0.3)"
