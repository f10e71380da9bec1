"""The documented searchers of other libraries keep their promises, where these are installed."""

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import differential_evolution, minimize

import lso_bench as lb
from lso_bench.testing import examine_searcher

PAGE = Path(__file__).parents[1] / "docs" / "bring-your-own.md"
OPTIMIZERS = {  # and the number of steps in which a check sees them get better
    "optuna_sampler.py": ("optuna", 30),
    "optuna_sampler.py:sampler=gp": ("optuna", 16),
    "nevergrad_optimizer.py": ("nevergrad", 30),
    "nevergrad_optimizer.py:method=TwoPointsDE": ("nevergrad", 30),
    "skopt_optimizer.py": ("skopt", 14),
    "scipy_evolution.py": ("scipy", 40),
}
THREADED = {"seed", "side effects"}  # promises that NGOpt breaks: it chooses COBYLA, in a thread


def text_of(file):
    (text,) = re.findall(rf"`{file}`[^\n]*:\n\n```python\n(.*?)```", PAGE.read_text(), re.S)
    return text


@pytest.fixture(params=OPTIMIZERS)
def optimizer(request, tmp_path, monkeypatch):
    """The name of a searcher, whose file is written as the page has it."""
    monkeypatch.chdir(tmp_path)
    file = request.param.partition(":")[0]
    Path(file).write_text(text_of(file))
    package, _ = OPTIMIZERS[request.param]
    pytest.importorskip(package, reason=f"{package} is not installed")
    return request.param


def search(optimizer, seed, folder):
    """Minimise ink's loss by a run of 12 evaluations; return its search."""
    study = lb.Study("vae", "ink", f"./{optimizer}", arch="conv", starts=["random"], budget=12, seeds=[seed])
    (record,) = study.run(folder, quiet=True, isolation="none").records
    assert record.status == "ok"
    (member,) = record.members
    assert member.evaluations == 12 and member.loss < member.first_loss
    return member


@pytest.mark.filterwarnings("default")
def test_documented_optimizer_keeps_its_promises(optimizer):
    _, steps = OPTIMIZERS[optimizer]
    missing = {f.promise for f in examine_searcher(f"./{optimizer}", steps) if f.state == "missing"}
    assert missing <= (THREADED if optimizer == "nevergrad_optimizer.py" else set())


@pytest.mark.filterwarnings("default")
def test_documented_optimizer_repeats_a_run_of_the_same_seed_alone(optimizer, tmp_path):
    first, again, another = (search(optimizer, seed, tmp_path / name) for seed, name in ((0, "a"), (0, "b"), (1, "c")))
    assert first.loss == again.loss != another.loss


CALLS = {
    "Nelder-Mead": lambda f: minimize(f, np.ones(3), method="Nelder-Mead"),
    "evolution": lambda f: differential_evolution(
        f, [(-2, 2)] * 3, seed=3, maxiter=5, vectorized=True, updating="deferred"
    ),
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("call", CALLS)
def test_repeated_call_asks_for_the_points_of_the_call_itself(call):
    def function(x):
        called.append(x.T.copy())
        return ((x.T - 0.3) ** 2).sum(-1)

    called, asked, namespace = [], [], {"__name__": "__main__"}
    CALLS[call](function)
    exec(text_of("scipy_evolution.py").partition("@dataclass")[0], namespace)
    optimizer = namespace["Repeated"](CALLS[call])
    with contextlib.suppress(StopIteration):
        while len(asked) <= len(called):
            asked.append(optimizer.ask())
            optimizer.tell(asked[-1], ((asked[-1] - 0.3) ** 2).sum(-1).tolist())
    assert len(called) > 5 and len(asked) == len(called) and all(map(np.array_equal, asked, called))


NELDER_MEAD = """
from scipy.optimize import minimize

class NelderMead(AskTell):
    \"\"\"Nelder-Mead of SciPy.\"\"\"

    def optimizer(self, problem):
        return Repeated(lambda f: minimize(f, problem.start, method="Nelder-Mead", bounds=problem.bounds))
"""


def test_optimizer_that_draws_nothing_needs_no_seed(tmp_path):
    """In a new process PyTorch imports what seeds a generator while the check looks for draws."""
    file = tmp_path / "nelder_mead.py"
    file.write_text(text_of("scipy_evolution.py").partition("@dataclass")[0] + NELDER_MEAD)
    program = "from lso_bench.cli import main; main()"
    words = [sys.executable, "-c", program, "check-searcher", str(file), "--steps", "10", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    states = {f["promise"]: f["state"] for f in json.loads(done.stdout)}
    assert states["seed"] == "ok" and "missing" not in states.values(), done.stdout
