"""Files of a run: encode a record as files, and parse and check the content of such files."""

import hashlib
import io
import json
import math
from collections.abc import Hashable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import save
from torch import Tensor

from lso_bench.errors import PluginError
from lso_bench.files.sanitize import storable
from lso_bench.record import Record
from lso_bench.spec import SCHEMA
from lso_bench.store import result_files
from lso_bench.store.run_folder import RESULT, RETRYABLE
from lso_bench.store.schema import PLAIN, record_from
from lso_bench.vae.tensors import tensors_of


def encode(record: Record) -> dict[str, bytes]:
    """Return the files of a run by name; a failed run has only its result.

    Raises:
        PluginError: the result could not be read back.
    """
    files: dict[str, bytes] = {}
    if record.status not in RETRYABLE:
        for name, table in {"trace.csv": record.trace, "costs.csv": record.costs}.items():
            if table is not None:
                files[name] = table.to_csv(index=False, float_format="%.9g").encode()
        if record.tensors:
            files["latents.safetensors"] = save({k: t.contiguous() for k, t in record.tensors.items()})
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return files | {RESULT: _result(record, hashes)}


def _result(record: Record, hashes: dict[str, str]) -> bytes:
    """Return the JSON text of a result, after reading it back.

    Raises:
        PluginError: the result could not be read back.
    """
    try:
        text = json.dumps(_to_json(record, hashes), indent=1, allow_nan=False).encode()
        if len(text) > result_files.LARGEST_RESULT:
            raise ValueError(f"larger than {result_files.LARGEST_RESULT >> 20} MiB")
        if record_from(result_files.parsed(text)).spec.key != record.spec.key:
            raise ValueError("its spec is another one when it is read")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise PluginError(f"what the run gave cannot be kept: {type(error).__name__}: {error}") from error
    return text


def _to_json(record: Record, hashes: dict[str, str]) -> dict[str, Any]:
    plain = {name: getattr(record, name) for name in PLAIN}
    plain["error"] = None if record.error is None else storable(record.error)
    plain["versions"] = {k: storable(v) if isinstance(v, str) else v for k, v in record.versions.items()}
    members = [_finite(asdict(m)) for m in record.members]
    return {"schema": SCHEMA, "spec": asdict(record.spec), **_finite(plain), "members": members, "sha256": hashes}


def _finite(value: Any) -> Any:
    """Replace NaN and infinity by None, because JSON has neither."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parse_trace(content: bytes, run: Record) -> pd.DataFrame:
    """Return a row per recorded step and member: step, start, instance, loss.

    Raises:
        ValueError: the table has other columns, or its searches differ from those of the run.
    """
    rows = _table(content, {"step": int, "start": str, "instance": int, "loss": float})
    traced, searches = {*zip(rows.start, rows.instance, strict=True)}, {(m.start, m.instance) for m in run.members}
    if differing := traced ^ searches:
        start, instance = min(differing)
        reason = "is none of the run's" if (start, instance) in traced else "has no rows"
        raise ValueError(f"the search of instance {instance} from start {start!r} {reason}")
    return rows


def parse_costs(content: bytes, _: Record) -> pd.DataFrame:
    """Return a row per recorded step: step, evaluations of a problem and seconds of the search so far.

    Raises:
        ValueError: the table has other columns, or a step has two rows.
    """
    rows = _table(content, {"step": int, "evaluations": int, "seconds": float})
    if not rows.step.is_unique:
        raise ValueError("a step stands twice")
    return rows


def costs_of(trace: pd.DataFrame) -> pd.DataFrame:
    """Return the cost at each recorded step of a run of schema 1, which has no `costs.csv`; seconds are NaN."""
    steps = np.unique(trace.step)
    return pd.DataFrame({"step": steps, "evaluations": steps + 1, "seconds": np.nan})


def parse_tensors(content: bytes, run: Record) -> dict[str, Tensor]:
    """Return the tensors of a run by name.

    Raises:
        ValueError: there are no latents, or a tensor does not have one row per search (`targets`: per instance).
    """
    tensors = tensors_of(content)[0]
    if "z" not in tensors or tensors["z"].ndim != 2:
        raise ValueError("it has no codes z of shape (k, d)")
    sizes = {"targets": len({m.instance for m in run.members})}
    for name, x in tensors.items():
        if x.shape[:1] != (size := sizes.get(name, len(run.members)),):
            raise ValueError(f"wanted {name} of length {size}, got shape {tuple(x.shape)}")
    return tensors


def _table(content: bytes, columns: dict[Hashable, Any]) -> pd.DataFrame:
    """Parse a CSV table with columns of these types.

    Raises:
        ValueError: the table has no rows, lacks a column, or has other types.
    """
    rows = pd.read_csv(io.BytesIO(content), dtype=columns)
    if absent := [name for name in columns if name not in rows]:
        raise ValueError(f"it has no column {absent[0]!r}")
    if rows.empty:
        raise ValueError("it has no rows")
    return rows
