"""Tasks that score texts: what they ask for, invalid texts, and the scores of expressions against closed forms."""

import inspect
import math
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from conftest import random_vae
from made import measures, searched

from lso_bench import TextTask, expression_scores
from lso_bench.errors import PluginError, UsageError
from lso_bench.plugins.object_version import object_hash
from lso_bench.report import sections, tables
from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.runner.run import run
from lso_bench.runner.text_counts import TextCounts
from lso_bench.spec import Spec
from lso_bench.task import TASKS, text_task
from lso_bench.tasks.expression import Expression
from lso_bench.tasks.ink import Ink
from lso_bench.testing import examine
from lso_bench.vae.architectures import architecture
from lso_bench.vae.checkpoint import save_model, sha256
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.trained_model import Model

DATA = "expressions:rules=6,count=500"  # at most 5 tokens of 12
SOURCE = DATASETS.build("expressions")
ASKED: list[list[str]] = []  # texts of each call of `score_texts`


@pytest.fixture(autouse=True)
def _nothing_asked_yet():
    ASKED.clear()


@dataclass(frozen=True)
class Length(TextTask):
    """Minus the distance of a text's length to `target`; a text that begins with an operator is invalid."""

    target: int = 4
    data = "expressions"
    invalid_score = -100

    def score_texts(self, texts):
        ASKED.append(texts)
        return [None if text[:1] in ("+", "*", "/") else -abs(len(text) - self.target) for text in texts]


def samples(*texts):
    """Texts as one-hot samples of one problem, (1, n, 13, 12)."""
    return LIKELIHOODS.build(SOURCE.likelihood).model_input(torch.tensor(SOURCE.tokens(texts)))[None]


def scored(task, *texts):
    return task.score(samples(*texts).double())[0].tolist()


def test_text_of_a_sample_is_the_likeliest_token_of_each_position_up_to_the_first_end():
    x = 0.4 * samples("x+1", "1") + 0.6 * samples("x*2", "sin(x)")
    x[0, 0, 4] = samples("x").new_tensor([0.2, 0.8] + [0.0] * 10)  # x after the end
    assert Length().texts(x) == ["x*2", "sin(x)"]


def test_sample_of_ends_alone_is_the_empty_text():
    assert Length(target=0).texts(torch.zeros(2, 3, 13, 12)) == [""] * 6
    assert (Length(target=0).score(torch.zeros(2, 3, 13, 12)) == 0).all()


def test_scores_are_those_of_the_texts_in_their_places():
    x = samples("x", "x+1", "sin(x)", "+x", "x", "x").unflatten(1, (2, 3))[0]
    assert Length().score(x).tolist() == [[-3, -1, -2], [-100, -3, -3]]
    assert Length().beside(x)["valid"].tolist() == [[1, 1, 1], [0, 1, 1]]


def test_method_is_called_once_for_each_distinct_text_of_a_run():
    task = Length()
    scored(task, "x", "x+1", "x")
    scored(task, "x+1", "1", "+x")
    task.at(torch.tensor([0])).score(samples("+x", "1"))
    task.beside(samples("x", "+x", "2"))
    assert ASKED == [["x", "x+1"], ["1", "+x"], ["2"]]


def test_tasks_of_other_settings_share_no_scores():
    assert scored(Length(), "x") != scored(Length(target=2), "x")


def test_scores_beyond_those_that_are_kept_are_asked_for_again(monkeypatch):
    monkeypatch.setattr(text_task, "MOST", 2)
    task = Length()
    assert [scored(task, *texts) for texts in (("x", "1"), ("x+1", "x"), ("x",))] == [[-3, -3], [-1, -3], [-3]]
    assert ASKED == [["x", "1"], ["x+1"], ["x"]]


def test_scores_so_far_change_neither_identity_nor_what_goes_to_a_worker():
    task, fresh = Length(), Length()
    scored(task, "x", "+x")
    assert task == fresh and object_hash(task) == object_hash(fresh) and pickle.dumps(task) == pickle.dumps(fresh)
    assert scored(pickle.loads(pickle.dumps(task)), "x", "+x") == [-3, -100]


