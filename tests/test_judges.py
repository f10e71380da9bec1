"""The models that judge images: their labels, what they measure, and how they are kept."""

import shutil
from dataclasses import replace

import pytest
import torch
from conftest import REAL, needs_real, squares

from lso_bench.errors import UnusableError, UsageError
from lso_bench.models import training
from lso_bench.vae import data, judges
from lso_bench.vae.checkpoint import read, write
from lso_bench.vae.datasets import omniglot
from lso_bench.vae.judges import ReferenceModel, classifier, density
from lso_bench.vae.labels import Labels, load_labels
from lso_bench.vae.trained_model import SHIPPED


@needs_real
def test_labels_of_mnist_are_those_of_its_images():
    images, labels = data.load("mnist", REAL), load_labels("mnist", REAL)
    means = torch.stack([images.train[labels.train == c].float().mean(0) / 255 for c in range(10)]).flatten(1)
    for x, y in ((images.valid, labels.valid), (images.test, labels.test)):
        nearest = torch.cdist(x.flatten(1), means).argmin(1)
        assert len(x) == len(y) and (nearest == y).float().mean() > 0.75  # the nearest mean; by chance 0.1


@needs_real
def test_labels_of_omniglot_are_the_folders_of_its_images():
    images, labels = data.load("omniglot", REAL), load_labels("omniglot", REAL)
    assert len(labels.classes) == 50 and labels.classes[0] == "Alphabet_of_the_Magi"
    named = [d for half in omniglot.HALVES for d in omniglot._drawings(REAL / "omniglot-py", half)]
    alphabet = {omniglot._shrink(*d).tobytes(): d[0].split("/")[-3] for d in named[::40]}
    seen = {x.numpy().tobytes(): labels.classes[i] for x, i in zip(images.train, labels.train, strict=True)}
    both = alphabet.keys() & seen.keys()
    assert len(both) > 400 and all(alphabet[x] == seen[x] for x in both)


def test_data_set_without_labels_is_named():
    with pytest.raises(ValueError, match="'glyphs' has no labels; there are those of mnist, omniglot"):
        load_labels("glyphs")


@pytest.mark.parametrize("name", ["mnist", "omniglot"])
def test_missing_labels_are_named(name, tmp_path):
    with pytest.raises(UnusableError, match=str(tmp_path)):
        load_labels(name, tmp_path)


@needs_real
def test_damaged_labels_of_mnist_are_named(tmp_path):
    shutil.copytree(REAL / "MNIST", tmp_path / "MNIST", copy_function=shutil.copyfile)
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(bytes(100))
    with pytest.raises(UnusableError, match=r"labels of MNIST .* damaged"):
        load_labels("mnist", tmp_path)


@needs_real
@pytest.mark.parametrize("name", ["mnist", "omniglot"])
def test_shipped_classifier_is_as_accurate_as_its_header_says(name):
    images, labels = data.load(name, REAL), load_labels(name, REAL)
    header = read(SHIPPED / f"{name}-classifier.safetensors")[1]
    accuracy = classifier(name).test_metrics(images.test[:2000], labels.test[:2000])["accuracy"]
    error = (header["metrics"]["accuracy"] * (1 - header["metrics"]["accuracy"]) / 2000) ** 0.5
    assert header["data_sha256"] == images.sha256 and abs(accuracy - header["metrics"]["accuracy"]) < 4 * error
    assert name != "mnist" or header["metrics"]["accuracy"] > 0.985


@needs_real
@pytest.mark.parametrize("name", ["mnist", "omniglot"])
def test_shipped_density_gives_test_images_what_its_header_says(name):
    judge, header = density(name), read(SHIPPED / f"{name}-density.safetensors")[1]
    nll = -judge.log_prob(data.load(name, REAL).test[:200])
    assert abs(nll.mean() - header["metrics"]["nll"]) < 4 * nll.std() / 200**0.5
    assert (-nll >= judge.ordinary).float().mean() > 0.95  # 0.99 of all


def test_density_is_exact():
    """The probabilities of all 16 ways to end a page sum to that of its beginning."""
    judge = density("mnist")
    ends = torch.tensor([[n >> b & 1 for b in range(4)] for n in range(16)]).float()
    x = squares(1).repeat(16, 1, 1, 1)
    x[:, 0, -1, -4:] = ends
    p = judge.pixels(torch.zeros(1, 1), x[:1]).sigmoid().flatten()[:-4]
    beginning = torch.where(x[0].flatten()[:-4] > 0, p, 1 - p).log().sum()
    torch.testing.assert_close(judge.log_prob(x).logsumexp(0), beginning, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", [classifier, density])
def test_judge_of_a_data_set_without_one_is_named(kind):
    with pytest.raises(
        UnusableError, match=f"No {kind.__name__} of 'shapes' ships; there are those of mnist, omniglot"
    ):
        kind("shapes")


@pytest.mark.parametrize(("classes", "says"), [(None, "names no classes"), (["a", "b"], "wanted main")])
def test_damaged_judge_is_named(classes, says, tmp_path, monkeypatch):
    tensors, header = read(SHIPPED / "mnist-classifier.safetensors")
    write(tmp_path / "odd-classifier.safetensors", tensors, header | {"classes": classes})
    monkeypatch.setattr(judges, "SHIPPED", tmp_path)
    with pytest.raises(UnusableError, match=rf"odd-classifier\.safetensors.*{says}"):
        classifier("odd")


def test_density_learns_and_is_kept_with_what_made_it(square_data, tmp_path, monkeypatch):
    monkeypatch.setattr(judges, "load", lambda *_: replace(square_data, train=square_data.train[:40]))
    steps, judge = [], ReferenceModel("density", "omniglot", 8)
    metrics = judges.train(judge, tmp_path / judge.file, None, lambda *p: steps.append(p))
    assert [(at, total) for at, total, _ in steps] == [(i, 8) for i in range(1, 9)] and steps[-1][2] < 0.8 * steps[0][2]
    header = read(tmp_path / "omniglot-density.safetensors")[1]
    assert header["metrics"] == metrics and header["data_sha256"] == "of squares"
    assert header["command"] == "lso-bench train-judge density --data omniglot --epochs 8 --seed 0"


def test_same_seed_same_classifier(square_data, tmp_path, monkeypatch):
    labels = [torch.randint(3, (n,), generator=torch.Generator().manual_seed(0)) for n in (120, 20, 40)]
    monkeypatch.setattr(judges, "load", lambda *_: square_data)
    monkeypatch.setattr(judges, "load_labels", lambda *_: Labels(("a", "b", "c"), *labels))
    for file in ("a", "b"):
        judges.train(ReferenceModel("classifier", "omniglot", 1), tmp_path / file)
    a, b = (read(tmp_path / file)[0] for file in ("a", "b"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_train_judge_refuses_what_it_cannot_do(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="Did you mean 'classifier'"):
        training.train_judge("clasifier", "mnist", None, 0, None, True)
    with pytest.raises(UsageError, match="'glyphs' has no labels"):
        training.train_judge("classifier", "glyphs", None, 0, None, True)
    monkeypatch.setenv("LSO_BENCH_CHECKPOINTS", str(tmp_path))
    (tmp_path / "mnist-density.safetensors").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        training.train_judge("density", "mnist", None, 0, None, True)
