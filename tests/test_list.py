"""The lists of plugins: quick from the cache, and never of an earlier state."""

import json
import os

import pytest
from examples import INK
from test_plugins import publish

from lso_bench.commands import catalogue
from lso_bench.commands.catalogue import GROUPS


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of kept lists, a new one."""
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lists"


@pytest.mark.parametrize("kind", GROUPS)
def test_kept_list_is_the_one_that_was_collected(cache, kind, monkeypatch):
    collected = catalogue.catalogue(kind)
    monkeypatch.setattr(catalogue, "_collect", lambda kind: pytest.fail("the list was kept"))
    assert catalogue.catalogue(kind) == collected and len(collected.names) > 2


def test_kept_list_is_shown_without_torch(cache, call_fresh, monkeypatch):
    shown = call_fresh("list", "tasks").stdout
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    again = call_fresh("list", "tasks")
    assert again.stdout == shown and "omniglot50" in shown and " torch\n" not in again.stderr


def test_new_plugin_of_a_package_is_listed_at_once(cache, tmp_path, monkeypatch):
    assert "mine" not in catalogue.catalogue("tasks").names
    publish(tmp_path, monkeypatch, INK, "tasks", "mine = my_tasks:Ink")
    assert catalogue.catalogue("tasks").names["mine"] == "from my_tasks:Ink"


def test_list_is_collected_anew_once_a_package_is_installed_or_removed(cache, tmp_path, monkeypatch):
    (packages := tmp_path / "site-packages").mkdir()
    os.utime(packages, (0, 0))
    monkeypatch.syspath_prepend(packages)
    collected, faulty = catalogue.catalogue("searchers"), catalogue.Catalogue({}, {"cmaes": "does not import"})
    monkeypatch.setattr(catalogue, "_collect", lambda kind: faulty)
    assert catalogue.catalogue("searchers") == collected
    (packages / "cmaes-1.0.dist-info").mkdir()
    assert catalogue.catalogue("searchers") == faulty


def test_list_of_models_names_the_checkpoints_of_the_default_networks_of_images_and_of_texts(cache):
    assert {"expressions", "omniglot", "glyphs"} <= {*catalogue.trained("vae")[14:-1].split(", ")}


def test_a_list_names_only_settings_that_a_text_can_set(cache):
    assert "kernels" not in catalogue.catalogue("architectures").names["small"]


@pytest.mark.parametrize("content", ["", "[]", '{"state": 3}', '{"state": "STATE", "names": ["adam"]}', "\0"])
def test_damaged_list_is_collected_anew(cache, content):
    collected = catalogue.catalogue("searchers")
    state = json.loads((cache / "searchers.json").read_text())["state"]
    (cache / "searchers.json").write_text(content.replace("STATE", state))
    assert catalogue.catalogue("searchers") == collected


def test_faulty_plugin_is_named_each_time(cache, tmp_path, monkeypatch):
    for package in ("ones", "twos"):
        publish(tmp_path, monkeypatch, INK, "tasks", f"mine = {package}:Ink")
    for _ in range(2):
        assert "published by several packages" in catalogue.catalogue("tasks").faults["mine"]
