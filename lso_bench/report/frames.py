"""Results as one flat table in a file: CSV, Parquet or Excel."""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from lso_bench.analysis.comparison import compare
from lso_bench.errors import UsageError, unknown
from lso_bench.record import Record
from lso_bench.spec import Spec
from lso_bench.store.store import Store
from lso_bench.text import neutral
from lso_bench.vae.durable import write_out

FORMATS = {"csv": "pandas", "parquet": "pyarrow", "xlsx": "openpyxl"}  # each with the package that it needs
LEADING = 4  # columns by which a table is known again; later ones come and go with what was run
MOST_ROWS = 2**20 - 1  # of a sheet of Excel, below its header
Home = Callable[[Spec], Store]  # where a run's files lie


def export(
    records: Sequence[Record],
    home: Home,
    what: str,
    kind: str,
    path: Path,
    before: Callable[[list[str]], None] = lambda columns: None,
) -> int:
    """Write the table `what` (of TABLES) of these runs as `kind` (of FORMATS) to `path`; how many rows, and nothing
    where there are none.

    Args:
        before: is told the columns before anything is written.

    Raises:
        UsageError: no such table or format, a package that is not installed, or more rows than the format holds.
        vae.errors.UnusableError: it cannot be written.
    """
    check(what, kind)
    table = plain(TABLES[what](records, home))
    if kind == "xlsx" and len(table) > MOST_ROWS:
        raise UsageError(f"A sheet of Excel holds {MOST_ROWS:,} rows, and these are {len(table):,}; say --format csv.")
    if len(table):
        before([*table.columns])
        write_out(path, _written(table, kind))
    return len(table)


def begins_so(path: Path, kind: str, columns: Sequence[str]) -> bool:
    """Whether the table in a file begins with these columns, as one does that `export` wrote before."""
    try:
        return [*READERS[kind](path)][:LEADING] == [*columns][:LEADING]
    except Exception:  # whatever a reader says of a file that is no such table
        return False


def _of_parquet(path: Path) -> list[str]:
    from pyarrow.parquet import read_schema

    return read_schema(path).names


READERS: dict[str, Callable[[Path], Iterable[str]]] = {  # of the names of columns
    "csv": lambda path: pd.read_csv(path, nrows=0).columns,
    "parquet": _of_parquet,
    "xlsx": lambda path: pd.read_excel(path, nrows=0).columns,
}


def check(what: str, kind: str) -> None:
    """Refuse a table or format that there is not.

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
    """The same table with texts that no spreadsheet runs and no terminal obeys; numbers stay numbers."""
    table = table.rename(columns=lambda c: neutral(str(c)))
    for name in table.columns[[not pd.api.types.is_numeric_dtype(t) for t in table.dtypes]]:
        cells = [neutral(v) if isinstance(v, str) else v for v in table[name]]
        mixed = len({type(v) for v in cells if not pd.isna(v)}) > 1
        table[name] = [None if pd.isna(v) else neutral(str(v)) if mixed else v for v in cells]
    return table


def _measures(records: Sequence[Record], home: Home) -> pd.DataFrame:
    return compare(records, home).measures


def _runs(records: Sequence[Record], home: Home) -> pd.DataFrame:
    """A row a run: what it was, how it ended, what it took."""
    parts = "status", "error", "counts", "seconds", "versions"
    rows = [_what(r) | {k: getattr(r, k) for k in parts} | {"folder": str(home(r.spec).folder)} for r in records]
    return pd.json_normalize(rows)


def _members(records: Sequence[Record], home: Home) -> pd.DataFrame:
    """A row a search: run, instance and start, where it ended, and at which step each threshold was met."""
    rows = []
    for r in records:
        for m in r.members:
            met = dict(zip(map(str, r.spec.thresholds), m.met, strict=False))
            rows.append(_what(r) | asdict(m) | {"met": met})
    return pd.json_normalize(rows)


def _traces(records: Sequence[Record], home: Home) -> pd.DataFrame:
    """A row a recorded step and search: run, step, start, instance, loss; without runs whose trace is lost."""
    found = ((r.spec.key, home(r.spec).trace(r.spec)) for r in records if r.members)
    parts = [trace.assign(key=key) for key, trace in found if trace is not None]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _what(record: Record) -> dict[str, Any]:
    lists = {k: ",".join(map(str, getattr(record.spec, k))) for k in ("starts", "thresholds")}
    return {"key": record.spec.key, "spec": asdict(record.spec) | lists}


TABLES: dict[str, Callable[[Sequence[Record], Home], pd.DataFrame]] = {
    "measures": _measures,
    "runs": _runs,
    "members": _members,
    "traces": _traces,
}


def _written(table: pd.DataFrame, kind: str) -> bytes:
    if kind == "csv":
        return table.to_csv(index=False).encode()
    file = io.BytesIO()
    if kind == "parquet":
        table.to_parquet(file, index=False)
    else:
        table.to_excel(file, index=False, inf_rep="inf", engine="openpyxl")
    return file.getvalue()
