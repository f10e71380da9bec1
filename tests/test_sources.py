"""Sources of a plugin: its file and what it imports from beside it, and nothing else."""

import hashlib
import sys
from pathlib import Path

import pytest

from lso_bench.plugins import sources


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in which Python finds modules."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [n for n, m in sys.modules.items() if str(tmp_path) in str(getattr(m, "__file__", ""))]:
        del sys.modules[name]


def written(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "plugin.py"


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "import random, math, os.path",
        "from lso_bench import Task\nfrom lso_bench.plugins.settings import at_least\nimport torch",
        "from . import nothing",
        "import nowhere_to_be_found",
        "def f(:",
        "x = '\\0'",
    ],
)
def test_a_plugin_that_imports_nothing_from_beside_it_is_its_file(folder, text):
    plugin = written(folder, plugin=text, random="bad", helper="y = 2", vae="z = 3")
    assert sources.digest(plugin) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import helper", ["helper.py"]),
        ("from helper import x", ["helper.py"]),
        ("def f():\n    import helper as h", ["helper.py"]),
        ("try:\n    import helper\nexcept ImportError:\n    pass", ["helper.py"]),
        ("import chain", ["chain.py", "helper.py"]),
        ("import kit.a", ["kit/__init__.py", "kit/a.py", "kit/b.py"]),
        ("from kit import a", ["kit/__init__.py", "kit/a.py", "kit/b.py"]),
        ("import kit", ["kit/__init__.py"]),
        ("import bare.a", ["bare/a.py"]),
        ("import circle", ["circle.py"]),
    ],
)
@pytest.mark.parametrize("imported", [False, True])
def test_what_is_imported_from_beside_counts(folder, text, names, imported):
    files = {"helper": "x = 1", "chain": "from helper import x", "circle": "import plugin", "bare__in__a": ""}
    files |= {"kit__in____init__": "", "kit__in__a": "from .b import y", "kit__in__b": "y = 1"}
    plugin = written(folder, plugin=text, **files)
    if imported:
        exec(text, {"__name__": "plugin"})
    before = sources.digest(plugin)
    assert [*sources.beside(plugin, plugin.read_bytes())] == names
    for name in names:
        (folder / name).write_text((folder / name).read_text() + "\n# edited")
        after = sources.digest(plugin)
        assert after != before
        before = after


def test_what_python_takes_from_elsewhere_does_not_count(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.syspath_prepend(str(elsewhere))
    written(elsewhere, helper="x = 1")
    plugin = written(tmp_path, plugin="import helper", helper="x = 2")
    assert sources.beside(plugin, plugin.read_bytes()) == {}


def test_a_module_of_a_package_counts_by_its_package(folder):
    files = {"pack__in____init__": "", "pack__in__helper": "x = 1", "pack__in__deep": "", "other": ""}
    written(folder, **files)
    plugin = folder / "pack" / "task.py"
    plugin.write_text("from . import helper\nfrom pack.deep import x\nimport other, pack_of_others")
    assert [*sources.beside(plugin, plugin.read_bytes(), "pack")] == ["__init__.py", "deep.py", "helper.py"]


@pytest.mark.parametrize("name", sorted((Path(__file__).parents[1] / "lso_bench" / "searchers").glob("*.py")))
def test_a_plugin_of_this_program_is_its_file(name):
    assert sources.whole(name, name.read_bytes(), "lso_bench.searchers") == name.read_bytes()
