"""Content of a scripted network (TorchScript), the same in each process that loads it."""

import hashlib
import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from copy import deepcopy

import torch

MANGLED = re.compile(r"___torch_mangle_\d+\.?")  # what a process adds to the name of a class that it has already
LEFT_OUT = (".debug_pkl", "serialization_id")  # ends of names of files that say where the code came from


def content(network: torch.jit.ScriptModule) -> Iterator[str]:
    """Yield the code, the weights, the attributes and the constants of a scripted network, in evaluation mode."""
    with torch.no_grad():  # else the weights of the copy are no leaves
        saved: bytes = deepcopy(network).eval().cpu().save_to_buffer()
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(LEFT_OUT):
                yield MANGLED.sub("", name.partition("/")[2]) + _digest(name, archive.read(name))


def _digest(name: str, data: bytes) -> str:
    if name.endswith(".py"):
        return MANGLED.sub("", data.decode())
    return repr(_steps(data)) if name.endswith(".pkl") else hashlib.sha256(data).hexdigest()


def _steps(pickled: bytes) -> list[tuple[str, object]]:
    """Return the steps of a pickle, without the numbers of its memo, which depend on how the network was made."""
    steps = ((step.name, value) for step, value, _ in pickletools.genops(pickled))
    named = ((name, MANGLED.sub("", value) if isinstance(value, str) else value) for name, value in steps)
    return [(name, None if "GET" in name else value) for name, value in named if "PUT" not in name]
