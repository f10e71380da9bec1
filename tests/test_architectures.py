"""An architecture of the user's own, in one file: the name, the checkpoint, the search."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from conftest import random_vae, squares

from lso_bench.doctor import installation
from lso_bench.errors import UnusableError, UsageError
from lso_bench.executors import Attempt, ExecutionOptions
from lso_bench.executors.ray_cluster import _job, _sources
from lso_bench.executors.remote_worker import Worker
from lso_bench.record import Record
from lso_bench.runner.cache import Loaded
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.study.lookup import named_model
from lso_bench.vae.architectures import ARCHITECTURES, architecture
from lso_bench.vae.checkpoint import load_model, save_model
from lso_bench.vae.metrics import measure
from lso_bench.vae.trained_model import Model

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


@pytest.fixture
def model_of_mlp(mlp, tmp_path):
    """The checkpoint of a model of that architecture."""
    path = tmp_path / "checkpoints" / named_model("vae", "glyphs", mlp, 4, 0).file
    save_model(path, random_vae(architecture(mlp, 4)), {"model": {"arch": mlp}})
    return path


def test_architecture_is_a_file_with_settings(mlp):
    arch = architecture(f"{mlp}:hidden=8", latent=3, shape=(1, 12, 12))
    assert asdict(arch) == {"shape": (1, 12, 12), "latent": 3, "likelihood": "bernoulli", "hidden": 8}
    assert ARCHITECTURES.canonical("mlp.py:hidden=08") == "./mlp.py:hidden=8"
    assert ARCHITECTURES.canonical("mlp.py:hidden=256") == "./mlp.py"
    with pytest.raises(UsageError, match="likelihood of its decoder is bernoulli, and that of these data gaussian"):
        architecture(mlp, 3, (1, 28, 28), "gaussian")


def test_checkpoint_brings_the_same_model_back_and_executes_no_file_that_it_names(mlp, tmp_path):
    vae, x = random_vae(architecture(f"{mlp}:hidden=8", 3)), squares(20)
    save_model(tmp_path / "m.safetensors", vae, {"model": {"arch": mlp}})
    read, _ = load_model(tmp_path / "m.safetensors", mlp)
    assert torch.equal(read.encode(x).mean, vae.encode(x).mean) and asdict(read.arch) == asdict(vae.arch)
    with pytest.raises(UnusableError, match="none of ours; give its file or package"):
        load_model(tmp_path / "m.safetensors")


def test_weights_of_edited_networks_are_refused(mlp, tmp_path):
    save_model(tmp_path / "m.safetensors", random_vae(architecture(mlp, 3)), {})
    (tmp_path / "mlp.py").write_text(MLP.replace("nn.ELU()", "nn.Tanh()"))  # weights that fit, another function
    with pytest.raises(UnusableError, match=r"another version of the architecture \./mlp\.py; put that one back"):
        load_model(tmp_path / "m.safetensors", mlp)


def test_worker_of_another_folder_is_sent_the_networks(mlp, model_of_mlp, tmp_path, monkeypatch):
    (planned,) = plan(Grid(["vae"], ["ink:data=glyphs"], arch=mlp, latent=4), Protocol(max_steps=2, starts=("random",)))
    job = _job(Attempt(planned), ExecutionOptions(), _sources([planned]))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    record = Worker().run(job)
    assert isinstance(record, Record) and record.status == "ok" and record.spec == planned.spec


def test_doctor_executes_no_networks_and_calls_their_sound_checkpoint_usable(model_of_mlp, mlp, tmp_path):
    (tmp_path / "mlp.py").write_text("raise SystemExit('executed')")
    finding = installation._checkpoint(model_of_mlp, "")
    assert finding.state == "warning" and "its header lacks" in finding.message  # of a training, which it never had


def test_frozen_model_of_any_layers_gives_the_same_outputs(mlp, tmp_path):
    vae, z = random_vae(architecture(mlp, 3)), torch.randn(5, 3)
    save_model(tmp_path / "m.safetensors", vae, {})
    frozen, _ = Loaded().model(Model("vae", "glyphs", mlp, 3), tmp_path / "m.safetensors", "cpu")
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
