"""Names of the files of a reproduced table: what was asked for is part of the name."""

import hashlib
from collections.abc import Sequence

LONGEST = 60  # characters of the models in a name


def suffix(models: Sequence[str], train_seeds: Sequence[int], seeds: Sequence[int] = (0,)) -> str:
    """Return the end of a file's name, so that a table of some rows or seeds never replaces another one.

    Args:
        models: rows that were asked for; none stands for all of them.
        train_seeds: of the trainings; only other ones than 0 are named.
        seeds: of the starts of a search; only other ones than 0 are named.
    """
    names = "+".join(models)
    if len(names) > LONGEST:
        names = f"{len(models)}-models-{hashlib.sha256(names.encode()).hexdigest()[:6]}"
    parts = [
        names,
        "" if list(train_seeds) == [0] else f"s{'+'.join(map(str, train_seeds))}",
        "" if list(seeds) == [0] else f"seed={'+'.join(map(str, seeds))}",
    ]
    return "".join(f"-{part}" for part in parts if part)
