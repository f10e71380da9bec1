"""Tensors from the bytes of a safetensors file of unknown origin."""

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from lso_bench.files.safe_read import parsed

LARGEST_HEADER = 16 << 20  # bytes; our largest file has 0.1 MiB


def tensors_of(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors by name, and the metadata.

    Raises:
        ValueError: the content is no safetensors file, or describes a tensor that torch cannot have.
    """
    size = int.from_bytes(content[:8], "little")
    if 8 + size <= len(content) and size > LARGEST_HEADER:
        raise ValueError(f"its header is larger than {LARGEST_HEADER >> 20} MiB")
    try:
        tensors = load(content)
        return tensors, parsed(content[8 : 8 + size]).get("__metadata__") or {}
    except SafetensorError as error:
        raise ValueError(f"no safetensors file: {error}") from error
    except (TypeError, RuntimeError, KeyError, AssertionError, OverflowError) as error:
        raise ValueError("it holds a tensor that torch cannot have") from error
