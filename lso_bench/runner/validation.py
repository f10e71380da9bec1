"""Checks that the parts of a spec fit together."""

from lso_bench.errors import UsageError, unknown
from lso_bench.plugins.notation import read
from lso_bench.plugins.settings import settings_of
from lso_bench.run_settings import PRIOR
from lso_bench.runner.divergence import WITHOUT_GRADIENT
from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.search import SEARCHERS, Searcher, check_penalty, coordinates, penalty_of
from lso_bench.search import starts as starts_of
from lso_bench.search.space import DECODINGS, DTYPES, GRADIENT
from lso_bench.search.training_samples import kind_of
from lso_bench.spec import Spec
from lso_bench.task import Task
from lso_bench.task.text_task import TextTask
from lso_bench.vae.architectures import ARCHITECTURES
from lso_bench.vae.data_path import data_of, is_same_path
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.default_architecture import is_of_sequences
from lso_bench.vae.frozen_models import FROZEN_MODELS, has_encoder
from lso_bench.vae.trained_model import Model


def check_fit(spec: Spec, task: Task, searcher: Searcher) -> None:
    """Refuse a spec whose parts do not fit together.

    Raises:
        UsageError: says what does not fit, and what does.
    """
    _check_data(spec, task)
    _check_decoding(spec, task)
    _check_encoder(spec, searcher)
    if spec.precision not in DTYPES:
        raise unknown("precision", spec.precision, [*DTYPES])
    _, dimension = coordinates.parse(spec.space, spec.model.latent)
    starts_of.check(spec.starts, task.has_targets, task.instances)
    name = spec.searcher_name
    _check_kind(name, searcher, spec.model)
    with plugin_errors("searcher", searcher):
        searcher.check_data(spec.model.data)
    decoder_has_gradient = spec.decoding in GRADIENT and _is_differentiable(spec.model)
    if searcher.needs_gradient and not (task.differentiable and decoder_has_gradient):
        without_gradient = f"task {spec.task!r}"
        if task.differentiable:
            without_gradient = f"model {spec.model.name!r}" if spec.model.external else f"decoding {spec.decoding!r}"
        raise UsageError(
            f"Searcher {name!r} needs gradients, and {without_gradient} gives none; choose {WITHOUT_GRADIENT}"
            f"{_elsewhere(spec) if task.differentiable else ''}."
        )
    _check_inversion(spec, searcher)
    _check_penalty(spec, searcher)
    if searcher.bounded and searcher.space == "latents" and spec.region == "none":
        raise UsageError(f"Searcher {name!r} wants a bounded region; say --region box:3.")
    with plugin_errors("searcher", searcher):
        needed = searcher.design(dimension)
    design = max(needed, starts_of.parse(spec.starts[0], task.has_targets)[1])
    if spec.budget is not None and spec.budget < design:
        raise UsageError(f"Searcher {name!r} begins with {design} evaluations; --budget {spec.budget} is less.")


def _check_data(spec: Spec, task: Task) -> None:
    """Refuse a task of other samples than those of the model."""
    scored, data = data_of(task), spec.model.data
    if scored == data or DATASETS.canonical(scored) == data or is_same_path(scored, data):
        return
    if isinstance(task, TextTask):
        raise UsageError(
            f"Task {spec.task!r} scores texts of {scored}, and model {spec.model.name!r} is of {data}; choose a model "
            f"of {scored}, or a task on {data}."
        )
    choice = read(spec.task if task.has_targets and "data" in settings_of(task) else "omniglot50")
    on_it = choice._replace(settings=choice.settings | {"data": data})
    raise UsageError(
        f"Task {spec.task!r} scores {scored}, and model {spec.model.name!r} is of {data}; choose a model of "
        f"{scored}, or a task on {data}, as {str(on_it)!r}."
    )


def _elsewhere(spec: Spec) -> str:
    """Return where gradients are, as a further choice, for a decoding that has none."""
    if spec.model.external:
        return ""
    if _is_of_sequences(spec):
        return f", or --decoding {'soft' if _is_autoregressive(spec) else 'mean'}"
    return ", or --arch conv" * (spec.decoding == "sample")


def _is_of_sequences(spec: Spec) -> bool:
    return is_of_sequences(DATASETS.build(spec.model.data).likelihood)


def _is_autoregressive(spec: Spec) -> bool:
    return ARCHITECTURES.build(spec.model.arch).autoregressive


