"""Results as one flat table in a file: CSV, Parquet or Excel."""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from lso_bench.analysis.comparison import compare
from lso_bench.analysis.united import united, with_known_dimensions
from lso_bench.errors import UsageError, unknown
from lso_bench.files.atomic_write import write_out
from lso_bench.files.sanitize import neutral
from lso_bench.record import Record, SearchResult
from lso_bench.spec import Spec
from lso_bench.store.schema import PLAIN
from lso_bench.store.store import Store

FORMATS = {"csv": "pandas", "parquet": "pyarrow", "xlsx": "openpyxl"}  # format: required package
LEADING_COLUMNS = 4  # columns that identify a table; later columns depend on the runs
MOST_ROWS = 2**20 - 1  # rows of an Excel sheet, below its header
RUN_FIELDS = list(dict.fromkeys(("status", "error", *(name for name in PLAIN if name not in ("joint", "usual")))))
Home = Callable[[Spec], Store]  # finds the store of a run


def export(
    records: Sequence[Record],
    home: Home,
    what: str,
    kind: str,
    path: Path,
    before: Callable[[list[str]], None] = lambda columns: None,
) -> int:
    """Write a table of the runs to `path`, and return its number of rows; an empty table is not written.

    Args:
        what: name of the table, one of TABLES.
        kind: file format, one of FORMATS.
        before: called with the columns before anything is written.

    Raises:
        UsageError: no such table or format, a package that is not installed, or more rows than the format holds.
        WriteError: the file cannot be written.
    """
    check(what, kind)
    table = plain(TABLES[what](records, home))
    if kind == "xlsx" and len(table) > MOST_ROWS:
        raise UsageError(f"A sheet of Excel holds {MOST_ROWS:,} rows, and these are {len(table):,}; say --format csv.")
    if len(table):
        before([*table.columns])
        write_out(path, _serialise(table, kind))
    return len(table)


def begins_so(path: Path, kind: str, columns: Sequence[str]) -> bool:
    """Return whether the table in a file has the leading columns of a table that `export` wrote."""
    try:
        return [*READERS[kind](path)][:LEADING_COLUMNS] == [*columns][:LEADING_COLUMNS]
    except Exception:  # readers raise many kinds of errors
        return False


def _parquet_columns(path: Path) -> list[str]:
    from pyarrow.parquet import read_schema

    return read_schema(path).names


READERS: dict[str, Callable[[Path], Iterable[str]]] = {  # readers of column names
    "csv": lambda path: pd.read_csv(path, nrows=0).columns,
    "parquet": _parquet_columns,
    "xlsx": lambda path: pd.read_excel(path, nrows=0).columns,
}


def check(what: str, kind: str) -> None:
    """Refuse an unknown table or format.

    Raises:
        UsageError: no such table or format, or its package is not installed.
    """
    if what not in TABLES:
        raise unknown("table", what, [*TABLES])
    if kind not in FORMATS:
        raise unknown("format", kind, [*FORMATS])
    if find_spec(FORMATS[kind]) is None:
        raise UsageError(f"--format {kind} wants the package {FORMATS[kind]}: pip install 'lso-bench[export]'.")


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with text that is safe in spreadsheets and terminals; numbers stay numbers."""
    table = table.rename(columns=lambda c: neutral(str(c)))
    for name in table.columns[[not pd.api.types.is_numeric_dtype(t) for t in table.dtypes]]:
        cells = [neutral(v) if isinstance(v, str) else v for v in table[name]]
        mixed = len({type(v) for v in cells if not pd.isna(v)}) > 1
        table[name] = [None if pd.isna(v) else neutral(str(v)) if mixed else v for v in cells]
    return table


def _measures(records: Sequence[Record], home: Home) -> pd.DataFrame:
    return with_known_dimensions(compare(united(records), home).measures)


def _runs(records: Sequence[Record], home: Home) -> pd.DataFrame:
    """Return one row per run: setup, end and costs."""
    rows = [
        _run_columns(r) | {k: getattr(r, k) for k in RUN_FIELDS} | {"folder": str(home(r.spec).folder)} for r in records
    ]
    return pd.json_normalize(rows)


def _members(records: Sequence[Record], home: Home) -> pd.DataFrame:
    """Return one row per search: run, instance, start, end, and the steps at which thresholds were met."""
    rows = []
    for r in records:
        for m in r.members:
            met = dict(zip(map(str, r.spec.thresholds), m.met, strict=False))
            rows.append(_run_columns(r) | asdict(m) | {"met": met})
    if rows:
        return pd.json_normalize(rows)
    columns = pd.json_normalize([_run_columns(r) for r in records]).columns
    return pd.DataFrame(columns=[*columns, *(f.name for f in fields(SearchResult) if f.name not in ("met", "beside"))])


def _traces(records: Sequence[Record], home: Home) -> pd.DataFrame:
    """Return one row per recorded step and search: run, step, start, instance, loss; lost traces are left out."""
    traces = ((r.spec.key, home(r.spec).trace(r.spec)) for r in records if r.members)
    parts = [trace.assign(key=key) for key, trace in traces if trace is not None]
    columns = ["step", "start", "instance", "loss", "key"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _run_columns(record: Record) -> dict[str, Any]:
    spec = asdict(record.spec)
    lists = {k: ",".join(map(str, v)) for k, v in spec.items() if isinstance(v, tuple)}
    return {"key": record.spec.key, "spec": spec | lists}


TABLES: dict[str, Callable[[Sequence[Record], Home], pd.DataFrame]] = {
    "measures": _measures,
    "runs": _runs,
    "members": _members,
    "traces": _traces,
}


def _serialise(table: pd.DataFrame, kind: str) -> bytes:
    if kind == "csv":
        return table.to_csv(index=False).encode()
    file = io.BytesIO()
    if kind == "parquet":
        table.to_parquet(file, index=False)
    else:
        table.to_excel(file, index=False, inf_rep="inf", engine="openpyxl")
    return file.getvalue()
