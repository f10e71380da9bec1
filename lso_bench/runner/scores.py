"""Validation of a task's results, the same for runs and for `check-task`."""

from jaxtyping import Float
from torch import Tensor

from lso_bench.record import RETRIEVED
from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.task import Task


def scores(y: object, x: Float[Tensor, "k n *shape"], invalid: int | float | None = None) -> Float[Tensor, "k n"]:
    """Return the scores that a task gave for `x`, of any floating-point dtype and device, with those of `x`.

    Args:
        invalid: what stands for NaN; None: NaN stays.

    Raises:
        TypeError: they are not a tensor.
        ValueError: they are not one floating-point number a sample.
    """
    shape = tuple(x.shape[:2])
    if not isinstance(y, Tensor):
        raise TypeError(f"wanted a tensor of scores of shape {shape}, got {y!r}")
    if tuple(y.shape) != shape or not y.is_floating_point():
        raise ValueError(f"wanted floating-point scores of shape {shape}, got {y.dtype} of shape {tuple(y.shape)}")
    y = y.to(x)
    return y if invalid is None else y.masked_fill(y.isnan(), invalid)


def reported(values: object, x: Float[Tensor, "k n *shape"]) -> dict[str, Float[Tensor, "k n"]]:
    """Return the auxiliary values that `beside` gave for `x`, in double precision.

    Raises:
        ValueError: they are not a dict from names to one real number a sample.
    """
    shape = tuple(x.shape[:2])
    if not isinstance(values, dict):
        raise ValueError(f"wanted a dict from `beside`, got {values!r}")
    for name, numbers in values.items():
        if not (isinstance(name, str) and name.isprintable()):
            raise ValueError(f"wanted names that are printable text from `beside`, got {name!r}")
        if name == RETRIEVED:
            raise ValueError(f"wanted another name than {name!r} from `beside`: runs record their own value by it")
        if not isinstance(numbers, Tensor) or tuple(numbers.shape) != shape or numbers.is_complex():
            got = f"{numbers.dtype} of shape {tuple(numbers.shape)}" if isinstance(numbers, Tensor) else repr(numbers)
            raise ValueError(f"wanted {name!r} of each sample, a tensor of shape {shape}, got {got}")
    return {name: numbers.double() for name, numbers in values.items()}


def targets(images: object) -> Float[Tensor, "k *shape"]:
    """Return the targets of a task, of any floating-point dtype, in single precision.

    Raises:
        ValueError: they are not a floating-point tensor.
    """
    if not isinstance(images, Tensor):
        raise ValueError(f"wanted a tensor of targets, got {images!r}; give it, or say has_targets = False")
    if not images.is_floating_point():
        raise ValueError(f"wanted floating-point targets in [0, 1], got {images.dtype}; divide grey levels by 255")
    return images.float()


def targets_of(task: Task) -> Float[Tensor, "k *shape"] | None:
    """Return the targets of a task; None if it has none.

    Raises:
        PluginError: they are not a floating-point tensor, or the task raises.
    """
    with plugin_errors("task", task):
        images = task.targets()
        return None if images is None and not task.has_targets else targets(images)
