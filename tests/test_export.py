"""Results as a table in a file: the same numbers in each format, and no text that a spreadsheet would run."""

import csv
import sys
from dataclasses import replace

import openpyxl
import pandas as pd
import pytest
from made import searched

from lso_bench.commands.export import export
from lso_bench.errors import UnusableError, UsageError
from lso_bench.files.sanitize import neutral, printable
from lso_bench.report import frames
from lso_bench.store.store import Store
from lso_bench.vae.trained_model import Model

WAYS = {"random": [[9.0, 5.0, -4.0], [8.0, 6.0, 6.5]]}
FORMULA = "=cmd|' /C calc'!A0"
READ = {"csv": pd.read_csv, "parquet": pd.read_parquet, "xlsx": pd.read_excel}


@pytest.fixture
def store(tmp_path):
    results = Store(tmp_path / "r")
    results.add(searched(WAYS, model=Model(FORMULA, "omniglot"), task="@SUM(1)", region="-2+3", budget=300))
    results.add(searched(WAYS, init=1))
    results.add(replace(searched(WAYS, init=2), status="failed", members=[], error="+ out of memory\n\x1b[31m"))
    return results


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("what", frames.TABLES)
def test_numbers_stay_numbers_in_every_format(store, tmp_path, what, kind):
    rows = frames.export([*store], lambda _: store, what, kind, tmp_path / "t")
    table, numbers = READ[kind](tmp_path / "t"), {"measures": "median", "runs": "spec.budget", "members": "loss"}
    column = table[numbers.get(what, "loss")]
    assert len(table) == rows > 0 and pd.api.types.is_numeric_dtype(column)
    if what in ("members", "traces"):
        assert column.min() == -4.0


def test_runs_have_a_row_each_members_a_row_a_search(store, tmp_path):
    export([store.folder, store.folder], output=tmp_path / "runs.csv", what="runs")
    export([store.folder], output=tmp_path / "members.csv", what="members")
    runs, members = (pd.read_csv(tmp_path / f"{t}.csv") for t in ("runs", "members"))
    assert (len(runs), len(members)) == (3, 4)
    assert set(runs.status) == {"ok", "failed"} and set(members.key) < set(runs.key)
    assert {"spec.model.name", "spec.seeds.init", "instance", "met.0.5"} <= {*members.columns}


def test_no_format_holds_a_formula_or_an_escape_code(store, tmp_path):
    for what in ("runs", "measures"):
        for kind in READ:
            frames.export([*store], lambda _: store, what, kind, tmp_path / f"{what}.{kind}")
    with (tmp_path / "runs.csv").open(newline="") as f:
        cells = [cell for row in csv.reader(f) for cell in row]
    assert f"'{FORMULA}" in cells and "'@SUM(1)" in cells and "'-2+3" in cells and FORMULA not in cells
    assert "\x1b" not in "".join(cells)
    sheet = openpyxl.load_workbook(tmp_path / "runs.xlsx").active
    assert sheet is not None and {c.data_type for row in sheet.iter_rows() for c in row} <= {"s", "inlineStr", "n", "b"}
    assert f"'{FORMULA}" in [*pd.read_parquet(tmp_path / "runs.parquet")["spec.model.name"]]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1", "'=1"),
        ("+a", "'+a"),
        ("-a", "'-a"),
        ("  =1", "'  =1"),
        ("@x", "'@x"),
        ("-0.5", "-0.5"),
        ("+3", "+3"),
        ("", ""),
        ("vae", "vae"),
        ("a\x1b[31m", "a\ufffd[31m"),
        ("\t=1", "'\ufffd=1"),
        ("\ud800", "\ufffd"),
    ],
)
def test_text_is_neutral(text, shown):
    assert neutral(text) == shown


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "a\rb", "a\u202eb", "\x9b31m", "\u2028", "\udcff"])
def test_what_a_terminal_would_obey_is_not_printed(text):
    assert "\ufffd" in printable(text) and not set(text) & set("\x1b\x07\r\u202e\x9b\u2028\udcff") & set(
        printable(text)
    )


def test_missing_package_names_the_extra(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'lso-bench\[export\]'"):
        export([store.folder], "parquet", tmp_path / "t", "runs")
    with pytest.raises(UsageError, match="Did you mean 'xlsx'"):
        export([store.folder], "xls", tmp_path / "t", "runs")
    with pytest.raises(UsageError, match="Did you mean 'traces'"):
        export([store.folder], "csv", tmp_path / "t", "trace")
    assert not (tmp_path / "t").exists()


def test_runs_that_all_failed_have_no_searches_to_write(tmp_path):
    store = Store(tmp_path / "r")
    store.add(replace(searched(WAYS), status="failed", members=[]))
    with pytest.raises(UnusableError, match="No members in"):
        export([store.folder], output=tmp_path / "t", what="members")
    assert not (tmp_path / "t").exists()
