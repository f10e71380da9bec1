"""Arguments of Python as the names and numbers that the rest of the program takes."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from lso_bench.plugins.registry import Registry
from lso_bench.search import SEARCHERS
from lso_bench.task import TASKS
from lso_bench.vae.frozen_models import FROZEN_MODELS

Integer = int | np.integer
REGISTRIES: dict[str, Registry[Any]] = {"models": FROZEN_MODELS, "tasks": TASKS, "searchers": SEARCHERS}


def named(key: str, value: Any) -> list[str]:
    """Return a list of names; objects are known to this process by a name of their own."""
    registry, unwrapped = REGISTRIES.get(key), plain(value)
    items = [*unwrapped] if isinstance(unwrapped, list | tuple) else [unwrapped]
    return [registry.named(item) if registry else item for item in items]


def numbers(values: Any) -> list[Any]:
    """Return one number or several as a list of numbers of Python."""
    return [*map(plain, values)] if isinstance(values, Iterable) else [plain(values)]


def plain(value: Any) -> Any:
    """Return a number or a list of NumPy as one of Python."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
