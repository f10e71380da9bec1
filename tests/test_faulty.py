"""Faulty tasks as a user meets them: each is named in a line, and harms nothing else."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SHORT, squares
from examples import INK, SPARSE
from jaxtyping import config

from lso_bench.errors import UnusableError
from lso_bench.executors.worker import attempt
from lso_bench.plugins.code_version import source_hash
from lso_bench.runner.cache import Loaded
from lso_bench.runner.placement import Placement
from lso_bench.spec import Spec
from lso_bench.study.grid import PlannedRun
from lso_bench.vae.asking import terms_of
from lso_bench.vae.checkpoint import read, sha256, write
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import Model

ROOT = Path(__file__).parents[1]

FAULTY = """from dataclasses import dataclass
import torch
from lso_bench.tasks.reconstruction import Reconstruction

CALLS = []

@dataclass(frozen=True)
class Faulty(Reconstruction):
    "Goes wrong."
    data: str = "glyphs"
    instances: int = 2
    variants = {}

    def score(self, x):
        y = super().score(x)
        CALLS.append(1)
        ...
"""


def test_task_that_goes_wrong_is_named_the_others_go_on_and_it_ends_with_status_3(call, checkpoint, tmp_path):
    for name, last in {
        "raises": "if len(CALLS) == 37: raise ZeroDivisionError('as written')\n        return y",
        "shape": "return y.sum(1)",
        "whole": "return y.long()",
        "cut": "return y.detach()",
        "nan": "return y * torch.nan",
    }.items():
        (tmp_path / f"{name}.py").write_text(FAULTY.replace("...", last))
    tasks = "./raises.py,./shape.py,./whole.py,./cut.py,./nan.py,glyphs50:instances=2"
    limits = ("--latent", "4", "--max-steps", "40", "--starts", "random", "--device", "cpu", "--quiet", "--no-pictures")
    done = call("run", "--model", "vae", "--task", tasks, *limits)
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    by_task = {line.split(" · ")[1]: line for line in done.stderr.splitlines() if " · " in line}
    line = 1 + (tmp_path / "raises.py").read_text().splitlines().index(
        "        if len(CALLS) == 37: raise ZeroDivisionError('as written')"
    )
    assert by_task["./raises.py"].endswith(
        f"failed, task Faulty: ZeroDivisionError: as written (raises.py, line {line})"
    )
    assert "failed, task Faulty: ValueError: wanted floating-point scores of shape (2, 1), got" in by_task["./shape.py"]
    assert "got torch.int64 of shape (2, 1)" in by_task["./whole.py"]
    assert "the score carries no gradient; say `differentiable = False`" in by_task["./cut.py"]
    assert (
        "diverged, task Faulty: the score of 2 of 2 problems is not finite; mend `score`, or choose a searcher"
        in (by_task["./nan.py"])
    )
    assert "glyphs50 · adam · seed 0: ok" in by_task["glyphs50"]
    assert "failed" in done.stdout


@pytest.mark.parametrize(
    ("stated", "score", "ends"),
    [
        ("", "torch.nan", "diverged, .*not finite; .*state what NaN counts as: `invalid_score = -1.0` in its class"),
        ("invalid_score = -5.0", "torch.inf", "diverged, .*not finite; let it give NaN, which counts as `inv"),
        ("invalid_score = -5.0", "torch.nan", "ok, None"),
        (
            "invalid_score = 'low'",
            "torch.nan",
            "failed, task Ink: ValueError: wanted a finite `invalid_score`, got 'low'",
        ),
    ],
)
def test_run_whose_scores_are_not_finite_goes_on_by_invalid_score_or_names_it(
    checkpoint, tmp_path, stated, score, ends
):
    text = INK.replace("optimum = 0.0", stated).replace("return -(", f"return {score} + -(")
    (tmp_path / "nan.py").write_text(f"import torch\n{text}")
    spec = Spec(Model("vae", "glyphs", "small", 4), sha256(checkpoint), f"{tmp_path / 'nan.py'}", "sobol", max_steps=2)
    spec = replace(spec, budget=3, thresholds=(), region="box:3", decoding="sample", starts=("random",))
    record = attempt(PlannedRun(replace(spec, source=source_hash(spec.task)), checkpoint), Placement(), Loaded(), print)
    assert re.match(ends, f"{record.status}, {record.error}", re.S)
    if record.status == "ok":
        assert record.members[0].loss == 5.0 and record.counts["invalid_scores"] == 3


def test_faulty_files_among_the_tasks_are_named_and_harm_no_other(call_fresh, checkpoint, tmp_path):
    ours = shutil.ignore_patterns("*.safetensors", "SHA256SUMS")
    shutil.copytree(
        ROOT / "lso_bench", tmp_path / "lso_bench", ignore=ours
    )  # the whole program, for its tasks are meant
    two = INK + "\n\nclass Other(Task):\n    pass\n"
    taken = INK.replace("data =", "variants = {'mnist50': {}}\n    data =")
    odd = INK.replace("data =", "variants = ['a']\n    data =")
    faulty = {"absent": "import nothing_here", "two": two, "none": "x = 1", "abstract": INK.replace("score", "scores")}
    for name, text in (faulty | {"taken": taken, "odd": odd, "fine": INK, "ends": "raise SystemExit(7)"}).items():
        (tmp_path / "lso_bench" / "tasks" / f"{name}.py").write_text(text)
    listed = call_fresh("list", "tasks")
    assert listed.returncode == 0 and {"fine", "glyphs50"} <= set(listed.stdout.split()), listed.stderr
    messages = dict(line.removeprefix("faulty: ").split(": ", 1) for line in listed.stderr.splitlines())
    assert messages.keys() == {*faulty, "mnist50", "odd", "ends"}
    assert "ModuleNotFoundError" in messages["absent"] and "got 2 (Ink, Other)" in messages["two"]
    assert "defined by both lso_bench.tasks.reconstruction and lso_bench.tasks.taken; rename one" in messages["mnist50"]
    assert call_fresh("run", "--model", "vae", "--dry-run", *SHORT).stdout.count("to do") == 1


def test_check_task_says_of_each_promise_whether_it_is_kept(call, tmp_path):
    assert call("new-task", "my_task").stdout == "my_task.py\n"
    text = (tmp_path / "my_task.py").read_text()
    (tmp_path / "my_task.py").write_text(text.replace("optimum = 0.0", "optimum = -0.3"))
    done = call("check-task", "./my_task.py:target=0.2")
    assert done.returncode == 2 and "breaks 1 of its promises" in done.stderr
    lines = done.stdout.splitlines()
    (missing,) = [line for line in lines if not line.startswith(("ok ", "not made "))]
    assert missing.startswith("missing   optimum: wanted no score above the stated -0.3, got ")
    assert "ok        worker: goes to another process and scores the same there" in lines


@pytest.mark.parametrize(
    ("part", "starts", "says"),
    [
        ("decoder", "random", "model vae: the decoded sample of 50 of 50 problems is not finite"),
        ("encoder", "encoder", "model vae: its encoder gives starts that are not finite"),
    ],
)
def test_model_with_weights_that_are_too_large_is_named_and_not_the_task(checkpoint, part, starts, says):
    tensors, header = read(checkpoint)
    large = {k: t * 1e30 if k.startswith(part) and t.is_floating_point() else t for k, t in tensors.items()}
    write(checkpoint, large, header)
    spec = Spec(Model("vae", "glyphs", "small", 4), sha256(checkpoint), "glyphs50", "sobol", max_steps=2, budget=2)
    spec = replace(spec, thresholds=(), region="box:3", starts=(starts,))
    record = attempt(PlannedRun(spec, checkpoint), Placement(), Loaded(), lambda _: None)
    assert record.status in ("diverged", "failed") and str(record.error).startswith(says)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("raise RuntimeError('as written')", "RuntimeError: as written"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("return 3", "TypeError: wanted Terms, got 3"),
    ],
)
def test_objective_that_goes_wrong_is_named_in_one_line(tmp_path, vae, line, says):
    (tmp_path / "bad.py").write_text(SPARSE.replace("q = vae.encode(x)", f"q = vae.encode(x)\n        {line}"))
    with pytest.raises(UnusableError, match=f"Objective Sparse: .*{says}"):
        terms_of(OBJECTIVES.build(str(tmp_path / "bad.py")), vae, squares(3))


@pytest.mark.parametrize(("call", "got"), [(".sum()", r"\(\)"), ("", r"\(3, 4\)")])
def test_term_that_is_not_one_number_of_each_image_is_refused(tmp_path, vae, monkeypatch, call, got):
    """A sum over the batch as well would weigh the term by the size of the batch, and train without a word."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)  # as outside the tests
    (tmp_path / "bad.py").write_text(SPARSE.replace(".abs().sum(-1)", f".abs(){call}"))
    says = rf"wanted a penalty of each image, of shape \(3,\), got shape {got}; sum over latents"
    with pytest.raises(UnusableError, match=f"Objective Sparse: .*{says}"):
        terms_of(OBJECTIVES.build(str(tmp_path / "bad.py")), vae, squares(3))
