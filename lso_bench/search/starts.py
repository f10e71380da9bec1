"""Starts of searches."""

from collections.abc import Iterable

from lso_bench.errors import UsageError
from lso_bench.plugins.notation import whole

MAX_LATENTS = 1000  # latents of one problem, which are decoded together
STARTS = {
    "random": "draws from the prior",
    "encoder": "the encoder's mean of the target, and further draws of q(z|target)",
    "other": "the encoder's means of other targets",
    "origin": "the mean of the prior",
    "data": "the encoder's means of training samples",
}


def parse(text: str, has_targets: bool) -> tuple[str, int]:
    """Return the name of a start and its number of latents: `random` is one, `data:10` are ten to choose from.

    Raises:
        UsageError: there is no such start, or it needs targets and there are none.
    """
    name, _, count = text.partition(":")
    try:
        n = whole(count, 1, MAX_LATENTS) if count else 1
    except ValueError:
        n = 0
    if name not in STARTS or n < 1 or (name == "origin" and n > 1):
        raise UsageError(
            f"No start {text!r}; wanted {', '.join(STARTS)}, several latents as data:10 (not of origin), "
            f"at most {MAX_LATENTS:,}."
        )
    if name in ("encoder", "other") and not has_targets:
        raise UsageError(f"Start {text!r} wants a task with targets; there are random, origin, data.")
    return name, n


def canonical(text: str) -> str:
    """Return the canonical text of a start: `random` for `random:1`.

    Raises:
        UsageError: there is no such start.
    """
    name, n = parse(text, has_targets=True)
    return name if n == 1 else f"{name}:{n}"


def check(starts: tuple[str, ...], has_targets: bool, instances: int) -> None:
    """Refuse starts that cannot be run side by side.

    Raises:
        UsageError: says why.
    """
    parsed = [parse(s, has_targets) for s in starts]
    if len({n for _, n in parsed}) > 1:
        raise UsageError(f"Starts {', '.join(starts)} have different numbers of latents; run them one after the other.")
    if len(set(parsed)) < len(starts):
        raise UsageError(f"A start stands twice in {', '.join(starts)}; for more random starts give more --seed.")
    for name, n in parsed:
        if name == "other" and n >= instances:
            raise UsageError(f"Start other:{n} wants more than {n} instances, and the task has {instances}.")


def check_variance(starts: Iterable[str], deterministic: bool) -> None:
    """Refuse draws from q(z|target) for a model whose q has no variance.

    Raises:
        UsageError: names the start.
    """
    for start in starts:
        name, n = parse(start, has_targets=True)
        if deterministic and name == "encoder" and n > 1:
            raise UsageError(
                f"Start {start!r} wants draws from q(z|target), and nothing trained the variance of q in a "
                "deterministic autoencoder; say encoder, its mean."
            )
