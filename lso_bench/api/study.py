"""Study: every combination of models, tasks, searchers and seeds, to be run and compared."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lso_bench.api.arguments import REGISTRIES, Integer, named, numbers, plain
from lso_bench.api.execution import execution_options
from lso_bench.api.output import say
from lso_bench.errors import UsageError, unknown
from lso_bench.executors.resources import RequestedResources
from lso_bench.files.paths import absolute
from lso_bench.files.sanitize import some
from lso_bench.plugins.notation import is_object
from lso_bench.progress import planning
from lso_bench.search import Searcher
from lso_bench.store.store import Store, existing
from lso_bench.study import completeness, file
from lso_bench.study.grid import PROTOCOLS, Grid, PlannedRun, Protocol, plan, plan_warnings, shard
from lso_bench.study.recorded_weights import check_weights, recorded_weights
from lso_bench.task import Task
from lso_bench.vae.frozen_models import FrozenModel

if TYPE_CHECKING:
    from lso_bench.api.results import Results

Names = str | Sequence[str]
Rules = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]


class Study:
    """Searches of tasks in the latent spaces of models; every combination is a run.

    Models, tasks and searchers are given by name with settings (`"ink:target=0.3"`), by the path of a file
    (`"./my_task.py"`), or as objects. Studies with an object stay in this process.
    """

    def __init__(
        self,
        models: "Names | FrozenModel | Sequence[str | FrozenModel]",
        tasks: "Names | Task | Sequence[str | Task]",
        searchers: "Names | Searcher | Sequence[str | Searcher]" = "adam",
        *,
        arch: str | None = None,
        latent: Integer = 32,
        seeds: Integer | Iterable[Integer] = (0,),
        search_seeds: Integer | Iterable[Integer] | None = None,
        train_seeds: Integer | Iterable[Integer] = (0,),
        regions: Names | None = None,
        starts: Names | None = None,
        decoding: str | None = None,
        protocol: str = "quick",
        budget: Integer | None = None,
        max_steps: Integer | None = None,
        space: str | None = None,
        exclude: Rules = (),
        override: Rules = (),
        **settings: Any,
    ):
        """Check the settings; nothing is run or read yet.

        Args:
            arch: architecture of the models, with its settings: `"conv"`; default: `"small"`, of texts `"gru"`.
            latent: dimension of the latent space.
            seeds: seeds of the starts; of the searches too, if there are no `search_seeds`.
            train_seeds: seeds of the models' training.
            regions: where searches may go: `"none"`, `"box:3"`, `"ball:10"`, `"quantiles:0.01"`.
            starts: where they start: `"random"`, `"encoder"`, `"other"`, `"origin"`, `"data"`.
            decoding: `"teacher"`, `"mean"`, `"soft"`, `"sample"` or `"greedy"`; default: what fits.
            protocol: `"quick"`, or `"paper"` for a descent to threshold 0, with 100,000 steps at most.
            budget: evaluations of a problem.
            max_steps: steps of a descent.
            space: coordinates of the searches: `"prior"`, `"standard"`, `"pca:8"` or `"examples:9"`; default:
                `"prior"`, for models from outside `"standard"`.
            exclude: runs to leave out: `{"model": "vae", "searcher": "bo"}`, or `"model=vae searcher=bo"`; or several.
            override: other settings for some runs: `{"searcher": "bo", "budget": 100}`, or a text; or several.
            settings: further settings of a run, as in a study file: docs/cli.md.

        Raises:
            UsageError: a setting does not exist or has a wrong value.
        """
        if protocol not in PROTOCOLS:
            raise unknown("protocol", protocol, [*PROTOCOLS])
        raw = {"arch": arch, "latent": latent, "decoding": decoding, "space": space}
        raw |= {"budget": budget, "max_steps": max_steps}
        lists = {"models": models, "tasks": tasks, "searchers": searchers, "regions": regions, "starts": starts}
        seed_lists = {"seeds": seeds, "search_seeds": search_seeds, "train_seeds": train_seeds}
        raw |= {key: named(key, value) for key, value in lists.items() if value is not None}
        raw |= {key: numbers(values) for key, values in seed_lists.items() if values is not None}
        for key, rules_given in (("exclude", exclude), ("override", override)):
            listed = [rules_given] if isinstance(rules_given, str | Mapping) else [*rules_given]
            raw |= {key: [dict(r) if isinstance(r, Mapping) else r for r in listed]} if listed else {}
        raw |= {key: [*value] if isinstance(value, tuple) else value for key, value in settings.items()}
        values = {key: _checked(key, plain(value)) for key, value in raw.items() if value is not None}
        rules = (*values.pop("exclude", ()), *values.pop("override", ()))
        self._typed = {key: values.get(key) for key in PROTOCOLS["paper"]}
        values = PROTOCOLS[protocol] | values
        self.grid = Grid(**{f.name: values[f.name] for f in fields(Grid) if f.name in values}, rules=rules)
        self.protocol = Protocol(**{f.name: values[f.name] for f in fields(Protocol) if f.name in values})

    @classmethod
    def from_file(cls, path: str | Path) -> "Study":
        """Read a study file.

        Raises:
            UsageError: the file is missing or no TOML, or a setting is wrong.
        """
        return cls.from_grid(*file.read(Path(path)))

    @classmethod
    def from_grid(cls, grid: Grid, protocol: Protocol) -> "Study":
        """Return the study of a grid and a protocol."""
        study = cls.__new__(cls)
        study.grid, study.protocol, study._typed = grid, protocol, {}
        return study

    def plan(self, quiet: bool = True, part: str | None = None, folder: str | Path | None = None) -> list[PlannedRun]:
        """Return the runs of the study.

        Args:
            quiet: without progress.
            part: one of several disjoint parts, as `3/16`.
            folder: results folder; a model without a checkpoint is then planned with the weights that runs in it
                recorded, and is no error.

        Raises:
            UsageError: a name is unknown, or parts do not fit together.
            UnusableError: a checkpoint is missing; the message says how to train it.
        """
        recorded = None if folder is None else recorded_weights(existing(absolute(folder)) or [])
        planned = plan(self.grid, self.protocol, planning(quiet), recorded)
        return shard(planned, part) if part else planned

    def run(
        self,
        folder: str | Path = "results",
        *,
        jobs: int | None = None,
        timeout: float | None = None,
        retries: int = 1,
        isolation: str | None = None,
        memory: float | None = None,
        device: str = "auto",
        data_dir: str | Path | None = None,
        compile: bool = False,
        capture: bool = False,
        address: str | None = None,
        gpu: float = 1.0,
        quiet: bool = False,
    ) -> "Results":
        """Carry out the runs that are not in the folder yet, and return all runs of the study.

        Args:
            jobs: runs at the same time; default: as many as there are cores and memory for.
            timeout: seconds that a run may take.
            retries: further tries of a run whose process died.
            isolation: "run" (a process each), "batch" (processes that do many), "none" (this process).
            memory: GB that a run may take.
            device: "auto", "cpu" or "cuda".
            data_dir: folder of data sets.
            compile: the decoder by torch.compile.
            capture: a search step as a CUDA graph.
            address: of a Ray cluster; "local" starts one here.
            gpu: share of a GPU for each run, on a cluster.
            quiet: without progress.

        Raises:
            UsageError, UnusableError: as `plan`, or an option does not fit, or an object changed since the study was
                made.
        """
        from lso_bench.api.carry_out import carry_out  # imported late: a plan needs no statistics
        from lso_bench.api.results import Results
        from lso_bench.executors.pool import end_if_imported

        end_if_imported()
        has_objects = any(map(is_object, (*self.grid.models, *self.grid.tasks, *self.grid.searchers)))
        if has_objects and (isolation not in (None, "none") or address or (jobs or 1) > 1):
            raise UsageError(
                "A study with an object runs in this process, one run at a time: leave `jobs`, `isolation` and "
                "`address` out, or give the path of a file with the object's class."
            )
        process = "none" if has_objects else isolation
        requested = RequestedResources(jobs, timeout, retries, process, memory, gpu, address)
        options = execution_options(1, device, _path(data_dir), compile, capture, requested)
        place = absolute(folder)
        planned = self.plan(quiet, folder=place)
        check_weights(planned, place)
        for line in plan_warnings(planned, replace(self.protocol, **self._typed), self.grid.train_seeds):
            warnings.warn(line, stacklevel=2)
        options = execution_options(len(planned), device, _path(data_dir), compile, capture, requested)
        store = Store(place)
        try:
            self._check_objects()
        except UsageError as error:
            if completeness.check(planned, store).are("absent", "again"):
                raise
            warnings.warn(f"{error} These are the results from before.", stacklevel=2)
        carry_out(planned, store, options, quiet, (lambda line: None) if quiet else say)
        state = completeness.check(planned, store)
        titles = state.short_titles
        failed = [f"{titles[r.spec.key]}: {r.status}, {r.error}" for r in state.records if r.status != "ok"]
        for line in (*state.damaged(), *state.incomplete(), *some(failed)):
            warnings.warn(line, stacklevel=2)
        return Results([store], state.records, {r.spec.key: store for r in state.records})

    def _check_objects(self) -> None:
        """Refuse objects that changed since the study was made, whose runs would have the keys of earlier ones.

        Raises:
            UsageError: names the object.
        """
        for key, registry in REGISTRIES.items():
            registry.check_unchanged(getattr(self.grid, key))


def _checked(key: str, value: Any) -> Any:
    if key not in file.SETTINGS:
        raise unknown("setting of a study", key, [*file.SETTINGS])
    try:
        return file.SETTINGS[key](value)
    except ValueError as error:
        raise UsageError(f"{key}: wanted {error}, got {value!r}.") from error


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else absolute(folder)
