"""Scores of the built-in tasks, against closed forms; the contract that all tasks keep is in test_plugins."""

from pathlib import Path

import pytest
import torch
from conftest import lines_of_code, squares

from lso_bench import classifier, density, tasks
from lso_bench.errors import UsageError
from lso_bench.study import grid
from lso_bench.task import TASKS
from lso_bench.tasks.digit_score import DigitScore
from lso_bench.tasks.ink import Ink
from lso_bench.tasks.match_classifier import MatchClassifier
from lso_bench.tasks.strokes import Strokes
from lso_bench.tasks.symmetry import Symmetry


def page(*boxes):
    """One sample of one problem: white, with filled boxes (top, bottom, left, right); (1, 1, 1, 28, 28)."""
    x = torch.zeros(1, 1, 1, 28, 28)
    for top, bottom, left, right in boxes:
        x[..., top:bottom, left:right] = 1
    return x


@pytest.mark.parametrize("share", [0.0, 0.1, 0.15, 1.0])
def test_ink_falls_by_as_much_as_the_share_is_off(share):
    grey = torch.full((1, 1, 1, 28, 28), share)
    assert Ink(target=0.15).score(grey).item() == pytest.approx(-abs(share - 0.15), abs=1e-6)


@pytest.mark.parametrize(
    ("boxes", "score"),
    [
        (((2, 9, 10, 18),), 1.0),  # about the middle of the page
        (((2, 9, 0, 4), (2, 9, 24, 28)), 1.0),
        (((2, 9, 0, 4),), 0.0),
        ((), 0.0),
        (((2, 4, 12, 20),), 1 / 3),  # columns 12 to 19, mirrored 8 to 15: 4 in both, 12 in either
    ],
)
def test_symmetry_is_intersection_over_union(boxes, score):
    assert Symmetry().score(page(*boxes)).item() == pytest.approx(score)


def test_mirror_image_is_as_symmetric():
    x = squares(20)[None]
    assert torch.equal(Symmetry().score(x), Symmetry().score(x.flip(-1)))


@pytest.mark.parametrize(
    ("boxes", "pieces"),
    [((), 0), (((1, 3, 1, 3),), 1), (((1, 3, 1, 3), (5, 7, 5, 7)), 2), (((1, 3, 1, 3), (3, 5, 3, 5)), 1)],
)
def test_strokes_count_pieces_that_touch_at_corners_once(boxes, pieces):
    assert Strokes(target=5).score(page(*boxes)).item() == pieces - 5
    assert Strokes(target=pieces).score(page(*boxes)).item() == 0


def test_pieces_of_two_pages_are_never_one():
    both = torch.cat([page((0, 28, 5, 7)), page((0, 28, 5, 7))], 1)
    assert Strokes(target=1).score(both).tolist() == [[0, 0]]


def test_digit_score_weighs_every_digit_by_its_distance():
    x = torch.rand(1, 6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([[2.718281828459045 ** (-2 * (i - j) ** 2) for j in range(10)] for i in range(10)])
    scores = torch.stack([DigitScore(d).score(x) for d in range(10)], -1)
    torch.testing.assert_close(scores, classifier("mnist")(x).softmax(-1) @ weights)


@pytest.mark.parametrize("data", ["mnist", "omniglot"])
def test_probabilities_of_all_classes_are_one(data):
    x = torch.rand(2, 3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    each = [MatchClassifier(c, data).score(x) for c in classifier(data).classes]
    torch.testing.assert_close(torch.stack(each).logsumexp(0), torch.zeros(2, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("data", ["mnist", "omniglot"])
def test_density_of_noise_is_far_below_that_of_the_data(data):
    x = torch.rand(1, 4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    notes = MatchClassifier(classifier(data).classes[0], data).beside(x)
    assert (notes["log_density"] < 3 * density(data).ordinary).all() and not notes["valid"].any()


def test_class_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="no class 'Klingon' of omniglot; there are Alphabet_of_the_Magi"):
        TASKS.build("match_classifier:data=omniglot,target=Klingon")


@pytest.mark.parametrize("name", ["ink", "symmetry", "strokes"])
@pytest.mark.parametrize("data", ["glyphs", "mnist", "omniglot"])
def test_structure_scores_run_on_every_data_set(name, data):
    task = TASKS.build(f"{name}:data={data}")
    assert task.data == data and task.score(squares(6)[None]).shape == (1, 6)


@pytest.mark.parametrize(
    "text", ["digit_score:digit=42", "ink:target=3", "strokes:target=-1", "match_classifier:target=x"]
)
def test_setting_whose_optimum_no_image_reaches_is_refused(text):
    with pytest.raises(UsageError, match=r"wanted|no class 'x'"):
        TASKS.build(text)


def test_data_set_that_there_is_not_is_named():
    with pytest.raises(UsageError, match=r"No data set 'mnits'.* Did you mean 'mnist'"):
        grid.plan(grid.Grid(["vae"], ["ink:data=mnits"], ["sobol"], arch="conv"))


FILES = sorted(p for p in Path(tasks.__path__[0]).glob("*.py") if p.stem != "__init__")


@pytest.mark.parametrize("path", [p for p in FILES if p.stem in ("ink", "symmetry", "strokes", "digit_score")])
def test_simple_task_is_no_longer_than_promised(path):
    assert lines_of_code(path.read_text()) <= 15


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_guide_gives_every_task_and_its_lines(path):
    guide = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text()
    entry = f"`tasks/{path.name}`, {lines_of_code(path.read_text())} lines"
    assert entry in guide, f"docs/tasks.md lacks this entry, or its number of lines: {entry}"
