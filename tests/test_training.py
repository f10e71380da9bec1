"""Training: the same weights from the same seed, also after a kill."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vae import checkpoint, training
from vae.data import Dataset
from vae.errors import UnusableError
from vae.networks import ARCHITECTURES
from vae.training import Plan, train
from vae.zoo import Model

EPOCHS = 3


@pytest.fixture(autouse=True)
def tiny_architecture(monkeypatch):
    """The smallest network that has every kind of layer, under a name of its own."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny())


def tiny():
    return replace(ARCHITECTURES["small"], encoder=4, hidden=8, channels=4, kernels=(7, 5, 3))


def plan(name: str = "nevae_se", seed: int = 0) -> Plan:
    return Plan(Model(name, "omniglot", "tiny", 4, seed), EPOCHS, anneal_epochs=1.0, threads=1)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(path)[0]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_same_seed_same_weights_another_seed_others(square_data, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(plan(seed=seed), square_data, tmp_path / f"{name}.safetensors")
    a, b, c = (weights(tmp_path / f"{n}.safetensors") for n in "abc")
    assert same(a, b) and not same(a, c)


def test_interrupted_anywhere_it_ends_with_the_same_weights(square_data, tmp_path):
    def stop_after(epochs):
        def report(progress):
            if len(progress.history) == epochs:
                raise RuntimeError("stop here")

        return report

    train(plan(), square_data, tmp_path / "whole.safetensors")
    path = tmp_path / "parts.safetensors"
    for epochs in range(1, EPOCHS + 1):
        with pytest.raises(RuntimeError, match="stop here"):
            train(plan(), square_data, path, report=stop_after(epochs))
        assert not path.exists()
    train(plan(), square_data, path)
    assert same(weights(path), weights(tmp_path / "whole.safetensors"))
    assert [row["epoch"] for row in checkpoint.read(path)[1]["history"]] == [1, 2, 3]


def train_slowly(data: Dataset, path: Path) -> None:
    ARCHITECTURES["tiny"] = tiny()
    torch.set_num_threads(1)
    train(plan(), data, path, report=lambda _: time.sleep(0.3))


def test_killed_it_resumes_to_the_same_weights(square_data, tmp_path):
    train(plan(), square_data, tmp_path / "whole.safetensors")
    path = tmp_path / "killed.safetensors"
    child = multiprocessing.get_context("spawn").Process(target=train_slowly, args=(square_data, path))
    child.start()
    state = path.with_suffix(".state.safetensors")
    while not state.exists() and child.is_alive():
        time.sleep(0.01)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert state.exists() and not path.exists()
    train(plan(), square_data, path)
    assert same(weights(path), weights(tmp_path / "whole.safetensors"))


def test_header_says_what_made_the_weights(square_data, tmp_path):
    train(plan(), square_data, tmp_path / "m.safetensors")
    header = checkpoint.read(tmp_path / "m.safetensors")[1]
    assert header["model"]["name"] == "nevae_se" and header["objective"]["reduction"] == "mean"
    assert header["data_sha256"] == square_data.sha256 and header["epochs"] == EPOCHS
    assert header["metrics"]["n"] == len(square_data.test)


def test_training_lowers_the_loss(square_data, tmp_path):
    long = replace(plan("vae"), epochs=15, lr=0.02)
    train(long, square_data, tmp_path / "m.safetensors")
    history = checkpoint.read(tmp_path / "m.safetensors")[1]["history"]
    assert history[-1]["nelbo"] < 0.6 * history[0]["nelbo"]


def test_state_of_another_plan_is_refused_and_kept(square_data, tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(RuntimeError, match="stop"):
        train(plan(), square_data, path, report=stop)
    before = path.with_suffix(".state.safetensors").read_bytes()
    with pytest.raises(UnusableError, match="another training"):
        train(plan(seed=1), square_data, path)
    assert path.with_suffix(".state.safetensors").read_bytes() == before


def stop(progress: training.Progress) -> None:
    if progress.history:
        raise RuntimeError("stop")


def test_divergence_stops_and_keeps_the_last_good_epoch(square_data, tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(RuntimeError, match="stop"):
        train(plan(), square_data, path, report=stop)
    state = path.with_suffix(".state.safetensors")
    tensors, header = checkpoint.read(state)
    broken = {k: v * float("nan") if k.endswith("exp_avg") else v for k, v in tensors.items()}
    checkpoint.write(state, broken, header)
    before = state.read_bytes()
    with pytest.raises(UnusableError, match="diverged in epoch 2"):
        train(plan(), square_data, path)
    assert state.read_bytes() == before and not path.exists()
