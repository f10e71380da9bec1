"""Checkpoints: what was saved comes back, and nothing else is let in."""

import json
import os
import shutil

import pytest
import torch
from conftest import TINY, random_vae, refused_within
from safetensors.torch import load_file, save_file

from lso_bench.errors import UnusableError
from lso_bench.errors import UnusableError as UnusableRun
from lso_bench.runner.run import run
from lso_bench.study.grid import Grid, plan
from lso_bench.vae.checkpoint import SUMS, load_model, read, save_model, write
from lso_bench.vae.frozen import freeze
from lso_bench.vae.trained_model import SHIPPED, Model
from lso_bench.vae.trained_model import checkpoint as checkpoint_of


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, random_vae(TINY), {"note": "é"})
    return path


def test_damaged_model_is_refused_with_the_mend(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-4] + b"abcd")
    with pytest.raises(UnusableError, match="does not match its sha256; move it away; lso-bench train makes it again"):
        load_model(checkpoint)


def test_model_comes_back_with_its_header(saved):
    vae, header = load_model(saved)
    x, z = torch.rand(2, 1, 28, 28), torch.randn(2, 4)
    assert header["note"] == "é" and not vae.training
    assert torch.equal(vae.decoder(z, x), random_vae(TINY).decoder(z, x))


def unsigned(path, change):
    """Write as `write` does, without the digest of the content: as anyone may write such a file."""
    tensors, header = read(path)
    change(tensors, header)
    save_file(tensors, path, {"lso-bench": json.dumps(header)})


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
    "deep header": lambda p: save_file(load_file(p), p, {"lso-bench": "[" * 10**5}),
    "architecture of lists": lambda p: unsigned(p, lambda t, h: h["arch"].update(kernels=[[7], {}])),
    "architecture of texts": lambda p: unsigned(p, lambda t, h: h["arch"].update(size="28; import os")),
    "target of another library": lambda p: unsigned(p, lambda t, h: h.update(arch={"_target_": "os.system"})),
    "infinite": lambda p: unsigned(p, lambda t, h: t["decoder.exit.3.bias"].fill_(torch.inf)),
    "half precision": lambda p: unsigned(p, lambda t, h: t.update({k: v.half() for k, v in t.items()})),
    "another digest": lambda p: p.write_bytes(p.read_bytes().replace(b'"sha256":"', b'"sha256":"0')),
    "foreign safetensors": lambda p: save_file(load_file(p), p),
    "header no object": lambda p: save_file(load_file(p), p, {"lso-bench": json.dumps([1])}),
    "gone": lambda p: p.unlink(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_file_is_refused_by_name(saved, fault):
    FAULTS[fault](saved)
    with pytest.raises(UnusableError, match=r"m\.safetensors"):
        load_model(saved)


def test_every_flipped_byte_is_found(saved):
    whole = saved.read_bytes()
    name = whole.index(b'"sha256"')
    for at in [*range(name, name + 8), *range(0, 200, 3), *range(200, len(whole), len(whole) // 60), len(whole) - 1]:
        saved.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(UnusableError, match=r"m\.safetensors"):
            load_model(saved)


def test_file_that_ships_is_the_one_that_shipped(tmp_path):
    names = {line.split("  ")[1] for line in (SHIPPED / SUMS).read_text().splitlines()}
    assert names <= {p.name for p in SHIPPED.glob("*.safetensors")}
    for name in (SUMS, "glyphs-conv-d32-vae-s0.safetensors"):
        shutil.copy(SHIPPED / name, tmp_path)
    path = tmp_path / "glyphs-conv-d32-vae-s0.safetensors"
    load_model(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UnusableError, match="does not match its sha256"):
        load_model(path)


SWOLLEN = {  # each would take gigabytes if what it says were believed
    "huge architecture": lambda p: unsigned(p, lambda t, h: h["arch"].update(channels=1024, kernels=[63] * 64)),
    "huge file": lambda p: os.truncate(p, 2**36),
    "huge header": lambda p: p.write_bytes((2**40).to_bytes(8, "little") + p.read_bytes()[8:]),
    "huge tensor": lambda p: p.write_bytes(claiming({"a": {"dtype": "F32", "shape": [2**34], "data_offsets": [0, 4]}})),
    "overlapping": lambda p: p.write_bytes(
        claiming({str(i): {"dtype": "U8", "shape": [2**20], "data_offsets": [0, 2**20]} for i in range(4000)}, 2**20)
    ),
}


def claiming(tensors, size=4):
    """A safetensors file whose header says this of its tensors."""
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.mark.parametrize("fault", SWOLLEN)
def test_memory_is_bounded_whatever_a_file_says(saved, fault):
    SWOLLEN[fault](saved)
    assert refused_within(2**28, lambda: load_model(saved))


def test_checkpoint_that_changed_after_planning_is_not_searched(checkpoint):
    (planned,) = plan(Grid(["vae"], ["glyphs50"], latent=4))
    rewritten(checkpoint, lambda t, h: h.update(more=1))
    with pytest.raises(UnusableRun, match="has changed since the run was planned"):
        run(planned.spec, planned.checkpoint)


def test_frozen_weights_do_not_pass_for_trained_ones(saved):
    write(saved, freeze(random_vae(TINY)).state_dict(), read(saved)[1])
    with pytest.raises(UnusableError, match="does not fit"):
        load_model(saved)


def test_own_checkpoint_comes_before_the_shipped_one(tmp_path):
    model = Model("vae", "omniglot")
    path = tmp_path / "checkpoints" / model.file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert checkpoint_of(model) == path


def test_names_cannot_leave_the_folder():
    assert "/" not in Model("../../x:y=/z", "omniglot").file
