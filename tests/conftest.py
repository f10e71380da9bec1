"""Fixtures and settings of all tests: shapes and types checked while they run, one thread, folders of their own."""

import ast
import gc
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import warnings
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from importlib.metadata import packages_distributions
from multiprocessing import forkserver, process
from pathlib import Path
from typing import NoReturn

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
for ignored in (signal.SIGINT, signal.SIGQUIT):  # by a background job of a shell, and so by all that it starts
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.default_int_handler if ignored is signal.SIGINT else signal.SIG_DFL)

import checks
from jaxtyping import config

for module in ("beartype", "matplotlib.figure", "pandas", "scipy.ndimage", "scipy.stats", "torch._dynamo", "typer"):
    import_module(module)  # before the hook: what is imported after it is compiled each time, not read as byte code

checks.install("lso_bench")

from dataclasses import asdict

import pytest
import torch

from lso_bench.cli import main
from lso_bench.errors import UnusableError
from lso_bench.executors.fork_server import start_server
from lso_bench.executors.local import PRELOAD
from lso_bench.vae.architectures import Architecture
from lso_bench.vae.architectures.paper import Paper
from lso_bench.vae.checkpoint import save_model
from lso_bench.vae.data import Dataset, binarise
from lso_bench.vae.model import VAE
from lso_bench.vae.trained_model import Model

torch.set_num_threads(1)
for module in (
    *PRELOAD,
    "lso_bench.analysis.comparison",
    "lso_bench.study.completeness",
    "lso_bench.paper.tables",
    "lso_bench.report.figure_files",
):
    import_module(module)  # what the commands import when they begin, so that forks have it

PACKAGES = {*packages_distributions(), *sys.stdlib_module_names, "lso_bench"}  # no plugin of a test
PACKAGES -= {"torch", "torchvision"}  # whose operators are declared by whoever needs them

REAL = Path(os.environ.get("LSO_BENCH_DATA", ""))
needs_real = pytest.mark.skipif(
    not (os.environ.get("LSO_BENCH_DATA") and (REAL / "omniglot-py").is_dir()),
    reason="LSO_BENCH_DATA names no folder with Omniglot and MNIST",
)

PROGRAM = [sys.executable, "-c", "from lso_bench.cli import main; main()"]
SHORT = ("--task", "glyphs50", "--latent", "4", "--max-steps", "2", "--device", "cpu")  # of a run
TINY = Paper(latent=4, encoder=4, hidden=8, channels=4, kernels=(7, 5, 3), skips=False)


def preset(arch: Paper) -> dict[str, object]:
    """The settings under which an architecture may have a name of its own."""
    return {k: v for k, v in asdict(arch).items() if k not in ("shape", "latent", "likelihood")}


NOISE = """from lso_bench.vae.datasets import ImageSource
import numpy as np
from dataclasses import dataclass

@dataclass(frozen=True)
class Noise(ImageSource):
    size, likelihood = 28, "bernoulli"

    def images(self, folder):
        return np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
"""


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays: modules, tests and their parameters."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the user's checkpoints."""
    monkeypatch.setenv("LSO_BENCH_CHECKPOINTS", str(tmp_path / "checkpoints"))


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No types are checked, as outside the tests."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


@pytest.fixture(autouse=True)
def one_seed() -> None:
    """Every test draws the same random numbers, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Data sets are read once for all tests, never from the user's cache."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base  # by all that test at the same time
    os.environ["LSO_BENCH_CACHE"] = str(shared / "cache")


@pytest.fixture
def vae() -> VAE:
    """A tiny model with random weights and batch-norm statistics of its own."""
    return random_vae(TINY)


def random_vae(arch: Architecture, seed: int = 0) -> VAE:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = VAE(arch)
        for m in model.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(m.weight, 0.5, 1.5)
                torch.nn.init.normal_(m.bias, std=0.3)
                assert m.running_mean is not None and m.running_var is not None
                m.running_mean.normal_(std=0.3)
                m.running_var.uniform_(0.5, 1.5)
        return model.eval()


def squares(count: int, seed: int = 0) -> torch.Tensor:
    """Binary images of one filled square each, (count, 1, 28, 28)."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.zeros(count, 1, 28, 28)
    for image in x:
        (i, j), side = (
            torch.randint(2, 16, (2,), generator=rng).tolist(),
            4 + int(torch.randint(8, (1,), generator=rng)),
        )
        image[:, i : i + side, j : j + side] = 1
    return x


