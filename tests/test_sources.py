"""Sources of a plugin: its file and what it imports from beside it, and nothing else."""

import hashlib
import sys
from pathlib import Path

import pytest

from lso_bench.plugins import sources
from lso_bench.plugins.discovery import module_at


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


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two folders on Python's path, of which it sees the first first."""
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (second, first):
        place.mkdir()
        monkeypatch.syspath_prepend(str(place))
    yield first, second
    for name in [n for n, m in sys.modules.items() if str(tmp_path) in str(getattr(m, "__file__", ""))]:
        del sys.modules[name]


ELSEWHERE = {
    "file": ("import net_of_mine", {"net_of_mine": "x = 1"}, {"net_of_mine": "x = 2"}),
    "name": ("from net_of_mine import x", {"net_of_mine": "x = 1"}, {"net_of_mine": "x = 2"}),
    "import that fails": ("from net_of_mine import y", {"net_of_mine": "x = 1"}, {"net_of_mine": "y = 2"}),
    "module beside that would not import": (
        "import net_of_mine",
        {"net_of_mine": "x = 1"},
        {"net_of_mine": "import nowhere_to_be_found"},
    ),
    "late import": ("def f():\n    import net_of_mine", {"net_of_mine": "x = 1"}, {"net_of_mine": "x = 2"}),
    "package": ("import kit_of_mine", {"kit_of_mine__in____init__": ""}, {"kit_of_mine__in____init__": "x = 2"}),
    "module of a module": (
        "import chain_of_mine",
        {"net_of_mine": "x = 1"},
        {"chain_of_mine": "import net_of_mine", "net_of_mine": "x = 2"},
    ),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_module_that_python_takes_from_elsewhere_is_refused_with_its_path(two, case):
    text, elsewhere, beside = ELSEWHERE[case]
    first, second = two
    written(first, **elsewhere)
    plugin = written(second, plugin=text, **beside)
    with pytest.raises(ValueError, match=rf"Python took {first}/\w+.*, not the one beside it; rename .* {second}"):
        module_at(plugin)


def test_module_of_the_same_code_elsewhere_is_taken(two):
    first, second = two
    files = {"net_of_mine": "x = 1", "kit_of_mine__in____init__": "", "kit_of_mine__in__a": "y = 2"}
    written(first, **files)
    module = module_at(written(second, plugin="from net_of_mine import x\nfrom kit_of_mine.a import y", **files))
    assert (module.x, module.y) == (1, 2)


def test_folder_of_data_and_file_named_as_a_standard_module_are_no_modules(two):
    first, second = two
    written(first, net_of_mine="x = 1")
    (second / "net_of_mine").mkdir()
    plugin = written(second, plugin="import random\nimport net_of_mine", random="bad")
    assert module_at(plugin).net_of_mine.x == 1


def test_a_module_of_a_package_counts_by_its_package(folder):
    files = {"pack__in____init__": "", "pack__in__helper": "x = 1", "pack__in__deep": "", "other": ""}
    written(folder, **files)
    plugin = folder / "pack" / "task.py"
    plugin.write_text("from . import helper\nfrom pack.deep import x\nimport other, pack_of_others")
    assert [*sources.beside(plugin, plugin.read_bytes(), "pack")] == ["__init__.py", "deep.py", "helper.py"]


@pytest.mark.parametrize("name", sorted((Path(__file__).parents[1] / "lso_bench" / "searchers").glob("*.py")))
def test_a_plugin_of_this_program_is_its_file(name):
    assert sources.whole(name, name.read_bytes(), "lso_bench.searchers") == name.read_bytes()
