"""Checkpoints: what was saved comes back, and nothing else is let in."""

import json

import pytest
import torch
from conftest import TINY, random_vae
from safetensors.torch import load_file, save_file

from vae import zoo
from vae.checkpoint import load_model, read, save_model, write
from vae.errors import UnusableError
from vae.frozen import freeze


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, random_vae(TINY), {"note": "é"})
    return path


def test_model_comes_back_with_its_header(saved):
    vae, header = load_model(saved)
    x, z = torch.rand(2, 1, 28, 28), torch.randn(2, 4)
    assert header["note"] == "é" and not vae.training
    assert torch.equal(vae.decoder(z, x), random_vae(TINY).decoder(z, x))


def rewritten(path, change):
    tensors, header = read(path)
    change(tensors, header)
    write(path, tensors, header)


FAULTS = {
    "truncated": lambda p: p.write_bytes(p.read_bytes()[:-100]),
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("hello"),
    "header length flipped": lambda p: p.write_bytes(b"\xff" + p.read_bytes()[1:]),
    "pickle": lambda p: torch.save({"a": torch.zeros(1)}, p),
    "missing weight": lambda p: rewritten(p, lambda t, h: t.popitem()),
    "extra weight": lambda p: rewritten(p, lambda t, h: t.update(more=torch.zeros(1))),
    "wrong shape": lambda p: rewritten(p, lambda t, h: t.update({"decoder.exit.3.bias": torch.zeros(2)})),
    "not finite": lambda p: rewritten(p, lambda t, h: t.update({"decoder.exit.3.bias": torch.full((1,), torch.nan)})),
    "another latent size": lambda p: rewritten(p, lambda t, h: h["arch"].update(latent=5)),
    "class path": lambda p: rewritten(p, lambda t, h: h.update(arch="os.system")),
    "huge architecture": lambda p: rewritten(p, lambda t, h: h["arch"].update(channels=10**9)),
    "foreign safetensors": lambda p: save_file(load_file(p), p),
    "header no object": lambda p: save_file(load_file(p), p, {"lso-bench": json.dumps([1])}),
    "gone": lambda p: p.unlink(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_file_is_refused_by_name(saved, fault):
    FAULTS[fault](saved)
    with pytest.raises(UnusableError, match=r"m\.safetensors"):
        load_model(saved)


def test_frozen_weights_do_not_pass_for_trained_ones(saved):
    write(saved, freeze(random_vae(TINY)).state_dict(), read(saved)[1])
    with pytest.raises(UnusableError, match="does not fit"):
        load_model(saved)


def test_own_checkpoint_comes_before_the_shipped_one(tmp_path):
    model = zoo.Model("vae", "omniglot")
    own = tmp_path / "checkpoints" / model.file
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    assert zoo.checkpoint(model) == own


def test_names_cannot_leave_the_folder():
    assert "/" not in zoo.Model("../../x:y=/z", "omniglot").file
