"""Weights from a file of torch.save: tensors come in, and nothing in it is executed or believed."""

import os
import pickle
import zipfile

import pytest
import torch
from conftest import TINY, fails, random_vae, refused_within

from lso_bench.errors import UnusableError
from lso_bench.vae.checkpoint import load_model
from lso_bench.vae.import_weights import import_model


class Evil:
    """Object that pickle would call while it loads."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def source(tmp_path):
    return tmp_path / "theirs.pt"


def imported(source, tmp_path):
    import_model(source, tmp_path / "ours.safetensors", TINY)
    return load_model(tmp_path / "ours.safetensors")


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w, "epoch": 3}])
def test_weights_come_in_as_they_were(source, tmp_path, wrap):
    theirs = random_vae(TINY, seed=3)
    torch.save(wrap(theirs.state_dict()), source)
    vae, header = imported(source, tmp_path)
    x, z = torch.rand(2, 1, 28, 28), torch.randn(2, 4)
    assert torch.equal(vae.decoder(z, x), theirs.decoder(z, x)) and header["imported_from"] == "theirs.pt"


def bomb(path):
    """A few megabytes that swell to gigabytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z, z.open("a/data.pkl", "w") as f:
        for _ in range(64):
            f.write(bytes(2**24))


def weights(**extra):
    return random_vae(TINY).state_dict() | extra


def torn(path):
    torch.save(weights(), path)
    path.write_bytes(path.read_bytes()[:-500])


FAULTS = {
    "malicious": lambda p: torch.save(weights(evil=Evil(p.parent / "marker")), p),
    "malicious alone": lambda p: torch.save(Evil(p.parent / "marker"), p),
    "malicious pickle": lambda p: p.write_bytes(pickle.dumps(Evil(p.parent / "marker"))),
    "malicious old form": lambda p: torch.save(Evil(p.parent / "marker"), p, _use_new_zipfile_serialization=False),
    "whole model": lambda p: torch.save(random_vae(TINY), p),
    "bomb": bomb,
    "truncated": torn,
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("hello"),
    "gone": lambda p: None,
    "huge": lambda p: (p.write_bytes(b"PK"), os.truncate(p, 2**36)),
    "no weights": lambda p: torch.save([1, 2], p),
    "names that are no text": lambda p: torch.save({1: torch.zeros(1)}, p),
    "missing weight": lambda p: torch.save(dict([*weights().items()][1:]), p),
    "extra weight": lambda p: torch.save(weights(more=torch.zeros(1)), p),
    "not finite": lambda p: torch.save(weights(**{"decoder.exit.3.bias": torch.tensor([torch.nan])}), p),
    "stretched": lambda p: torch.save(weights(**{"decoder.exit.3.bias": torch.zeros(1).expand(2**40)}), p),
    "another architecture": lambda p: torch.save({k: v.reshape(-1)[:0] for k, v in weights().items()}, p),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_file_is_refused_by_name_and_runs_nothing(source, tmp_path, fault):
    FAULTS[fault](source)
    assert refused_within(2**29, lambda: imported(source, tmp_path))
    with pytest.raises(UnusableError, match=r"theirs\.pt") as error:
        imported(source, tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(UnusableError, match=r"theirs\.pt"):  # under the name of a checkpoint of ours
        load_model(source)
    assert not (tmp_path / "marker").exists() and not (tmp_path / "ours.safetensors").exists()


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_is_refused(source, tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), source)
    with pytest.raises(UnusableError, match="TorchScript"):
        imported(source, tmp_path)


def test_malicious_file_ends_the_program_with_status_4(call, tmp_path):
    torch.save(weights(evil=Evil(tmp_path / "marker")), tmp_path / "theirs.pt")
    where = ("--model", "vae", "--data", "glyphs", "--latent", "4")
    fails(call("import-checkpoint", "theirs.pt", *where), 4, "theirs.pt holds no weights")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_weights_of_a_wrapped_model_come_in_by_their_own_names(source, tmp_path, key, prefix):
    theirs = random_vae(TINY, seed=3)
    torch.save({key: {prefix + k: t for k, t in theirs.state_dict().items()}, "epoch": 3}, source)
    vae, _ = imported(source, tmp_path)
    assert all(torch.equal(t, theirs.state_dict()[k]) for k, t in vae.state_dict().items())


def in_the_old_format(path):
    torch.save(random_vae(TINY).state_dict(), path, _use_new_zipfile_serialization=False)


def as_safetensors(path):
    from safetensors.torch import save_file

    save_file(random_vae(TINY).state_dict(), path)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda p: torch.save(random_vae(TINY), p), "objects, which would be executed; save the weights alone"),
        (lambda p: torch.save({"state_dict": weights(), "m": Evil(p)}, p), "save the weights alone"),
        (in_the_old_format, "before version 1.6"),
        (as_safetensors, "a .safetensors file"),
        (lambda p: p.write_bytes(b""), "torn"),
        (lambda p: torch.save([weights()], p), "got list; save the weights alone"),
    ],
)
def test_what_cannot_be_imported_is_named_with_its_mend_and_without_advice_of_torch(source, tmp_path, write, says):
    write(source)
    with pytest.raises(UnusableError, match=says) as error:
        imported(source, tmp_path)
    text = str(error.value)
    assert text.isprintable() and "weights_only" not in text and "trust" not in text
