"""An architecture of the user's own, in one file: the name, the checkpoint, the search."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from conftest import random_vae, squares

from lso_bench.errors import UnusableError, UsageError
from lso_bench.runner.cache import Loaded
from lso_bench.study.lookup import named_model
from lso_bench.vae.architectures import ARCHITECTURES, architecture
from lso_bench.vae.checkpoint import load_model, save_model
from lso_bench.vae.metrics import measure

ROOT = Path(__file__).parents[1]
MLP = '''"""Fully connected networks."""

from dataclasses import dataclass

from torch import nn

from lso_bench.vae.architectures import Architecture


@dataclass(frozen=True)
class MLP(Architecture):
    """One hidden layer in the encoder and one in the decoder."""

    hidden: int = 256  # units of each hidden layer

    def encoder_network(self):
        pixels = self.size**2
        return nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, self.hidden), nn.ELU(), nn.Linear(self.hidden, 2 * self.latent)
        )

    def decoder_network(self):
        layers = nn.Linear(self.latent, self.hidden), nn.ELU(), nn.Linear(self.hidden, self.size**2)
        return nn.Sequential(*layers, nn.Unflatten(1, (1, self.size, self.size)))
'''


@pytest.fixture
def mlp(tmp_path, monkeypatch):
    """The name of an architecture in a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlp.py").write_text(MLP)
    return "./mlp.py"


def test_architecture_is_a_file_with_settings(mlp):
    arch = architecture(f"{mlp}:hidden=8", latent=3, size=12)
    assert asdict(arch) == {"size": 12, "latent": 3, "likelihood": "bernoulli", "hidden": 8}
    assert ARCHITECTURES.canonical("mlp.py:hidden=08") == "./mlp.py:hidden=8"
    assert ARCHITECTURES.canonical("mlp.py:hidden=256") == "./mlp.py"
    with pytest.raises(UsageError, match=r"likelihood is one of .*bernoulli"):
        architecture(mlp, 3, 28, "gaussian")


def test_checkpoint_brings_the_same_model_back_and_executes_no_file_that_it_names(mlp, tmp_path):
    vae, x = random_vae(architecture(f"{mlp}:hidden=8", 3)), squares(20)
    save_model(tmp_path / "m.safetensors", vae, {"model": {"arch": mlp}})
    read, _ = load_model(tmp_path / "m.safetensors", mlp)
    assert torch.equal(read.encode(x).mean, vae.encode(x).mean) and asdict(read.arch) == asdict(vae.arch)
    with pytest.raises(UnusableError, match="none of ours; give its file or package"):
        load_model(tmp_path / "m.safetensors")


def test_frozen_model_of_any_layers_gives_the_same_outputs(mlp, tmp_path):
    vae, z = random_vae(architecture(mlp, 3)), torch.randn(5, 3)
    save_model(tmp_path / "m.safetensors", vae, {})
    frozen, _ = Loaded().model(tmp_path / "m.safetensors", "cpu", mlp)
    assert torch.allclose(frozen.decode(z).mean, vae.decode(z).mean) and measure(vae, squares(60)).n == 60


def test_edited_architecture_is_another_model(mlp, tmp_path):
    before = named_model("vae", "glyphs", mlp, 8, 0).file
    (tmp_path / "mlp.py").write_text(MLP.replace("256", "128"))
    assert named_model("vae", "glyphs", mlp, 8, 0).file != before


def test_model_of_it_is_trained_searched_and_listed(mlp, call):
    setup = ("--model", "vae", "--arch", f"{mlp}:hidden=16", "--latent", "4")
    assert call("train", *setup, "--data", "glyphs", "--epochs", "1", "--quiet").returncode == 0
    done = call("run", *setup, "--task", "ink:data=glyphs", "--max-steps", "3", "--device", "cpu", "--no-pictures")
    assert done.returncode == 0, done.stderr
    assert "mlp.py:hidden=16" in call("compare", "results").stdout


def test_example_in_the_guide_is_the_one_tested_here():
    assert MLP.strip() in (ROOT / "CONTRIBUTING.md").read_text()
