"""An autoencoder without noise on its codes is searched and measured as one."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from conftest import TINY, random_vae, squares

from lso_bench.runner.run import run
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.vae import checkpoint
from lso_bench.vae.evaluation import SampleSizes, evaluate
from lso_bench.vae.frozen import freeze
from lso_bench.vae.import_weights import import_model
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training import train
from lso_bench.vae.training_state import Plan

RAE = Model("rae", "glyphs", "small", 4)


def autoencoder(log_variance: float):
    """A deterministic model; the untrained half of its encoder gives this log variance."""
    vae = random_vae(TINY)
    vae.deterministic = True
    last = vae.encoder.main[-1]
    with torch.no_grad():
        last.weight[TINY.latent :] = 0
        last.bias[TINY.latent :] = log_variance
    return vae


def found_in(vae, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The record of a search in the region of the codes, from the encoder's."""
    monkeypatch.setenv("LSO_BENCH_CHECKPOINTS", str(folder))
    checkpoint.save_model(folder / RAE.file, vae, {})
    how = Protocol(starts=("random", "encoder"), budget=20)
    grid = Grid(["rae"], ["glyphs50:instances=2"], ["sobol"], regions=["quantiles:0.1"], latent=4)
    (planned,) = plan(grid, how)
    return run(planned.spec, planned.checkpoint)


def test_a_variance_that_nothing_trained_changes_no_search(tmp_path, monkeypatch):
    first, second = (found_in(autoencoder(v), tmp_path / str(v), monkeypatch) for v in (-8.0, 4.0))
    assert torch.equal(first.tensors["z"], second.tensors["z"])
    assert [m.consistency for m in first.members] == [m.consistency for m in second.members]


def test_a_variance_that_nothing_trained_changes_no_measure():
    effort = SampleSizes(samples=5, images=10, codes=10)
    first, second = (evaluate(autoencoder(v), squares(60), effort)[0] for v in (-8.0, 4.0))
    assert first == second


@pytest.mark.parametrize(
    ("header", "deterministic"),
    [
        ({"deterministic": True}, True),
        ({"deterministic": False, "model": {"name": "rae"}}, False),
        ({"metrics": {"kl": None}, "model": {"name": "./mine.py"}}, True),
        ({"metrics": {"kl": 2.0}, "model": {"name": "./mine.py"}}, False),
        ({"model": {"name": "rae:beta=0.5"}}, True),
        ({"model": {"name": "vae"}}, False),
        ({"model": "rae", "metrics": []}, False),
        ({}, False),
    ],
)
def test_checkpoints_new_and_old_say_whether_they_have_a_variance(tmp_path, header, deterministic):
    vae = random_vae(TINY)
    checkpoint.write(tmp_path / "a.safetensors", vae.state_dict(), header | {"arch": asdict(vae.arch)})
    read, _ = checkpoint.load_model(tmp_path / "a.safetensors")
    assert read.deterministic == freeze(read).deterministic == deterministic
    assert (read.encode(squares(3)).stddev.max().item() == 0) == deterministic


@pytest.mark.parametrize(("name", "deterministic"), [("rae", True), ("vae", False)])
def test_a_trained_checkpoint_says_whether_it_has_a_variance(tmp_path, square_data, name, deterministic):
    path = tmp_path / "a.safetensors"
    trained = train(Plan(Model(name, "omniglot", "conv:encoder=8,hidden=8,channels=8", 4), 1), square_data, path)
    read, header = checkpoint.load_model(path)
    assert trained.deterministic == read.deterministic == header["deterministic"] == deterministic


def test_an_imported_checkpoint_says_whether_it_has_a_variance(tmp_path):
    torch.save(random_vae(TINY).state_dict(), tmp_path / "a.pt")
    import_model(tmp_path / "a.pt", tmp_path / "a.safetensors", TINY, deterministic=True)
    assert checkpoint.load_model(tmp_path / "a.safetensors")[0].deterministic


@pytest.mark.parametrize("starts", ["encoder:5", "random:2,encoder:2"])
def test_draws_from_a_posterior_without_variance_are_refused_before_a_run(call, starts):
    ended = call("run", "--model", "rae", "--task", "omniglot50", "--starts", starts)
    assert ended.returncode == 2 and "say encoder, its mean" in ended.stderr
    assert ended.stderr.count("\n") <= 2 and not ended.stdout
