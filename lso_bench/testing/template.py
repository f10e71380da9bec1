"""Example of a task, written by `lso-bench new-task`."""

from keyword import iskeyword
from pathlib import Path

from lso_bench.errors import UsageError
from lso_bench.task import TASKS

TEXT = '''"""How much of the page is inked."""

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

    def score(self, x: Float[Tensor, "k n 1 h w"]) -> Float[Tensor, "k n"]:
        """Higher is better. x: n samples in [0, 1] for each of k problems, every one scored on its own."""
        return -(x.mean(dim=(-3, -2, -1)) - self.target).abs()
'''
TAKEN = ("Task", "Tensor", "Float")  # class names with another meaning in that file


def write(name: str, folder: Path) -> Path:
    """Write the file of an example task of this name; return its path.

    Raises:
        UsageError: the name is invalid or taken, the file exists, or the folder does not.
    """
    cls = "".join(part.capitalize() for part in name.split("_"))
    if not name.isidentifier() or iskeyword(name) or iskeyword(cls) or name[0] == "_" or cls in TAKEN:
        raise UsageError(f"No task can be called {name!r}; wanted a Python identifier, such as round_letters.")
    if name in TASKS.names() or name in TASKS.faults():
        raise UsageError(f"There is a task {name!r} already (`lso-bench list tasks`); choose another name.")
    path = folder / f"{name}.py"
    if not folder.is_dir():
        raise UsageError(f"No folder {str(folder)!r}; make it, or give another with --folder.")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEXT.replace("Example", cls).replace("example", name))
    except FileExistsError as error:
        raise UsageError(f"{path} is there already; choose another name, or delete it.") from error
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror or error}; give another folder with --folder."
        ) from error
    return path
