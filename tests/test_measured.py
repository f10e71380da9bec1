"""Measured latent spaces: kept once, and never with figures that are none."""

import json

import pytest
import torch
from conftest import TINY, random_vae

from lso_bench.errors import UnusableError
from lso_bench.models import measurements
from lso_bench.vae import checkpoint
from lso_bench.vae.checkpoint import save_model
from lso_bench.vae.evaluation import SampleSizes

EFFORT = SampleSizes(images=2, samples=2, codes=0)


def measure(model, tmp_path):
    (one,) = measurements.measured([model], tmp_path / "r", effort=EFFORT)
    return one


@pytest.mark.parametrize("size", [1e10, 1e25, 1e38])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_weights_without_finite_measures_are_refused_by_name_and_nothing_is_kept(tmp_path, model_of_noise, part, size):
    vae = random_vae(TINY)
    with torch.no_grad():
        for p in getattr(vae, part).parameters():
            p.mul_(size)
    save_model(tmp_path / "checkpoints" / model_of_noise.file, vae, {"made": "by a test"})
    with pytest.raises(UnusableError, match=r"vae-s0\.safetensors: its latent space has no finite nelbo, "):
        measure(model_of_noise, tmp_path)
    assert not list(tmp_path.glob("r/metrics/*.json"))


def short(tensors):
    return {k: v[:-1] for k, v in tensors.items()}


def flat(tensors):
    return {k: v[None] for k, v in tensors.items()}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kl_each": [0.1]},
        {"kl_each": "0123"},
        {"kl_each": [None] * 4},
        {"se": {}},
        {"se": {"kl": "much"}},
        {"se": None},
        {"activity": []},
        {"n": 3.5},
        short,
        flat,
    ],
    ids=lambda wrong: wrong.__name__ if callable(wrong) else str(wrong),
)
def test_kept_measures_of_another_form_are_measured_again(model_of_noise, tmp_path, wrong):
    first = measure(model_of_noise, tmp_path)
    (path,) = tmp_path.glob("r/metrics/*.json")
    if callable(wrong):
        beside = path.with_suffix(".safetensors")
        tensors, header = checkpoint.read(beside)
        checkpoint.write(beside, {k: v.contiguous() for k, v in wrong(tensors).items()}, header)
    else:
        raw = json.loads(path.read_text())
        path.write_text(json.dumps(raw | {"metrics": raw["metrics"] | wrong}))
    assert measurements.load_all(tmp_path / "r") == []
    again = measure(model_of_noise, tmp_path)
    assert again.metrics == first.metrics and len(measurements.load_all(tmp_path / "r")) == 1
