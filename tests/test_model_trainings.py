"""Trainings of a frozen model from outside: its field `seed` chooses the weights, and `--train-seed` sets it."""

import json
from dataclasses import dataclass, replace

import pytest
import torch
from test_frozen_models import WEIGHED, lay_out, weigh
from torch import nn

import lso_bench
from lso_bench.analysis import unmeasured
from lso_bench.errors import UnusableError, UsageError
from lso_bench.executors.ray_cluster import _sources
from lso_bench.runner.run import run
from lso_bench.store.store import Store
from lso_bench.study import command
from lso_bench.study.grid import Grid, Protocol, plan, plan_warnings
from lso_bench.study.lookup import named_model
from lso_bench.testing import examine_model
from lso_bench.vae import external_model

SEEDED = WEIGHED.replace(
    'files = ("weights.pt",)',
    'seed: int = 0\n\n    @property\n    def files(self):\n        return (f"mine-{self.seed}.pt",)',
).replace('folder / "weights.pt"', "folder / self.files[0]")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model of two trainings, a task and a small data set."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, SEEDED)
    for seed in (0, 1):
        weigh(tmp_path / f"mine-{seed}.pt", seed)
    return tmp_path


def planned(*models, seeds=(0, 1)):
    grid = Grid(models or ("mine.py",), ["ink.py"], train_seeds=seeds)
    return plan(grid, Protocol(max_steps=3))


def test_each_training_is_a_model_of_one_name_with_its_seed_and_weights(here):
    trainings = [p.spec.model for p in planned()]
    assert [(m.name, m.seed) for m in trainings] == [("./mine.py", 0), ("./mine.py", 1)]
    assert len({p.spec.checkpoint for p in planned()}) == 2
    for seed in (0, 1):
        weights = torch.load(here / f"mine-{seed}.pt", weights_only=True)["weight"]
        assert torch.equal(next(external_model.load("mine.py", seed).parameters()), weights)


def test_results_of_two_trainings_are_one_row_over_both(here):
    for p in planned():
        Store(here / "results").add(run(p.spec, p.checkpoint))
    results = lso_bench.load(here / "results")
    (row,) = results.compare().comparison.measures.query("measure == 'loss'").to_dict("records")
    assert (row["model"], row["n"]) == ("./mine.py", 2)
    assert {r.spec.model.seed for r in results.records} == {0, 1}


def test_command_of_a_run_names_the_training(here):
    first, second = (p.spec for p in planned())
    assert "--train-seed" not in command.command(first) and "--train-seed 1" in command.command(second)
    assert unmeasured.commands([first.model, second.model], here / "results")[1].split()[3:6:2] == ["./mine.py", "1"]


def test_training_without_weights_is_named_when_planned(here):
    with pytest.raises(UnusableError, match=r"mine-2\.pt cannot be read"):
        planned(seeds=(0, 2))


def test_weights_of_every_training_are_sent_to_a_cluster(here):
    (files,) = (files for name, files in _sources(planned()).items() if name.endswith("mine.py"))
    assert {"mine-0.pt", "mine-1.pt"} <= {*files}


def test_model_without_the_field_is_one_training_and_the_user_is_warned(here):
    (here / "mine.py").write_text(WEIGHED)
    (p,) = runs = planned()
    assert p.spec.model.seed == 0
    (warning,) = plan_warnings(runs, Protocol(), (0, 1))
    assert "no effect on ./mine.py" in warning and "seed: int = 0" in warning
    assert not plan_warnings(runs, Protocol(), (0,))


def test_seed_is_no_setting_of_a_name(here):
    with pytest.raises(UsageError, match=r"seed is no setting of models: .*--train-seed"):
        planned("mine.py:seed=1")


@pytest.mark.parametrize("value", ['str = "first"', "float = 0.5", "object = None"])
def test_seed_that_is_no_whole_number_is_refused(here, value):
    (here / "mine.py").write_text(SEEDED.replace("seed: int = 0", f"seed: {value}"))
    with pytest.raises(UsageError, match="write `seed: int = 0`"):
        planned()