WRONG = {
    "one too few": (lambda texts: [0.0] * (len(texts) - 1), "wanted a list of 2 scores from `score_texts`, .* got 1$"),
    "no list": (lambda texts: 0.5, r"wanted a list of 2 scores from `score_texts`, one a text, got 0\.5"),
    "infinite": (lambda texts: [-math.inf, 0.0], "and None or NaN of an invalid one, got -inf of 'x'"),
    "a word": (lambda texts: ["good", 0.0], "got 'good' of 'x'"),
    "below invalid": (lambda texts: [0.0, -100.0], "above `invalid_score`, -100, got -100 of '1'; state a lower one"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_scores_that_are_none_are_refused(fault):
    scores, says = WRONG[fault]

    class Faulty(Length):
        def score_texts(self, texts):
            return scores(texts)

    with pytest.raises(ValueError, match=says):
        scored(Faulty(), "x", "1")


def test_score_of_nan_is_that_of_an_invalid_text():
    class Failing(Length):
        def score_texts(self, texts):
            return [math.nan, np.float32("nan"), None, -2.0]

    task, texts = Failing(), ("x", "1", "2", "x+1")
    assert scored(task, *texts) == [-100, -100, -100, -2]
    assert task.beside(samples(*texts))["valid"].tolist() == [[0, 0, 0, 1]]


def raising(*faulty):
    class Raising(Length):
        def score_texts(self, texts):
            return [1 / (text not in faulty) for text in texts]

    return Raising()


@pytest.mark.parametrize(
    ("faulty", "says"),
    [
        (["1"], "scoring the text '1'"),
        (["x" * 90], f"scoring the text '{'x' * 77}...'"),
        (["x", "1"], "scoring the text 'x'"),
    ],
)
def test_error_of_a_score_names_the_text_and_the_line(faulty, says):
    task = raising(*faulty)
    with pytest.raises(PluginError) as caught, plugin_errors("task", task):
        task._scores_of(["x", "1", "x" * 90])
    line = inspect.getsourcelines(type(task).score_texts)[1] + 1
    assert str(caught.value) == (
        f"task Raising: ZeroDivisionError: division by zero, {says} (None says that a text is invalid) "
        f"(test_text_task.py, line {line})"
    )


def test_error_of_texts_together_says_so():
    class Together(Length):
        def score_texts(self, texts):
            return [1.0 / (len(texts) == 1)]

    with pytest.raises(ZeroDivisionError) as caught:
        scored(Together(), "x", "1")
    assert caught.value.__notes__ == ["scoring 2 texts together (None says that a text is invalid)"]


@pytest.mark.parametrize("stated", [math.nan, -math.inf, -1e39, None, "-1"])
def test_invalid_score_that_is_no_finite_number_is_refused_before_a_run(stated):
    class Faulty(Length):
        invalid_score = stated

    with pytest.raises(ValueError, match=r"wanted a finite `invalid_score`, got .*; state it in the class"):
        Faulty().bind(torch.zeros(1, 13, 12))


def test_invalid_score_that_is_not_stated_is_named_by_the_check():
    @dataclass(frozen=True)
    class Unstated(TextTask):
        """Nothing is good."""

        data = "expressions"

        def score_texts(self, texts):
            return [0.0 for _ in texts]

    faults = [f for f in examine(Unstated()) if f.state == "missing"]
    assert "wanted a finite `invalid_score`, got None" in faults[0].missing


@dataclass(frozen=True)
class Noisy(Length):
    """The length of a text, measured with noise."""

    def score_texts(self, texts):
        return [len(text) + NOISE.normal() for text in texts]


NOISE = np.random.default_rng()


def test_noise_in_a_score_of_texts_is_named_by_the_check():
    missing = {f.promise: f.missing for f in examine(Noisy()) if f.state == "missing"}
    assert "wanted the same score each time, got" in missing["determinism"] and "bound again" in missing["determinism"]
    assert not [f for f in examine(Length()) if f.promise == "determinism" and f.state == "missing"]


def test_data_set_without_texts_is_refused_before_a_run():
    with pytest.raises(ValueError, match="wanted a data set of texts, got 'glyphs'"):
        Expression(data="glyphs").bind(torch.zeros(1, 1, 28, 28))


@pytest.mark.parametrize("target", ["1/3+x+sin(x*x)", "x*x", "2"])
def test_target_scores_0_exactly(target):
    assert scored(Expression(target), target) == [0]


LANDMARKS = {
    "x": lambda x: x,
    "exp(x)/2": lambda x: np.exp(x) / 2,
    "x+sin(x*x)": lambda x: x + np.sin(x * x),
    "3": lambda x: np.full_like(x, 3),
}


@pytest.mark.parametrize("text", LANDMARKS)
def test_expression_scores_minus_the_logarithm_of_its_mean_squared_error(text):
    x = np.linspace(-10, 10, 1000)
    error = np.mean((LANDMARKS[text](x) - (1 / 3 + x + np.sin(x * x))) ** 2)
    assert scored(Expression(), text) == [pytest.approx(-math.log(1 + min(error, 1000)), rel=1e-12)]


def test_invalid_expression_scores_1_less_than_the_worst():
    worst, *invalid = scored(Expression(), "exp(exp(x))", "x+", "+x", "(x", "xx", "sin()")
    assert worst == pytest.approx(-math.log(1001)) and invalid == [pytest.approx(worst - 1)] * 5
    assert Expression().beside(samples("exp(exp(x))", "x+"))["valid"].tolist() == [[1, 0]]


def test_scores_of_texts_do_not_depend_on_those_beside_them():
    drawn = SOURCE.texts(np.unique(np.random.default_rng(0).integers(0, 12, (600, 3)), axis=0))
    together = expression_scores(drawn)  # in several chunks
    assert together == [expression_scores([text])[0] for text in drawn]
    assert None in together and any(together)


@pytest.mark.parametrize("text", ["y", "x y", "", "x-1", "sin x", "x\n", "__import__('os')"])
def test_text_of_unknown_symbols_is_invalid(text):
    assert expression_scores([text, "1/3+x+sin(x*x)"]) == [None, 0]


def test_expression_may_be_longer_than_those_of_the_data():
    long = "1/3+x+sin(x*x)" + "*1" * 200
    assert expression_scores([long]) == [0] and Expression(long).score_texts(["1/3+x+sin(x*x)"]) == [0]


@pytest.mark.parametrize("target", ["x+", "y", "1/(x+2*2*2+2)", "exp(exp(x))", ""])
def test_target_that_is_no_finite_expression_is_refused(target):
    with pytest.raises(UsageError, match="wanted an expression that is finite from -10 to 10"):
        TASKS.build(f'expression:target="{target}"')


def test_task_of_texts_that_is_written_as_an_example_keeps_its_promises(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("new-task", "my_task", "--kind", "text").stdout == "my_task.py\n"
    checked = call("check-task", "./my_task.py")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    task = TASKS.build("./my_task.py:target=2")
    assert scored(task, "x", "x+1") == [-1, -1] and task.score(torch.zeros(1, 1, 13, 12)) == -1000  # the empty text


def test_run_that_meets_invalid_texts_goes_on_and_asks_for_the_scores_of_its_evaluations_alone(tmp_path, monkeypatch):
    scores_of = Expression.score_texts
    monkeypatch.setattr(Expression, "score_texts", lambda task, texts: ASKED.append(texts) or scores_of(task, texts))
    arch = "parallel:hidden=8,layers=1,embedding=3"
    path = tmp_path / "model.safetensors"
    save_model(path, random_vae(architecture(arch, 3, (5, 12), "categorical:vocabulary=12")), {"made": "by a test"})
    how = {
        "max_steps": 50,
        "budget": 40,
        "thresholds": (),
        "decoding": "sample",
        "starts": ("random",),
        "region": "box:3",
    }
    record = run(Spec(Model("vae", DATA, arch, 3), sha256(path), f'expression:data="{DATA}"', "sobol", **how), path)
    (search,) = record.members
    assert record.status == "ok" and search.stopped == "budget" and search.evaluations == 40
    assert 1 <= record.counts["distinct_texts"] <= 40 and 1 <= record.counts["invalid_texts"] <= 40
    asked = [text for texts in ASKED for text in texts]
    assert len(asked) == len({*asked}) <= 40  # none of the 50 test texts, but for those that the search meets
    assert record.trace.loss.max() == pytest.approx(math.log(1001) + 1) and search.beside["valid"] in (0, 1)


def test_texts_are_counted_once_for_each_problem():
    counts, x = TextCounts(), samples("x", "x", "+x", "1").unflatten(1, (2, 2))[0]  # two problems, two samples each
    for _ in range(2):
        counts.add(Length(), torch.tensor([0, 4]), x, Length().score(x))
    assert counts.of_record() == {"invalid_texts": 2, "distinct_texts": 3}


def test_texts_that_stand_for_the_same_are_counted_once():
    @dataclass(frozen=True)
    class Sum(Length):
        def subjects(self, texts):
            return ["".join(sorted(text)) for text in texts]

    counts, x = TextCounts(), samples("x+1", "1+x", "x+x", "1")
    counts.add(Sum(), torch.tensor([0]), x, Sum().score(x))
    assert counts.of_record()["distinct_texts"] == 3


def test_task_of_images_has_no_counts_of_texts():
    counts, x = TextCounts(), torch.rand(1, 2, 1, 28, 28)
    counts.add(Ink(), torch.tensor([0]), x, Ink().score(x))
    assert counts.of_record() == {}


def example(seed, **counts):
    return replace(searched({"random": [[9.0, 1.0]]}, init=seed), counts=counts)


def shown(*records):
    (section,) = sections.sections(measures(*records))
    (table,) = [t for t in tables.section_tables(section, "task", names=["runs"])]
    return dict(zip([c.heading for c in table.columns], [cell.text for cell in table.rows[0]], strict=True))


def test_comparison_shows_the_median_shares_of_distinct_and_invalid_texts():
    runs = [example(i, evaluations=100, distinct_texts=10 * i, invalid_texts=90) for i in (1, 2, 4)]
    assert [shown(*runs)[k] for k in ("texts distinct", "texts invalid")] == ["20%", "90%"]


@pytest.mark.parametrize(
    "counts", [{}, {"evaluations": 0, "distinct_texts": 1, "invalid_texts": 1}, {"distinct_texts": 1}]
)
def test_comparison_without_counts_of_texts_shows_none(counts):
    assert not [k for k in shown(example(0, **counts)) if "texts" in k]
