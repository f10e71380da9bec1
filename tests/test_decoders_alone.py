"""Models without an encoder, as the generator of a GAN: searched from the prior; what needs an encoder is refused."""

import math

import numpy as np
import pytest
import torch
from conftest import NOISE
from PIL import Image
from torch import nn

import lso_bench as lb
from lso_bench.errors import UsageError
from lso_bench.runner.run import run
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.testing import check_model, template
from lso_bench.vae import external_model

GAN = '''"""A generator."""

from dataclasses import dataclass

import torch
from torch import nn

from lso_bench import FrozenModel


@dataclass(frozen=True)
class Gan(FrozenModel):
    """A generator of images."""

    data = "noise.py"
    latent = 4

    def load(self, folder):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 784), nn.Sigmoid())

    def decode(self, network, z):
        return network(z).unflatten(1, (1, 28, 28))
'''
WRITER = '''"""A writer."""

from dataclasses import dataclass

from torch import nn

from lso_bench import FrozenTextModel


@dataclass(frozen=True)
class Writer(FrozenTextModel):
    """Writes sums."""

    data = "expressions"
    latent = 2

    def load(self, folder):
        return nn.Identity()

    def decode(self, network, z):
        return ["x" + "+1" * int(i) for i in z[:, 0].abs().ceil().clamp(max=3)]
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise.py").write_text(NOISE)
    (tmp_path / "gan.py").write_text(GAN)
    (tmp_path / "writer.py").write_text(WRITER)
    (tmp_path / "ink.py").write_text(template.TASK.replace("Example", "Ink").replace('"glyphs"', '"noise.py"'))
    return tmp_path


def planned(task="ink.py", searcher="cmaes", regions=None, **how):
    return plan(Grid(["gan.py"], [task], [searcher], regions=regions), Protocol(**{"budget": 12} | how))


@pytest.mark.parametrize("name", ["gan.py", "writer.py"])
def test_decoder_alone_keeps_its_promises(here, name):
    check_model(name)


@pytest.mark.parametrize("name", ["enocde", "encoder", "Encode"])
def test_misspelt_encoder_makes_no_decoder_alone(here, name):
    misspelt = f"\n    def {name}(self, network, x):\n        return x.flatten(1)[:, :4]\n"
    (here / "gan.py").write_text(GAN + misspelt)
    with pytest.raises(UsageError, match=f"Gan defines {name}, which nothing uses, and not encode; write encode"):
        external_model.load("./gan.py")


def test_decoder_alone_is_searched_from_the_prior(here):
    (p,) = planned()
    assert p.spec.space == "prior"
    record = run(p.spec, p.checkpoint)
    assert record.status == "ok" and record.members[0].loss <= record.members[0].first_loss
    assert math.isnan(record.members[0].consistency)  # nobody encodes the image
    start = torch.randn(1, 1, 4, generator=torch.Generator().manual_seed(0))
    model = external_model.load("./gan.py")
    assert record.members[0].first_loss == pytest.approx(abs(model.mean(start[0]).mean().item() - 0.15), abs=1e-5)


def test_targets_are_searched_from_a_random_start_alone(here):
    (p,) = planned("reconstruct:data=noise.py,instances=2")
    assert p.spec.starts == ("random",)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"starts": ("encoder",), "task": "reconstruct:data=noise.py"}, "Start 'encoder' needs an encoder.*origin"),
        ({"starts": ("random", "data")}, "Start 'data' needs an encoder.*say --starts random or origin"),
        ({"space": "standard"}, "Space 'standard' needs an encoder.*say --space prior"),
        ({"space": "pca:2"}, "Space 'pca:2' needs an encoder"),
        ({"regions": ["quantiles:0.01"]}, "Region 'quantiles:0.01' needs an encoder.*box:3"),
        ({"searcher": "cmaes:penalty=consistency"}, "Penalty 'consistency' needs an encoder.*penalty=prior"),
        ({"searcher": "cmaes:inversion=2"}, "Inversion needs an encoder.*inversion=0"),
    ],
)
def test_what_needs_an_encoder_is_refused_with_what_does_not(here, how, says):
    with pytest.raises(UsageError, match=says):
        planned(**how)


def test_searcher_of_samples_begins_at_training_samples(here):
    (p,) = planned("reconstruct:data=noise.py,instances=2", "image_ga", starts=("data",), budget=40)
    assert run(p.spec, p.checkpoint).status == "ok"


def test_latent_space_is_not_measured(here, call):
    done = call("evaluate", "--model", "gan.py")
    assert done.returncode == 4 and "Traceback" not in done.stderr and done.stdout == ""
    assert "Model './gan.py' has no encoder" in done.stderr and "write its `encode`" in done.stderr


def test_walks_have_the_dimensions_in_their_order(here, call):
    done = call("traverse", "--model", "gan.py", "--steps", "11")
    assert done.returncode == 0 and "No walk of ./gan.py without active dimensions: it has no encoder" in done.stderr
    assert len([*here.glob("results/traversals/*.png")]) == 3


def test_module_alone_is_a_model_in_python(here):
    decoder = nn.Sequential(nn.Linear(4, 784), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)))
    results = lb.Study(lb.model(None, decoder, 4, "noise.py"), "ink.py", "cmaes", budget=12).run(here / "r", quiet=True)
    assert results.searches.consistency.isna().all() and results.searches.loss.notna().all()


def test_walks_of_a_model_from_outside_are_in_the_coordinates_of_its_searches(here, call):
    """The walk of a model with narrow latents is that of the same model with wide ones."""
    text = template.MODEL.replace('data = "glyphs"', 'data = "noise.py"')
    (here / "wide.py").write_text(text)
    (here / "narrow.py").write_text(
        text.replace("network(x.flatten(1) - 0.1)", "network(x.flatten(1) - 0.1) / 50").replace("(z @", "(50 * z @")
    )
    pictures = []
    for name in ("wide", "narrow"):
        assert call("traverse", "--model", f"{name}.py", "--steps", "11").returncode == 0
        (path,) = here.glob(f"results/traversals/*{name}*-standard-random.png")
        pictures.append(np.asarray(Image.open(path))[60:])  # below the title, which names the model
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 2
    refused = call("traverse", "--model", "gan.py", "--space", "standard")
    assert refused.returncode == 2 and "Space 'standard' needs an encoder" in refused.stderr
    assert "--dimensions wants numbers from 0 to 3" in call("traverse", "--model", "gan.py", "--dimensions", "9").stderr