def test_commands_use_the_training_of_a_seed(here, call):
    for words in (["evaluate", "--model", "mine.py"], ["check-model", "mine.py"]):
        assert call(*words, "--seed", 1).returncode == 0
        answer = call(*words, "--seed", 2)
        assert answer.returncode and "mine-2.pt" in answer.stderr + answer.stdout
    (measured,) = (here / "results" / "metrics").glob("*.json")
    assert json.loads(measured.read_text())["model"]["seed"] == 1


@dataclass(frozen=True)
class Orthogonal(lso_bench.FrozenModel):
    """A linear autoencoder."""

    seed: int = 0
    data = "noise.py"
    latent = 16

    def load(self, folder):
        network = nn.Linear(784, 16, bias=False)
        nn.init.orthogonal_(network.weight, generator=torch.Generator().manual_seed(self.seed))
        return network

    def encode(self, network, x):
        return network(x.flatten(1))

    def decode(self, network, z):
        (weight,) = network.parameters()
        return (z @ weight).sigmoid().unflatten(1, (1, 28, 28))


def test_trainings_of_an_object_are_chosen_by_the_study(here):
    results = lso_bench.Study(Orthogonal(), "./ink.py", max_steps=2, train_seeds=[0, 1]).run("results", quiet=True)
    models = {r.spec.model for r in results.records}
    assert len({m.name for m in models}) == 1 and {m.seed for m in models} == {0, 1}
    assert results.searches.first_loss.nunique() == 2, "each training decodes the start in its own way"


def test_object_of_another_training_is_refused_with_the_place_of_its_seed(here):
    with pytest.raises(UsageError, match=r"Orthogonal: wanted seed=0, got 1: .*train_seeds"):
        lso_bench.Study(Orthogonal(seed=1), "./ink.py")


def test_model_without_trainings_is_the_same_whatever_seed_is_wanted(here):
    (here / "mine.py").write_text(WEIGHED)
    model = named_model("mine.py", None, None, 32, 7)
    assert model == replace(model, name="./mine.py", seed=0)


TRAINED = {seed: nn.Linear(784, 16, bias=False) for seed in (0, 1)}


class Live(Orthogonal):
    """Networks of this process, which go on being trained."""

    def load(self, folder):
        return TRAINED[self.seed]


def test_live_network_stays_as_it_is_and_its_runs_are_not_repeated(here):
    def searched():
        study = lso_bench.Study(Live(), "./ink.py", max_steps=2, train_seeds=[0, 1])
        study.run("results", quiet=True)
        return len(lso_bench.load("results"))

    assert searched() == searched() == 2
    lso_bench.evaluate(Live(), train_seeds=[0, 1], nll_images=0, codes=0, quiet=True)
    [*examine_model(Live())]
    weights = [w for network in TRAINED.values() for w in network.parameters()]
    assert all(w.requires_grad for w in weights) and all(network.training for network in TRAINED.values())
    with torch.no_grad():
        weights[1].mul_(2)
    assert searched() == 4, "trained further, the object is another"


def test_study_of_a_network_that_was_trained_further_says_that_its_results_are_from_before(here):
    study = lso_bench.Study(Live(), "./ink.py", max_steps=2)
    study.run("results", quiet=True)
    with torch.no_grad():
        TRAINED[0].weight.mul_(2)
    with pytest.warns(UserWarning, match="has changed since the study was made.*results from before"):
        assert len(study.run("results", quiet=True)) == 1
    with pytest.raises(UsageError, match="has changed since the study was made"):
        study.run("elsewhere", quiet=True)


def test_other_training_of_a_model_that_has_one_is_said_in_every_command(here, call):
    (here / "mine.py").write_text(WEIGHED)
    for words in (["evaluate", "--codes", 0, "--quiet", "--model", "mine.py"], ["check-model", "mine.py"]):
        answer = call(*words, "--seed", 1)
        assert answer.returncode == 0 and "no effect on" in answer.stderr


@pytest.mark.parametrize("command", ["evaluate", "traverse"])
def test_missing_weights_of_a_training_are_named_with_what_to_do(here, call, command):
    answer = call(command, "--model", "mine.py", "--seed", 7)
    assert answer.returncode == 4 and "mine-7.pt cannot be read" in answer.stderr
