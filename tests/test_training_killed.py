"""Training that is killed at random moments: what is on disk is whole at each, and the end is the undisturbed one."""

import multiprocessing
import random
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from conftest import TINY, preset

from lso_bench.vae import checkpoint, training
from lso_bench.vae.architectures.paper import Paper
from lso_bench.vae.data import Dataset
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training_state import Plan

PLAN = Plan(Model("nevae_se", "omniglot", "tiny", 4), 6, anneal_epochs=2.0, threads=1)
KILLS = 40


def train_keeping_every_batch(data: Dataset, path: Path) -> None:
    training.KEEP_EVERY = 0.0
    training.train(PLAN, data, path)


def wait_for_change(child: BaseProcess, folder: Path) -> None:
    """Until a checkpoint there is another than now, or the child is gone."""
    look = lambda: {f.name: f.stat().st_ino for f in folder.glob("*.safetensors")}  # noqa: E731
    before, until = look(), time.monotonic() + 120
    while child.is_alive() and time.monotonic() < until:
        with suppress(FileNotFoundError):  # replaced while it was looked at
            if look() != before:
                return
        time.sleep(0.001)


@pytest.mark.faults
def test_killed_at_random_moments_it_ends_with_the_weights_of_an_undisturbed_training(
    square_data, tmp_path, monkeypatch
):
    monkeypatch.setattr(Paper, "variants", {"paper": {}, "tiny": preset(TINY)})
    whole, path = tmp_path / "whole.safetensors", tmp_path / "killed" / "m.safetensors"
    training.train(PLAN, square_data, whole)
    rng, context, where = random.Random(0), multiprocessing.get_context("fork"), set()
    for _ in range(KILLS):
        child = context.Process(target=train_keeping_every_batch, args=(square_data, path))
        child.start()
        for _ in range(rng.choice([0, 1, 1, 2])):  # so many batches are written, and a part of another
            wait_for_change(child, path.parent)
        time.sleep(rng.uniform(0, 0.03))
        child.kill()  # nothing, where the training was already done
        child.join()
        for file in path.parent.glob("*.safetensors"):
            header = checkpoint.read(file)[1]  # whole, by its own digest
            where.add((len(header["history"]), header.get("batches")))
    assert len(where) > KILLS / 4  # they came at different moments
    training.train(PLAN, square_data, path) if not path.exists() else None
    tensors, undisturbed = checkpoint.read(path)[0], checkpoint.read(whole)[0]
    assert tensors.keys() == undisturbed.keys()
    assert all(torch.equal(tensors[k], undisturbed[k]) for k in undisturbed)