@pytest.fixture
def square_data() -> Dataset:
    """A data set small enough to train on in a test."""
    grey = (squares(120) * 230).to(torch.uint8)
    fixed = torch.Generator().manual_seed(0)
    return Dataset("omniglot", grey, binarise(grey[:20], fixed), binarise(grey[20:60], fixed), "of squares")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny model saved where `vae` trained on glyphs with 4 latent dimensions is looked for."""
    path = tmp_path / "checkpoints" / Model("vae", "glyphs", "small", 4).file
    save_model(path, random_vae(TINY), {"made": "by a test"})
    return path


@pytest.fixture
def model_of_noise(tmp_path, monkeypatch):
    """A tiny model, saved, of a small data set of the user."""
    (tmp_path / "noise.py").write_text(NOISE)
    monkeypatch.chdir(tmp_path)
    model = Model("vae", "noise.py", "small", 4)
    save_model(tmp_path / "checkpoints" / model.file, random_vae(TINY), {"made": "by a test"})
    return model


def messages(errors: str) -> list[str]:
    """Return the lines on stderr without those that announce what takes more than a moment."""
    return [line for line in errors.splitlines() if not re.fullmatch(r"[A-Z].* \.\.\.(?: \d+ s)?", line)]


@pytest.fixture
def call_fresh(tmp_path):
    """Run the program in an empty folder, as a new process; its output, errors and exit status."""

    def run(*arguments, **options):
        environment = os.environ | {"LSO_BENCH_CHECKPOINTS": str(tmp_path / "checkpoints")}
        defaults = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 200}
        return subprocess.run([*PROGRAM, *map(str, arguments)], **(defaults | options))

    return run


@pytest.fixture
def call(tmp_path):
    """Call as `call_fresh` does, in a fork of this process, which has its imports behind it."""

    def run(*arguments):
        if arguments and arguments[0] in ("run", "check-model", "check-task", "reproduce"):
            multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
            start_server()
        *outputs, imported = [tmp_path.parent / f"{tmp_path.name}.{end}" for end in ("out", "err", "modules")]
        child = os.fork()
        if not child:
            for stream, path in enumerate(outputs, 1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
            sys.stdout, sys.stderr = (os.fdopen(stream, "w", closefd=False) for stream in (1, 2))
            become_the_program(tmp_path, [*map(str, arguments)], imported)
        _, status = os.waitpid(child, 0)
        import_too(imported)
        return subprocess.CompletedProcess(
            arguments, os.waitstatus_to_exitcode(status), *(o.read_text() for o in outputs)
        )

    return run


@pytest.fixture
def start(tmp_path):
    """Start the program as `call` does; the process, and its errors as a stream that is read while it runs."""
    with ExitStack() as stack:

        def run(*arguments):
            receiver, sender = os.pipe()
            child = multiprocessing.get_context("fork").Process(target=_say_to, args=(sender, tmp_path, arguments))
            child.start()
            os.close(sender)
            stack.callback(child.join)
            stack.callback(child.kill)  # comes first, and does nothing where it has ended
            return child, stack.enter_context(os.fdopen(receiver))

        yield run


def _say_to(sender: int, folder: Path, arguments: tuple[object, ...]) -> NoReturn:
    """Become the program, whose errors go to this descriptor, and its output nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(sender, 2)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", closefd=False) for stream in (1, 2))
    become_the_program(folder, [*map(str, arguments)])


def become_the_program(folder: Path, arguments: list[str], imported: Path = Path(os.devnull)) -> NoReturn:
    """Run the program in this process, a fork, with its streams as they are; never comes back.

    The names of the modules that it imports are written to `imported`.
    """
    gc.freeze()  # what is shared with the process of the tests stays shared
    before = set(sys.modules)
    warnings.resetwarnings()
    config.update("jaxtyping_disable", True)  # typer says another type of its context than it gives
    # It runs, though not as a child of this process, which is all that would be looked for.
    forkserver.ensure_running = forkserver._forkserver.ensure_running = lambda: None
    process._children.clear()  # those of the tests  # pyright: ignore[reportAttributeAccessIssue]
    os.chdir(folder)
    sys.argv, status = ["lso-bench", *arguments], 70
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        imported.write_text("\n".join(name for name in [*sys.modules] if name not in before))
        os._exit(status)


def import_too(imported: Path) -> None:
    """Import what a fork has imported of installed packages, so that the next one has it."""
    names = imported.read_text().split("\n") if imported.exists() else ()
    for name in names:
        if name.partition(".")[0] in PACKAGES:
            with warnings.catch_warnings(action="ignore"), suppress(ImportError):
                import_module(name)


@contextmanager
def as_another_user(folder):
    """The body has no rights beyond those of others in `folder`, also where these tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.parents):
        path.chmod(path.stat().st_mode | 0o55)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def refused_within(memory, load):
    """Tell whether `load` refuses what it reads, in a process that may take so many bytes beside what it has."""
    child = os.fork()
    if not child:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
        try:
            load()
        except UnusableError:
            os._exit(0)
        except BaseException:
            os._exit(1)
        os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def fails(done, status, *says):
    """It ended with that status, one line on stderr that says all this, nothing on stdout and no traceback.

    A line of progress may stand before it, where the machine is slow.
    """
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    (line,) = [x for x in done.stderr.strip().splitlines() if not x.startswith("Planning: ")]
    for text in says:
        assert text in line


def lines_of_code(text):
    """Lines that are not blank, comments, docstrings or imports."""
    tree, left_out = ast.parse(text), set()
    for node in ast.walk(tree):
        imports = isinstance(node, ast.Import | ast.ImportFrom)
        if isinstance(node, ast.stmt) and (
            imports or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ):
            left_out |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code = [i for i, line in enumerate(text.splitlines(), 1) if line.strip() and not line.strip().startswith("#")]
    return len([i for i in code if i not in left_out])
