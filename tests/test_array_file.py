"""An array of NumPy is a data set: bytes are images, floating-point numbers are vectors."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lso_bench.errors import UnusableError, UsageError
from lso_bench.models import training
from lso_bench.runner.run import run
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.study.lookup import named_model
from lso_bench.vae import data
from lso_bench.vae.datasets import DATASETS, is_ink
from lso_bench.vae.trained_model import Model

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (200, 8, 8), np.uint8)
COLOUR = RNG.integers(0, 256, (200, 3, 8, 8), np.uint8)
VECTORS = RNG.normal(size=(200, 5))
OWN = """from dataclasses import dataclass
from lso_bench import FrozenModel
from torch import nn


@dataclass(frozen=True)
class Own(FrozenModel):
    data = "./mine.npy"
    latent = 5

    def load(self, folder):
        return nn.Identity()

    def encode(self, network, x):
        return x * 2

    def decode(self, network, z):
        return z / 2
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(name):
    """All samples of a data set as they are stored, in their order."""
    return DATASETS.build(name).samples(Path())


@pytest.mark.parametrize(
    ("array", "samples"),
    [
        (GREY, GREY[:, None]),
        (GREY[:, None], GREY[:, None]),
        (GREY[..., None], GREY[:, None]),
        (COLOUR, COLOUR),
        (COLOUR.transpose(0, 2, 3, 1), COLOUR),
        (GREY > 127, np.uint8(255) * (GREY > 127)[:, None]),
        (np.uint8(GREY > 127), np.uint8(255) * (GREY > 127)[:, None]),
        (VECTORS, np.float32(VECTORS)),
        (VECTORS.astype(">f4"), np.float32(VECTORS)),
    ],
    ids=["grey", "a channel", "a channel last", "colour", "colour last", "bool", "0 and 1", "vectors", "big-endian"],
)
def test_array_is_read_as_images_with_channels_first_or_as_vectors(array, samples):
    np.save("mine.npy", array)
    stored = everything("./mine.npy")
    assert stored.dtype == samples.dtype and np.array_equal(stored, samples)
    loaded = data.load("./mine.npy")
    assert len(loaded.train) + len(loaded.valid) + len(loaded.test) == 200
    assert tuple(loaded.test.shape[1:]) == DATASETS.build("./mine.npy").shape == samples.shape[1:]


def test_every_sample_is_in_one_part_of_the_split():
    np.save("mine.npy", VECTORS)
    loaded = data.load("./mine.npy")
    rows = torch.cat([loaded.train, loaded.valid, loaded.test])
    assert torch.equal(rows.sort(0).values, torch.from_numpy(np.float32(VECTORS)).sort(0).values)


def test_zeros_and_ones_and_shades_are_said(capsys):
    np.save("mask.npy", GREY > 127)
    np.save("grey.npy", GREY)
    data.load("./mask.npy")
    assert capsys.readouterr().err == "mask.npy: images of 0 and 1 are read as black and white.\n"
    data.load("./grey.npy")
    assert "of the pixels are shades" in capsys.readouterr().err
    data.load("./grey.npy:likelihood=gaussian")
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("./grey.npy:likelihood=gaussian", "conv:encoder=2,hidden=8,channels=2"),
        ("./colour.npy:likelihood=gaussian", "mlp:hidden=8"),
        ("./vectors.npy", "mlp:hidden=8"),
    ],
)
def test_model_of_an_array_is_trained_and_searched(name, arch):
    for file, array in (("grey", GREY), ("colour", COLOUR), ("vectors", VECTORS)):
        np.save(f"{file}.npy", array)
    training.train(training.plan(named_model("vae", name, arch, 2, 0), 1), None, "cpu", quiet=True)
    grid = Grid(["vae"], [f"reconstruct:data={name},instances=3"], arch=arch, latent=2)
    (p,) = plan(grid, Protocol(max_steps=3))
    assert run(p.spec, p.checkpoint).status == "ok"


def test_file_with_another_content_is_another_data_set():
    np.save("mine.npy", GREY)
    before, shape = Model("vae", "./mine.npy").file, DATASETS.build("./mine.npy").shape
    np.save("mine.npy", GREY[:, :4, :4])
    assert Model("vae", "./mine.npy").file != before and DATASETS.build("./mine.npy").shape != shape


