"""Trained models that were searched and not measured: their names, and the command that measures them."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lso_bench.analysis.collapse import COMPARED_WITHIN, Collapse
from lso_bench.analysis.rank_correlation import FEWEST
from lso_bench.plugins.notation import is_object, short_name
from lso_bench.store import result_files
from lso_bench.vae.trained_model import Model

MEASURE_OBJECTS = "objects of Python by `lso_bench.evaluate`"
DEFAULT_FOLDER = Path("results")  # of `lso-bench evaluate`
WANTED = (
    f"--table collapse wants {FEWEST} models or more, searched and measured, of one task, searcher and architecture"
)


def notes(result: Collapse, folders: Sequence[Path]) -> list[str]:
    """Return lines about models without measures in comparisons that have a table of correlations.

    Args:
        folders: those of the results; the commands measure into the first one.
    """
    tables = {_context(row) for row in result.correlations.to_dict("records")}
    left_out = [row for row in result.unmeasured.to_dict("records") if _context(row) in tables]
    return _lines(left_out, folders, "; the table of collapse leaves them out")


def left_out(result: Collapse, context: Mapping[Any, Any]) -> str:
    """Return the names of the models that a table of correlations lacks, of the context in one of its rows."""
    rows = result.unmeasured.to_dict("records")
    return named(row["trained"] for row in rows if _context(row) == _context(context))


def reasons(result: Collapse, folders: Sequence[Path]) -> list[str]:
    """Return lines that say why there is no table of collapse, and what makes one."""
    points = result.checkpoint_table
    groups = (
        [names.nunique() for _, names in points.groupby(COMPARED_WITHIN, dropna=False).model] if len(points) else []
    )
    lines = [f"{WANTED}; got {max(groups, default=0)}."]
    missing = _lines(result.unmeasured.to_dict("records"), folders, "")
    return lines + (missing or ["`lso-bench run` searches in further models, `lso-bench evaluate` measures them."])


def _lines(rows: Iterable[Mapping[Any, Any]], folders: Sequence[Path], consequence: str) -> list[str]:
    """Return a line with the models that were never measured, and one with those measured with other weights."""
    searched = dict.fromkeys((row["trained"], row["weights"]) for row in rows)
    measured = _measured_models(folders) if searched else {}
    again = [model for model, sha in searched if model in measured and sha not in measured[model]]
    never = [model for model, _ in searched if model not in again]
    lines = []
    if never:
        means = [f"`{c}`" for c in commands(never, next(iter(folders), DEFAULT_FOLDER))]
        means += [MEASURE_OBJECTS] * any(is_object(model.name) for model in never)
        lines.append(f"no measures of {named(never)}{consequence}. Measure them: {'; '.join(means)}.")
    if again:
        lines.append(
            f"the measures of {named(again)} are of other weights than those searched{consequence}. Search the present "
            "weights with `lso-bench run`, or put the earlier ones back and evaluate them."
        )
    return lines


def named(models: Iterable[Model]) -> str:
    """Return the names of models with the seeds of their trainings: `vae (training 0, 1), rae (training 0)`."""
    seeds: dict[str, dict[int, None]] = {}
    for model in models:
        seeds.setdefault(short_name(model.name) if is_object(model.name) else model.name, {})[model.seed] = None
    return ", ".join(f"{name} (training {', '.join(map(str, sorted(listed)))})" for name, listed in seeds.items())


def commands(models: Iterable[Model], folder: Path) -> list[str]:
    """Return `lso-bench evaluate ...`, quoted for the shell, one command for models that differ in the name alone."""
    groups: dict[tuple[str | None, str, int, int], list[str]] = {}
    for model in dict.fromkeys(models):
        data = None if model.external else model.data
        if not is_object(model.name):
            groups.setdefault((data, model.arch, model.latent, model.seed), []).append(model.name)
    return [_command(names, *shared, folder) for shared, names in sorted(groups.items(), key=lambda g: g[0][-1])]


def _command(names: list[str], data: str | None, arch: str, latent: int, seed: int, folder: Path) -> str:
    ours = {"--data": data, "--arch": arch, "--latent": latent if latent != 32 else None}
    options = {"--model": ",".join(names)} | (ours if data is not None else {})
    options |= {"--seed": seed or None, "--results": folder if folder != DEFAULT_FOLDER else None}
    words = [part for option, value in options.items() if value is not None for part in (option, str(value))]
    return shlex.join(["lso-bench", "evaluate", *words])


def _context(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return tuple(str(row[k]) for k in COMPARED_WITHIN)


def _measured_models(folders: Iterable[Path]) -> dict[Model, set[str]]:
    """Return the models of which a folder has measures, with the sha256 of the weights that were measured."""
    models: dict[Model, set[str]] = {}
    for path in (p for folder in folders for p in folder.glob("metrics/*.json")):
        try:
            raw = result_files.metrics(path)
            models.setdefault(Model(**raw["model"]), set()).add(str(raw["what"]["checkpoint"]))
        except (OSError, ValueError, KeyError, TypeError):  # `read` names the file
            continue
    return models
