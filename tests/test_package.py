"""Plugins of a package that is built, installed into a fresh environment and met on the command line there."""

import json
import os
import site
import subprocess
import sys
import venv
from pathlib import Path

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


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a new environment with the package; what is heavy it reads from the present one."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "project" / "outside").mkdir(parents=True)
    (folder / "project" / "pyproject.toml").write_text(PROJECT)
    for name, text in (("__init__", ""), ("ink", INK), ("shrinking", SHRINKING), ("sparse", SPARSE)):
        (folder / "project" / "outside" / f"{name}.py").write_text(text)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--isolated"]
    offline = ["--no-index", "--no-deps"]
    called([*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, folder / "project"])
    venv.create(folder / "env", with_pip=False)
    made = folder / "env" / "bin" / "python"
    called([*pip, f"--python={made}", "install", *offline, *folder.glob("*.whl")])
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (packages / "present.pth").write_text("\n".join([str(ROOT), *site.getsitepackages()]))
    return made


def called(command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done


def program(python, *arguments, code="from lso_bench.cli import main; main()"):
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [python, "-c", code, *arguments], capture_output=True, text=True, cwd=python.parent, env=kept, timeout=200
    )


def test_task_of_an_installed_package_is_listed(python):
    done = program(python, "list", "tasks")
    assert done.returncode == 0, done.stderr
    assert "outer_ink from outside.ink:Ink" in " ".join(done.stdout.split()) and "glyphs50" in done.stdout


def test_task_of_an_installed_package_keeps_its_promises(python):
    done = program(python, "check-task", "outer_ink:target=0.3", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {f["state"] for f in json.loads(done.stdout)} == {"ok", "not made"}


def test_searcher_and_objective_of_an_installed_package_are_built(python):
    code = "from lso_bench import plugins; from vae import zoo; import outside; print(outside.__file__)\n"
    code += "print(plugins.build('searcher', 'outer_shrinking:sigma=0.5'), zoo.objective('outer_sparse:pull=0.3'))"
    done = program(python, code=code)
    assert done.returncode == 0, done.stderr
    place, made = done.stdout.splitlines()
    assert Path(place).is_relative_to(python.parents[1])
    assert made == "Shrinking(sigma=0.5) Sparse(pull=0.3)"