def test_samples_of_one_reader_do_not_change_those_of_the_next():
    np.save("mine.npy", GREY)
    data.load("./mine.npy").train.zero_()
    assert np.array_equal(everything("./mine.npy")[:, 0], GREY)


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (GREY / 255, r"wanted images in bytes .*got float64 \(200, 8, 8\); np.save\(path, \(255 \* images\)"),
        (GREY.astype(int), r"got int64 .*astype\(np.uint8\)"),
        (np.uint8(VECTORS), r"wanted vectors \(n, d\) in floating-point numbers, got uint8"),
        (GREY[:60], "wanted 100 samples or more, got 60"),
        (np.zeros((200, 8, 8), np.uint8), "wanted samples that differ, got the same 200 times"),
        (GREY.reshape(200, 2, 4, 8), r"wanted images \(n, h, w\), .*got uint8 \(200, 2, 4, 8\)"),
        (GREY.ravel(), r"or vectors \(n, d\), got uint8 \(12800,\)"),
        (np.array(1.0), r"got float64 \(\)"),
        (np.array([{}] * 200), "wanted an array of numbers, as np.save writes it"),
    ],
    ids=["floats", "integers", "bytes", "few", "equal", "axes", "one axis", "a number", "objects"],
)
def test_array_that_is_no_data_set_is_answered_with_what_to_do(array, advice):
    np.save("mine.npy", array)
    with pytest.raises(UnusableError, match=rf"^mine\.npy: .*{advice}"):
        data.load("./mine.npy")


def test_vectors_that_are_not_finite_are_refused():
    np.save("mine.npy", np.where(VECTORS > 2, np.nan, VECTORS))
    with pytest.raises(UnusableError, match="wanted finite numbers"):
        data.load("./mine.npy")


def test_file_that_is_no_array_is_named_and_a_pipe_is_not_opened(here):
    (here / "text.npy").write_text("no array")
    np.save("whole.npy", GREY)
    (here / "half.npy").write_bytes((here / "whole.npy").read_bytes()[:5000])
    (here / "empty.npy").touch()
    os.mkfifo(here / "pipe.npy")
    np.savez(here / "several.npz", GREY)
    (here / "several.npz").rename(here / "several.npy")
    for name in ("text", "half", "empty", "pipe", "several"):
        with pytest.raises(UnusableError, match=f"^{name}.npy: wanted an array of numbers, as np.save writes it: "):
            data.load(f"./{name}.npy")


@pytest.mark.parametrize(("name", "advice"), [("a.npz", "np.load"), ("a.pt", r"numpy\(\)")])
def test_other_file_of_arrays_is_answered_with_the_line_that_writes_one(here, name, advice):
    (here / name).touch()
    with pytest.raises(UsageError, match=rf"has another ending; .*np\.save.*{advice}"):
        data.load(f"./{name}")


def test_setting_of_vectors_is_refused():
    np.save("mine.npy", VECTORS)
    with pytest.raises(UsageError, match="no setting 'size'"):
        DATASETS.build("./mine.npy:size=3")


def test_damaged_array_does_not_keep_results_from_being_read(here):
    (here / "mine.npy").write_text("no array")
    assert not is_ink("./mine.npy")


def test_nothing_but_the_header_is_read_for_a_name_and_a_shape(monkeypatch):
    np.save("mine.npy", GREY)
    monkeypatch.setattr(np, "array", None)
    assert DATASETS.build("./mine.npy").shape == (1, 8, 8)


def test_run_and_measure_of_a_frozen_model_are_of_the_content_of_its_data(here):
    np.save("mine.npy", VECTORS)
    (here / "own.py").write_text(OWN)
    task = "reconstruct:data=./mine.npy,instances=3"

    def identity():
        (p,) = plan(Grid(["./own.py"], [task]), Protocol(max_steps=3))
        return p.spec.key, p.spec.checkpoint

    first = identity()
    assert identity() == first
    np.save("mine.npy", -VECTORS)
    assert not {*first} & {*identity()}, "searches and measures of the earlier content are none of these"
    np.save("mine.npy", VECTORS)
    assert identity() == first
