"""Whatever lies in a folder is opened in one way: plain, no larger than it can be, and JSON that is not too deep."""

import os
import socket
import stat
from pathlib import Path

import pytest
import torch
from conftest import fails
from made import searched

from lso_bench.analysis import collapse
from lso_bench.errors import LsoBenchError, UnusableError
from lso_bench.files import safe_read
from lso_bench.models import measurements
from lso_bench.plugins.discovery import module_at
from lso_bench.report import html_images
from lso_bench.store import archive, heartbeat, run_folder
from lso_bench.store.results_folder import MARKER_FILE
from lso_bench.store.store import Store
from lso_bench.study import file
from lso_bench.task import TASKS
from lso_bench.vae import checkpoint, image_folder
from lso_bench.vae.architectures import ARCHITECTURES
from lso_bench.vae.datasets.mnist import MNIST
from lso_bench.vae.datasets.omniglot import Omniglot
from lso_bench.vae.import_weights import import_model


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except OSError as error:
        pytest.skip(f"needs the right to make a device ({error.strerror})")


def listening(path: Path) -> None:
    """A socket whose name is short enough, moved to `path`."""
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)
        server.bind("s")
    os.rename("s", path.name)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 40 << 30)


BAD = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": device,
    "socket": listening,
    "link to an endless device": lambda p: p.symlink_to("/dev/zero"),
    "link to itself": lambda p: p.symlink_to(p),
    "link to nothing": lambda p: p.symlink_to("nowhere"),
    "40 GiB": sparse,
    "empty": Path.touch,
    "null bytes": lambda p: p.write_bytes(bytes(100)),
    "no text": lambda p: p.write_bytes(b"\xff\xfe\x80" * 50),
    "deep": lambda p: p.write_text("[" * 200_000),
    "deep and closed": lambda p: p.write_text("[" * 400 + "]" * 400),
    "a list": lambda p: p.write_text("[]"),
    "a number": lambda p: p.write_text("1e999"),
    "an object": lambda p: p.write_text("{}"),
}
REFUSED = (UnusableError, LsoBenchError, ValueError, OSError)


def of_metrics(path, read):
    """Read the metrics beside a store."""
    (path.parent.parent / MARKER_FILE).write_text("")
    return read(path.parent.parent)


def refuses(read, path):
    with pytest.raises(REFUSED) as caught:
        read(path)
    assert str(caught.value).strip() and "\n" not in str(caught.value)


def passes_over(read, path):
    assert not read(path)


