"""Side effects of a plugin under test: those of a library on its first import are not the plugin's."""

import importlib
import warnings

import pytest

from lso_bench.testing.promise import UnmetRequirementError
from lso_bench.testing.side_effects import Watch


def watched(*actions):
    watch = Watch()
    for action in actions:
        with watch.during("search"):
            action()
    return watch


def test_filters_that_libraries_set_when_they_are_first_imported_are_not_the_plugins(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    names = [f"library_that_sets_filters_{i}" for i in range(3)]
    for name in names:
        (tmp_path / f"{name}.py").write_text(f"import warnings\nwarnings.filterwarnings('once', '{name}')\n")
    watched(*(lambda name=name: importlib.import_module(name) for name in names)).check()


def test_filters_that_the_plugin_sets_again_and_again_are_named():
    with pytest.raises(UnmetRequirementError, match="search changes warning filters"):
        watched(*(lambda i=i: warnings.filterwarnings("once", f"message {i}") for i in range(3))).check()
