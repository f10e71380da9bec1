"""Training: the same weights from the same seed, also after a kill."""

import multiprocessing
import os
import re
import signal
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import preset, squares
from torch.optim import Adam

from lso_bench.errors import UnusableError
from lso_bench.vae import checkpoint, training
from lso_bench.vae.architectures import ARCHITECTURES
from lso_bench.vae.architectures.paper import Paper
from lso_bench.vae.data import Dataset
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.objectives.aggressive import Aggressive
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training import train
from lso_bench.vae.training_state import Job, Plan, optimizer

EPOCHS = 3


@pytest.fixture(autouse=True)
def tiny_architecture(monkeypatch):
    """The smallest network that has every kind of layer, under a name of its own."""
    monkeypatch.setattr(Paper, "variants", {"paper": {}, "tiny": preset(tiny())})


def tiny():
    return replace(ARCHITECTURES.build("small"), encoder=4, hidden=8, channels=4, kernels=(7, 5, 3))


def plan(name: str = "nevae_se", seed: int = 0) -> Plan:
    return Plan(Model(name, "omniglot", "tiny", 4, seed), EPOCHS, anneal_epochs=1.0, threads=1)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(path)[0]


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_same_seed_same_weights_another_seed_others(square_data, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(plan(seed=seed), square_data, tmp_path / f"{name}.safetensors")
    a, b, c = (weights(tmp_path / f"{n}.safetensors") for n in "abc")
    assert equal(a, b) and not equal(a, c)


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
    assert equal(weights(path), weights(tmp_path / "whole.safetensors"))
    header = checkpoint.read(path)[1]
    assert [row["epoch"] for row in header["history"]] == [1, 2, 3]
    assert header["metrics"]["se"]["decoder_use"] > 0 and header["metrics"]["au_relative"] >= 0


def stopping_after(batches: int):
    seen = iter(range(1, 10_000))
    return lambda: next(seen) == batches


@pytest.mark.parametrize("name", ["nevae_se", "aggressive:inner=4,look=2"])
def test_stopped_within_an_epoch_it_goes_on_with_the_next_batch_to_the_same_weights(name, square_data, tmp_path):
    train(plan(name), square_data, tmp_path / "whole.safetensors")
    path = tmp_path / "parts.safetensors"
    for batches in (1, 1, 3):  # an epoch has 3
        with pytest.raises(training.Stopped):
            train(plan(name), square_data, path, stop=stopping_after(batches))
    header = checkpoint.read(path.with_suffix(".state.safetensors"))[1]
    assert len(header["history"]) == 1 and header["batches"] == 2
    train(plan(name), square_data, path)
    assert equal(weights(path), weights(tmp_path / "whole.safetensors"))


def aggressive_job(square_data, **settings):
    vae = VAE(tiny())
    loss = Aggressive(anneal=False, **settings)
    return Job(plan("aggressive"), vae, Adam(vae.parameters(), lr=1e-3), loss)


def parts(job) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(
        torch.nn.utils.parameters_to_vector(p.parameters()).detach().clone() for p in (job.vae.encoder, job.vae.decoder)
    )


def test_aggressive_training_moves_the_encoder_first_and_then_the_decoder_alone(square_data, monkeypatch, tmp_path):
    job, moved = aggressive_job(square_data, inner=6, look=2), []
    real = training.step

    def watched(job, x, weight):
        before = parts(job)
        loss = real(job, x, weight)
        moved.append(tuple(not torch.equal(a, b) for a, b in zip(before, parts(job), strict=True)))
        return loss

    monkeypatch.setattr(training, "step", watched)
    training.one_epoch(job, 0, square_data.train, tmp_path / "s", lambda _: None, lambda: False)
    text = "".join({(True, False): "e", (False, True): "d"}[m] for m in moved)
    assert re.fullmatch(r"(?:(?:ee){1,3}d){3}", text) and "eeee" in text  # looked at every 2, at most 6, 3 batches


def test_encoder_stops_leading_when_information_no_longer_grows(square_data, monkeypatch, tmp_path):
    job = aggressive_job(square_data, patience=1)
    job.history = [{"mi": 2.0}, {"mi": 1.0}]
    before = parts(job)
    training.one_epoch(job, 2, square_data.train, tmp_path / "s", lambda _: None, lambda: False)
    assert all(not torch.equal(a, b) for a, b in zip(before, parts(job), strict=True))


def train_slowly(data: Dataset, path: Path) -> None:
    Paper.variants = {"paper": {}, "tiny": preset(tiny())}
    torch.set_num_threads(1)
    train(plan(), data, path, report=lambda _: time.sleep(0.3))


def test_killed_it_resumes_to_the_same_weights(square_data, tmp_path):
    train(plan(), square_data, tmp_path / "whole.safetensors")
    path = tmp_path / "killed.safetensors"
    child = multiprocessing.get_context("fork").Process(target=train_slowly, args=(square_data, path))
    child.start()
    state = path.with_suffix(".state.safetensors")
    while not state.exists() and child.is_alive():
        time.sleep(0.01)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert state.exists() and not path.exists()
    train(plan(), square_data, path)
    assert equal(weights(path), weights(tmp_path / "whole.safetensors"))


def test_header_says_what_made_the_weights(square_data, tmp_path):
    train(plan(), square_data, tmp_path / "m.safetensors")
    header = checkpoint.read(tmp_path / "m.safetensors")[1]
    assert header["model"]["name"] == "nevae_se" and header["objective"]["reduction"] == "mean"
    assert header["data_sha256"] == square_data.sha256 and header["epochs"] == EPOCHS
    assert header["metrics"]["n"] == len(square_data.test)


@pytest.mark.parametrize(("images", "sizes"), [(100, [50, 50]), (101, [50, 51]), (102, [50, 50, 2]), (51, [51])])
def test_image_left_over_goes_into_the_last_batch(images, sizes):
    batches = training._batches(torch.arange(images), 50)
    assert [len(b) for b in batches] == sizes and torch.equal(torch.cat(batches), torch.arange(images))


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


@pytest.mark.parametrize(("name", "is_refused"), [("beta_vae_2", True), ("beta_vae_0.5", False)])
def test_state_of_the_earlier_schedule_is_refused_where_beta_is_above_1(square_data, tmp_path, name, is_refused):
    path = tmp_path / "m.safetensors"
    with pytest.raises(RuntimeError, match="stop"):
        train(plan(name), square_data, path, report=stop)
    state = path.with_suffix(".state.safetensors")
    tensors, header = checkpoint.read(state)
    header["plan"].pop("annealed_to", None)  # as an earlier version wrote it
    checkpoint.write(state, tensors, header)
    with pytest.raises(UnusableError, match=r"annealed_to: wanted 2\.0, got None") if is_refused else nullcontext():
        train(plan(name), square_data, path)


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
    for when in (lambda: False, lambda: True):  # found after the epoch, and when it is asked to stop within it
        with pytest.raises(UnusableError, match="diverged in epoch 2"):
            train(plan(), square_data, path, stop=when)
        assert state.read_bytes() == before and not path.exists()


def test_loss_that_blows_up_in_finite_numbers_stops_and_keeps_the_last_good_epoch(square_data, tmp_path):
    path, absurd = tmp_path / "m.safetensors", replace(plan("vae"), lr=0.15)
    with pytest.raises(RuntimeError, match="stop"):
        train(absurd, square_data, path, report=stop)
    before = path.with_suffix(".state.safetensors").read_bytes()
    for when in (lambda: False, stopping_after(3)):  # found after the epoch, and when it is asked to stop within it
        with pytest.raises(UnusableError, match=r"diverged in epoch 2 \(-ELBO is .* after the first epoch\)"):
            train(absurd, square_data, path, stop=when)
        assert path.with_suffix(".state.safetensors").read_bytes() == before and not path.exists()


@pytest.mark.parametrize(
    ("first", "now", "odd"),
    [
        ({"nelbo": 200.0, "kl": 90.0}, {"nelbo": 2100.0, "kl": 1900.0}, False),
        ({"nelbo": 200.0, "kl": 90.0}, {"nelbo": 2300.0, "kl": 90.0}, True),
        ({"distortion": 200.0}, {"distortion": 2300.0}, True),
        ({"nelbo": -3000.0}, {"nelbo": -9000.0}, False),  # shades of grey, learned well
        ({"nelbo": -3000.0}, {"nelbo": 28000.0}, True),
        ({"nelbo": -0.1}, {"nelbo": 900.0}, False),
    ],
)
def test_loss_is_far_off_ten_times_its_first_size_above_the_first(first, now, odd):
    assert not training.has_diverged([], now)
    assert bool(training.has_diverged([first, first], now)) == odd


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore:.*capture")
@pytest.mark.parametrize("name", ["vae", "nevae_se", "info_vae"])
def test_captured_step_has_the_losses_of_the_plain_one(name):
    x, losses = squares(50).cuda(), []
    for capture in (False, True):
        torch.manual_seed(0)
        vae = VAE(tiny()).cuda()
        settings = replace(plan(name), capture=capture)
        job = Job(settings, vae, optimizer(vae, settings), OBJECTIVES.build(name))
        losses.append(torch.stack([training.optimizer_step(job, x, 1.0, capture).clone() for _ in range(4)]))
    torch.testing.assert_close(*losses, rtol=1e-2, atol=1e-2)
