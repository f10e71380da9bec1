"""Examples of tasks and models, of images and of texts, written by `lso-bench new-task` and `lso-bench new-model`."""

from keyword import iskeyword
from pathlib import Path

from lso_bench.errors import UsageError
from lso_bench.plugins.registry import Registry
from lso_bench.task import TASKS
from lso_bench.vae.frozen_models import FROZEN_MODELS

TASK = '''"""Share of the page that is inked."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lso_bench import Task


@dataclass(frozen=True)
class Example(Task):
    """Minus the distance of a glyph's inked share of the page to `target`; 0 is best."""

    target: float = 0.15  # a setting (--task ./example.py:target=0.3): share of the page, in [0, 1]
    data = "glyphs"  # the data set whose samples it scores
    optimum = 0.0  # the best possible score; leave it out where it is not known
    differentiable = True  # say False where no gradient of the score reaches x
    # invalid_score = -1.0  # what NaN counts as, below every other score; without it a score of NaN ends the search

    def score(self, x: Float[Tensor, "k n 1 h w"]) -> Float[Tensor, "k n"]:
        """Higher is better. x: n samples in [0, 1] for each of k problems, every one scored on its own."""
        return -(x.mean(dim=(-3, -2, -1)) - self.target).abs()
'''
TEXT_TASK = '''"""Length of an expression."""

from dataclasses import dataclass

from lso_bench import TextTask


@dataclass(frozen=True)
class Example(TextTask):
    """Minus the distance of an expression's length to `target`; 0 is best."""

    target: int = 9  # a setting (--task ./example.py:target=5): characters
    data = "expressions"  # the data set whose texts it scores (`lso-bench list data`), or a file as "./my.txt"
    optimum = 0.0  # the best possible score; leave it out where it is not known
    invalid_score = -1000.0  # of a text that has no score, below every other score

    def score_texts(self, texts) -> list[float | None]:
        """Higher is better; None for a text that has no score. The texts are distinct, and may be empty."""
        return [-abs(len(text) - self.target) if text else None for text in texts]
'''
MODEL = '''"""A linear autoencoder."""

from dataclasses import dataclass

import torch
from torch import nn

from lso_bench import FrozenModel


@dataclass(frozen=True)
class Example(FrozenModel):
    """Projection of a glyph to a random plane; put your own networks here."""

    data = "glyphs"  # the data set whose samples it takes and gives (`lso-bench list data`)
    latent = 16  # dimensions of the latent space
    files = ()  # weights beside this file, as ("weights.pt",); another content is another model

    def load(self, folder):
        """Return the networks. With weights: network.load_state_dict(self.tensors(folder / "weights.pt"))."""
        network = nn.Linear(28 * 28, self.latent, bias=False)
        nn.init.orthogonal_(network.weight, generator=torch.Generator().manual_seed(0))
        return network

    def encode(self, network, x):
        """Return latents (b, latent) of samples (b, 1, 28, 28), or a distribution: torch.distributions.Normal."""
        return network(x.flatten(1) - 0.1)

    def decode(self, network, z):
        """Return samples in [0, 1]."""
        return (z @ network.weight + 0.1).clamp(0, 1).unflatten(1, (1, 28, 28))
'''
TEXT_MODEL = '''"""A linear autoencoder of texts."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import one_hot

from lso_bench import FrozenTextModel

SYMBOLS, LENGTH = " x123+*/()sinep", 20  # the vocabulary of this model; the blank fills the end


@dataclass(frozen=True)
class Example(FrozenTextModel):
    """Projection of the characters of an expression to a random plane; put your own networks here."""

    data = "expressions"  # the data set whose texts it takes and gives (`lso-bench list data`)
    latent = 64  # dimensions of the latent space
    files = ()  # weights beside this file, as ("weights.pt",); another content is another model

    def load(self, folder):
        """Return the networks. With weights: network.load_state_dict(self.tensors(folder / "weights.pt"))."""
        network = nn.Linear(LENGTH * len(SYMBOLS), self.latent, bias=False)
        nn.init.orthogonal_(network.weight, generator=torch.Generator().manual_seed(0))
        return network

    def encode(self, network, texts):
        """Return latents (b, latent) of texts, or a distribution: torch.distributions.Normal(mean, sd)."""
        rows = [[SYMBOLS.find(c) for c in text[:LENGTH].ljust(LENGTH)] for text in texts]
        tokens = torch.tensor(rows, device=network.weight.device).clamp(min=0)  # an unknown character is a blank
        return network(one_hot(tokens, len(SYMBOLS)).flatten(1).to(network.weight))

    def decode(self, network, z):
        """Return a text of each latent, the same each time; `data` need not be able to write it."""
        tokens = (z @ network.weight).unflatten(1, (LENGTH, len(SYMBOLS))).argmax(-1)
        return ["".join(SYMBOLS[i] for i in row).partition(" ")[0] for row in tokens.tolist()]
'''
KINDS: dict[str, tuple[str, Registry]] = {
    "task": (TASK, TASKS),
    "text task": (TEXT_TASK, TASKS),
    "model": (MODEL, FROZEN_MODELS),
    "text model": (TEXT_MODEL, FROZEN_MODELS),
}
TAKEN = (
    "Task",
    "TextTask",
    "Tensor",
    "Float",
    "FrozenModel",
    "FrozenTextModel",
)  # class names with another meaning in those files


def write(name: str, folder: Path, kind: str = "task") -> Path:
    """Write the file of an example of a kind, one of KINDS, under this name; return its path.

    Raises:
        UsageError: the name is invalid or taken, the file exists, or the folder does not.
    """
    text, registry = KINDS[kind]
    cls = "".join(part.capitalize() for part in name.split("_"))
    if not name.isidentifier() or iskeyword(name) or iskeyword(cls) or name[0] == "_" or cls in TAKEN:
        raise UsageError(f"No {kind} can be called {name!r}; wanted a Python identifier, such as round_letters.")
    if name in registry.names() or name in registry.faults():
        raise UsageError(
            f"There is a {kind} {name!r} already (`lso-bench list {kind.split()[-1]}s`); choose another name."
        )
    path = folder / f"{name}.py"
    if not folder.is_dir():
        raise UsageError(f"No folder {str(folder)!r}; make it, or give another with --folder.")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text.replace("Example", cls).replace("example", name))
    except FileExistsError as error:
        raise UsageError(f"{path} is there already; choose another name, or delete it.") from error
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror or error}; give another folder with --folder."
        ) from error
    return path
