"""Measures of models of texts: reconstruction and texts of the prior, of models whose texts are known."""

from pathlib import Path

import pytest
import torch
from conftest import random_vae
from torch import nn

from lso_bench.vae.architectures import architecture
from lso_bench.vae.code_use import exact, token_accuracy
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.datasets.expressions import Expressions
from lso_bench.vae.evaluation import SampleSizes, after_training, evaluate, lacks_code_use, with_prior_texts
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.metrics import Metrics
from lso_bench.vae.prior_texts import prior_shares

SOURCE = DATASETS.build("expressions:rules=6,count=500")  # at most 5 tokens


def tokens(*texts):
    return torch.tensor(SOURCE.tokens(texts))


def x(*texts):
    return LIKELIHOODS.build(SOURCE.likelihood).model_input(tokens(*texts))


@pytest.fixture
def constant():
    """A function that gives the model whose every sample is one text."""

    def model(text):
        vae = random_vae(architecture("parallel:hidden=8,layers=1,embedding=3", 2, SOURCE.shape, SOURCE.likelihood))
        vae.decoder = Forced(100 * x(text)[0])
        return vae

    return model


class Forced(nn.Module):
    """A decoder that gives the same logits for every latent."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, z):
        return self.logits.expand(len(z), *self.logits.shape)


@pytest.mark.parametrize(
    ("text", "valid", "novel"),
    [("x+1", 1.0, 1.0), ("x", 1.0, 0.0), ("x+", 0.0, None)],
    ids=["novel", "known", "invalid"],
)
def test_shares_of_a_model_of_one_text_are_known(constant, text, valid, novel):
    shares = prior_shares(constant(text), SOURCE, tokens("x", "2*x"), 40, seed=0)
    expected = {"prior_valid": (valid, 40)}
    if valid:
        expected |= {"prior_distinct": (1 / 40, 40), "prior_novel": (novel, 1)}
    assert shares == expected  # a share of nothing is missing


def test_texts_all_count_where_the_data_set_cannot_tell_which_are_valid(constant, monkeypatch):
    monkeypatch.setattr(Expressions, "valid", lambda self, texts: None)
    shares = prior_shares(constant("x+"), SOURCE, tokens("x"), 8, seed=0)
    assert shares == {"prior_distinct": (1 / 8, 8), "prior_novel": (1.0, 1)}


def test_valid_texts_are_those_that_parse():
    assert SOURCE.valid(["x", "x+", "sin(x)", "", "y", "x*2/1"]) == [True, False, True, False, False, True]
    assert DATASETS.build("ehrlich").valid(["a"]) == [False]


def test_tokens_count_up_to_and_with_the_first_end(constant):
    vae, texts = constant("x+1"), x("x+1", "x", "x*1", "1+1/x")
    assert exact(vae, texts).tolist() == [1, 0, 0, 0]
    assert token_accuracy(vae, texts).tolist() == pytest.approx([1, 1 / 2, 3 / 4, 2 / 5])


def test_evaluation_of_a_model_of_texts_has_all_its_measures(constant):
    vae, stored = constant("x"), torch.tensor(SOURCE.samples(Path())[:20])
    sizes = SampleSizes(2, 0, 20)
    metrics, _ = evaluate(vae, LIKELIHOODS.build(SOURCE.likelihood).model_input(stored), sizes)
    metrics = with_prior_texts(metrics, vae, SOURCE, stored, sizes, seed=0)
    assert metrics.exact is not None and metrics.token_accuracy is not None and not lacks_code_use(metrics, sizes, vae)
    assert (metrics.prior_valid, metrics.prior_distinct) == (1, 1 / 20)
    assert {"exact", "token_accuracy", "prior_valid", "prior_novel"} <= {*metrics.se} and 0 < metrics.se[
        "prior_valid"
    ] < 0.1


def test_images_have_none_of_these_measures(vae):
    images = torch.rand(6, 1, 28, 28).round()
    sizes = SampleSizes(2, 0, 4)
    metrics = with_prior_texts(after_training(vae, images), vae, DATASETS.build("omniglot"), images, sizes, 0)
    assert all(getattr(metrics, k) is None for k in ("exact", "token_accuracy", "prior_valid", "prior_novel"))


def test_stored_measurement_of_texts_of_an_older_version_is_completed(constant):
    metrics, _ = evaluate(vae := constant("x"), x("x", "1", "2"), sizes := SampleSizes(2, 0, 3))
    assert not lacks_code_use(metrics, sizes, vae)
    older = Metrics(**{k: v for k, v in vars(metrics).items() if k != "token_accuracy"})
    assert lacks_code_use(older, sizes, vae)


@pytest.mark.parametrize(
    ("data", "words"), [("expressions", "texts"), ("omniglot", "images"), ("gaussian_mixture", "samples")]
)
def test_data_set_names_its_samples(data, words):
    assert DATASETS.build(data).words[0] == words


OPTIONS = ("--model", "vae", "--arch", "parallel:hidden=8,layers=1,embedding=3", "--latent", 2)
DATA = "expressions:rules=6,count=500"


def said(call, *arguments):
    """Return the stdout and stderr of a command that ends well."""
    ran = call(*arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, ran.stderr


def test_commands_speak_of_texts_from_training_to_the_page(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said(call, "train", *OPTIONS, "--data", DATA, "--epochs", 1)
    check_evaluation(said(call, "evaluate", *OPTIONS, "--data", DATA, "--codes", 20, "--nll-images", 0)[0])
    run = (
        "run",
        *OPTIONS,
        "--task",
        f'expression:data="{DATA}"',
        "--searcher",
        "sobol",
        "--budget",
        10,
        "--seed",
        "0,1",
    )
    first = said(call, *run)[1]
    (path,) = [Path(line.removeprefix("texts: ")) for line in first.splitlines() if line.startswith("texts: ")]
    assert "best valid text" in path.read_text()
    before = {p: p.stat().st_mtime_ns for p in Path("results/runs").rglob("result.json")}
    said(call, *run, "--no-pictures")
    assert len(before) == 2 and before == {p: p.stat().st_mtime_ns for p in Path("results/runs").rglob("result.json")}
    assert "Best texts" in said(call, "compare", "results", "--table", "texts")[0]
    said(call, "report", "results", "-o", "page.html")
    page = Path("page.html").read_text()
    assert 'id="texts"' in page and 'id="pictures"' not in page


def check_evaluation(printed):
    """The entropy stands below -ELBO, and nothing is called an image."""
    lines = printed.splitlines()
    elbo = next(i for i, line in enumerate(lines) if "-ELBO, nats" in line)
    assert "entropy of the data, nats" in lines[elbo + 1]
    words = " ".join(printed.split())
    assert "image" not in words and "pixel" not in words
    for label in ("reconstructed tokens, share", "texts of the prior: valid, share", "retrieval, share of texts"):
        assert label in words
