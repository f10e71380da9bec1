"""Names that mean harm, in results, studies and plugins: shown as they are, run by nobody, no part of any path."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made import searched

from lso_bench.analysis.comparison import compare as comparison_of
from lso_bench.api.output import LONGEST, out, say
from lso_bench.commands.compare import compare
from lso_bench.errors import LsoBenchError
from lso_bench.plotting import html_page
from lso_bench.report import export, tables
from lso_bench.report.figure_files import pictures
from lso_bench.report.html_report import Results, html
from lso_bench.search import SEARCHERS
from lso_bench.store.store import Store
from lso_bench.study import file as study_file
from lso_bench.study.grid import plan
from lso_bench.study.lookup import named_model
from lso_bench.task import TASKS
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.trained_model import Model

HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "formula": "=cmd|' /C calc'!A0",
    "path": "../../x",
    "long": "x" * 10_000,
    "target": "{_target_: os.system}",
    "yaml": "!!python/object/apply:os.system ['touch owned']",
    "escape codes": "\x1b]0;owned\x07\x1b[31mred\x9b2J",
    "rich": "[red]x[/red][link=file:///etc]y[/link]",
    "mathematics": "$\\frac{$",
    "line": "a\nb\rc",
    "null": "a\x00b",
    "turned": "a\u202eb",
}
NO_TEXT = "\udcff"  # half a character: no UTF-8
OBEYED = set("\x1b\x07\x9b\r\x00\u202e")


def hostile_run(name):
    """A run whose every name is this."""
    run = searched({name: [[9.0, 5.0], [8.0, 6.0]]}, model=Model(name, name), task=name, searcher=name, region=name)
    return replace(run, tensors=run.tensors | {"decoded": torch.zeros(2, 1, 28, 28, dtype=torch.uint8)})


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_results_with_hostile_names_are_shown_and_obeyed_by_nobody(tmp_path, capsys, name):
    store = Store(tmp_path / "r")
    store.add(hostile_run(name))
    compare([store.folder])
    shown, stderr = capsys.readouterr()
    assert not OBEYED & set(shown + stderr) and not stderr
    if name.isascii() and name.isprintable() and len(name) < 60:
        assert name.split("/")[-1][:8] in shown


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_tables_for_other_programs_hold_no_formula_and_no_escape_code(name):
    run = hostile_run(name)
    comparison = comparison_of([run], lambda _: Files(run))
    text = export.as_csv(comparison)
    text.encode()
    assert not OBEYED & set(text)
    assert not [c for row in csv.reader(io.StringIO(text)) for c in row if c.startswith(("=", "@", "+"))]
    export.as_json(comparison).encode()


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_texts_for_people_hold_no_character_that_is_obeyed(name):
    run = hostile_run(name)
    comparison = comparison_of([run], lambda _: Files(run))
    html_page = html(Results([], [run], lambda _: Files(run), comparison))
    for text in (tables.markdown(comparison), tables.latex(comparison), html_page):
        assert not OBEYED & set(text)
    assert "<script>alert" not in html_page


class Files:
    """Files of a run, from the record itself."""

    def __init__(self, record):
        self.trace, self.costs, self.tensors = (lambda _, v=v: v for v in (record.trace, record.costs, record.tensors))


def test_pictures_stay_in_their_folder(tmp_path, checkpoint):
    name = "".join(HOSTILE[kind] for kind in ("path", "mathematics", "escape codes", "null", "long"))
    store, run = Store(tmp_path / "r"), hostile_run(name[:4000])
    store.add(run)
    written = pictures(store, [run], {run.spec.key: checkpoint}, comparison_of([run], lambda _: store))
    assert all(p.parent == store.folder / "pictures" and p.name.isprintable() for p in written)
    assert len({p.name for p in written}) == len(written) > 2
    assert {p.parent.name for p in tmp_path.rglob("*.png")} == {"pictures"}


def test_run_whose_names_are_no_text_is_skipped_by_name(tmp_path):
    store, run = Store(tmp_path / "r"), hostile_run("x")
    store.add(run)
    (result,) = store.folder.glob("runs/*/*/result.json")
    result.write_text(result.read_text().replace('"x"', json.dumps(NO_TEXT)))
    assert [*store] == [] and len(store.skipped) == 1 and run.spec.key in store.skipped[0]


@pytest.mark.parametrize("name", [*HOSTILE.values(), NO_TEXT], ids=[*HOSTILE, "no text"])
def test_hostile_names_are_refused_where_something_is_looked_up(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for look_up in (
        lambda: TASKS.build(name),
        lambda: SEARCHERS.build(name),
        lambda: TASKS.build(f"./{name}.py"),
        lambda: TASKS.build(f"ink:{name}={name}"),
        lambda: DATASETS.build(name),
        lambda: DATASETS.build(f"./{name}.py"),
        lambda: named_model(name, "glyphs", "small", 32, 0),
        lambda: named_model(f"./{name}.py", "glyphs", "small", 32, 0),
        lambda: named_model("vae", "glyphs", name, 32, 0),
    ):
        with pytest.raises(LsoBenchError):
            look_up()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_no_name_is_a_path_in_the_name_of_a_checkpoint(name):
    file = Model(name, name, name).file
    assert Path(file).name == file and file.isprintable()


@pytest.mark.parametrize("text", ["_target_ = 'os.system'", "models = !!python/name:os.system", 'models = ["{a}"]'])
def test_study_with_hostile_words_is_refused(tmp_path, text):
    (tmp_path / "s.toml").write_text(f'{text}\ntasks = ["ink"]')
    with pytest.raises(LsoBenchError):
        plan(*study_file.read(tmp_path / "s.toml"))


def test_page_shows_a_hostile_title_as_text(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    text = html_page.page(tmp_path / "p.html", HOSTILE["markup"], [tmp_path / "a.png"]).read_text()
    assert "<script" not in text and "&lt;script&gt;" in text


def test_messages_are_short_and_plain(capsys):
    say(HOSTILE["escape codes"] + HOSTILE["long"])
    out().print(HOSTILE["escape codes"])
    shown, stderr = capsys.readouterr()
    assert not OBEYED & set(shown + stderr) and len(stderr) < LONGEST + 10 and "red" in shown