def _is_differentiable(model: Model) -> bool:
    return not model.external or FROZEN_MODELS.build(model.name).differentiable


def _has_density(model: Model) -> bool:
    return not model.external or FROZEN_MODELS.build(model.name).has_log_prob


def _check_encoder(spec: Spec, searcher: Searcher) -> None:
    """Refuse what only an encoder can give, of a model without one."""
    if has_encoder(spec.model.name, spec.model.external):
        return
    by_encoder = {"encoder", "other"} if searcher.space == "samples" else {"encoder", "other", "data"}
    encoded = [s for s in spec.starts if starts_of.parse(s, has_targets=True)[0] in by_encoder]
    wants = {
        f"Start {', '.join(map(repr, encoded))}": encoded and "say --starts random or origin",
        f"Space {spec.space!r}": spec.space != PRIOR and "say --space prior",
        f"Region {spec.region!r}": spec.region.startswith("quantiles") and "say --region box:3 or ball:10",
        "Penalty 'consistency'": penalty_of(searcher) == "consistency" and "choose penalty=prior",
        "Inversion": getattr(searcher, "inversion", 0) and "say inversion=0",
    }
    for setting, remedy in wants.items():
        if remedy:
            raise UsageError(f"{setting} needs an encoder, and model {spec.model.name!r} has none; {remedy}.")


def _check_inversion(spec: Spec, searcher: Searcher) -> None:
    if SEARCHERS.file_of(type(searcher)) and getattr(searcher, "inversion", 0) and not _has_density(spec.model):
        raise UsageError(
            f"Searcher {spec.searcher_name!r} with inversion needs log p(x|z), and model {spec.model.name!r} has no "
            "log_prob; write one, or say inversion=0."
        )


def _check_penalty(spec: Spec, searcher: Searcher) -> None:
    try:
        check_penalty(searcher)
    except ValueError as error:
        raise UsageError(f"Searcher {spec.searcher_name!r}: {error}.") from error
    model, penalty = spec.model, penalty_of(searcher)
    if penalty == "likelihood" and not _has_density(model):
        raise UsageError(
            f"Penalty 'likelihood' needs log p(x|z), and model {model.name!r} has no log_prob; write one, or choose "
            "penalty=prior or consistency."
        )
    if penalty == "les" and not _is_differentiable(model):
        raise UsageError(
            f"Penalty 'les' needs derivatives of the decoder, and model {model.name!r} has none; choose penalty=prior "
            "or consistency."
        )


def _check_kind(name: str, searcher: Searcher, model: Model) -> None:
    source = DATASETS.build(model.data)
    kind = kind_of(source.shape, source.likelihood)
    if searcher.takes and searcher.takes != kind:
        raise UsageError(
            f"Searcher {name!r} searches {searcher.takes}, and samples of {model.data} are {kind}; choose screening or "
            "cmaes."
        )


def _check_decoding(spec: Spec, task: Task) -> None:
    if spec.model.external:
        if spec.decoding != FROZEN_MODELS.build(spec.model.name).decoding:
            raise UsageError(
                f"Decoding {spec.decoding!r} is not for model {spec.model.name!r}, which decodes by itself."
            )
        return
    if spec.decoding not in DECODINGS:
        raise unknown("decoding", spec.decoding, list(DECODINGS))
    if isinstance(task, TextTask) and spec.decoding in GRADIENT:
        raise UsageError(
            f"Task {spec.task!r} scores texts, and decoding {spec.decoding!r} gives probabilities of tokens; say "
            "--decoding greedy or sample."
        )
    autoregressive = _is_autoregressive(spec)
    if spec.decoding in (("mean",) if autoregressive else ("teacher", "soft")):
        kind = "is" if autoregressive else "is not"
        raise UsageError(
            f"Decoding {spec.decoding!r} is not for --arch {spec.model.arch}, which {kind} autoregressive."
        )
    if spec.decoding == "soft" and not _is_of_sequences(spec):
        raise UsageError(
            f"Decoding 'soft' is of sequences, and samples of {spec.model.data} are none; say --arch conv."
        )
    if spec.decoding == "teacher" and not task.has_targets:
        raise UsageError(
            f"Task {spec.task!r} has no samples for the autoregressive decoder of {spec.model.arch!r} to be given; say "
            f"--decoding {'soft' if _is_of_sequences(spec) else 'sample, or --arch conv'}."
        )