ARCH = ARCHITECTURES.build("small")
READERS = {
    "result.json": (refuses, lambda p: run_folder.read(p.parent)),
    MARKER_FILE: (refuses, lambda p: Store(p.parent, readonly=True)),
    "tmp/note.json": (passes_over, lambda p: any(heartbeat.read(p.parent.parent))),
    "metrics/a.json": (passes_over, lambda p: collapse.read([p.parent.parent])[0]),
    "metrics/b.json": (passes_over, lambda p: measurements.load_all(p.parent.parent)),
    "m.safetensors": (refuses, checkpoint.load_model),
    "m.state.safetensors": (refuses, checkpoint.read),
    "weights.pt": (refuses, lambda p: import_model(p, p.with_suffix(".out"), ARCH)),
    "study.toml": (refuses, file.read),
    "task.py": (refuses, lambda p: TASKS.build(str(p))),
    "data.py": (refuses, lambda p: module_at(p).no_such_name),
    "r.tar.zst": (refuses, archive.open_results),
    "traversals/x-all.png": (passes_over, lambda p: html_images.walks([p.parent.parent])[0]),
    "omniglot-py/images_background.zip": (refuses, lambda p: Omniglot().classes(p.parent.parent)),
    "MNIST/raw/train-labels-idx1-ubyte": (refuses, lambda p: MNIST().classes(p.parents[2])),
    "images/a.png": (refuses, lambda p: image_folder.ImageFolder(p.parent).images(p.parent)),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", READERS)
def test_file_of_any_kind_that_is_not_as_it_should_be_is_refused_at_once(tmp_path, monkeypatch, name, bad):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "f" / name
    path.parent.mkdir(parents=True)
    BAD[bad](path)
    how, read = READERS[name]
    if name.endswith(".py") and bad in ("empty", "a list", "a number", "an object"):
        read = TASKS.build if name == "task.py" else read
        path = str(path) if name == "task.py" else path
    try:
        how(read, path)
    except AttributeError as error:  # a file of Python without that name in it
        assert name == "data.py" and "no_such_name" in str(error)


@pytest.mark.parametrize("bad", ["pipe", "link to an endless device", "40 GiB", "null bytes"])
def test_fingerprint_of_images_ends_and_follows_the_names(tmp_path, bad):
    BAD[bad](tmp_path / "a.png")
    before = image_folder.fingerprint(tmp_path)
    (tmp_path / "b.png").write_bytes(b"x")
    assert image_folder.fingerprint(tmp_path) != before


@pytest.mark.parametrize("name", [b"caf\xe9.png", "é.png".encode(), b"a\nb.png"])
def test_image_of_any_name_counts_by_its_name(tmp_path, name, capsys):
    (tmp_path / os.fsdecode(name)).write_bytes(b"no image")
    assert image_folder.fingerprint(tmp_path)
    with pytest.raises(UnusableError, match="got 0"):
        image_folder.ImageFolder(tmp_path).images(tmp_path)
    assert "1 of 1 images" in capsys.readouterr().err


KINDS = {"a pipe": os.mkfifo, "a device": lambda p: p.symlink_to("/dev/zero"), "a folder": Path.mkdir}


@pytest.mark.parametrize("kind", KINDS)
def test_task_at_a_path_that_is_no_plain_file_is_refused_with_its_kind(tmp_path, kind):
    KINDS[kind](tmp_path / "t.py")
    with pytest.raises(LsoBenchError, match=f"t.py is no plain file, but {kind}"):
        TASKS.build(str(tmp_path / "t.py"))


def test_task_in_a_file_whose_name_is_no_text_is_used_or_refused_in_a_line(tmp_path):
    with pytest.raises(LsoBenchError, match=r"No file|wanted a name in UTF-8"):
        TASKS.build(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py"))


def test_sha256_of_a_checkpoint_is_made_only_of_one_that_is_small_enough(tmp_path):
    sparse(tmp_path / "m.safetensors")
    with pytest.raises(UnusableError, match=r"m\.safetensors .* larger than 256 MiB"):
        checkpoint.sha256(tmp_path / "m.safetensors")


TENSORS = {
    "sparse": lambda t: t.to_sparse(),
    "without values": lambda t: t.to("meta"),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_weights_that_are_no_dense_tensors_are_named(tmp_path, kind):
    from conftest import TINY, random_vae

    weights = {k: TENSORS[kind](t) if t.dim() > 1 else t for k, t in random_vae(TINY).state_dict().items()}
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(UnusableError, match=r"wanted .* to be a dense tensor|cannot be read|no weights"):
        import_model(tmp_path / "w.pt", tmp_path / "out.safetensors", TINY)
    assert not (tmp_path / "out.safetensors").exists()


def test_header_of_a_tensor_that_there_cannot_be_is_refused_in_plain_words(tmp_path):
    from test_checkpoint import claiming

    path = tmp_path / "m.safetensors"
    path.write_bytes(claiming({"a": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}}, 0))
    with pytest.raises(UnusableError, match="a tensor that torch cannot have"):
        checkpoint.read(path)


@pytest.mark.parametrize("levels", [1, safe_read.DEEPEST - 1])
def test_json_of_few_levels_is_read(tmp_path, levels):
    (tmp_path / "a.json").write_text("[" * levels + "]" * levels)
    assert isinstance(safe_read.read_json(tmp_path / "a.json", 1000), list)


COMMANDS = {
    MARKER_FILE: [("status", "r"), ("compare", "r"), ("archive", "r")],
    "tmp/note.json": [("status", "r"), ("compare", "r")],
    "metrics/a.json": [("compare", "r"), ("report", "r")],
    "traversals/x-all.png": [("report", "r")],
}


@pytest.mark.parametrize("bad", ["pipe", "link to an endless device", "40 GiB", "deep", "an object"])
@pytest.mark.parametrize("name", COMMANDS)
def test_command_ends_in_order_whatever_lies_in_the_folder(call, tmp_path, name, bad):
    store = Store(tmp_path / "r")
    store.add(searched({"random": [[9.0, 5.0, 3.0], [8.0, 6.0, 4.0]]}))
    path = store.folder / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    BAD[bad](path)
    for command in COMMANDS[name]:
        done = call(*command)
        if name == MARKER_FILE:
            fails(done, 4, MARKER_FILE)
        else:
            assert done.returncode == 0 and "Traceback" not in done.stderr and "fault" not in done.stderr, done.stderr
