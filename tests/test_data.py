"""Data sets: sizes, splits, what is damaged or missing. The real ones where LSO_BENCH_DATA has them."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REAL, needs_real
from PIL import Image

from lso_bench.errors import UnusableError
from lso_bench.files import cache
from lso_bench.vae import data
from lso_bench.vae.datasets import glyphs, omniglot


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_network(monkeypatch):
    """Every connection is refused at once: an address of this machine where nothing listens."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@needs_real
@pytest.mark.parametrize(("name", "sizes"), [("omniglot", (23_000, 1_345, 8_115)), ("mnist", (55_000, 5_000, 10_000))])
def test_real_data_has_its_published_pixels_and_sizes(name, sizes):
    dataset = data.load(name, REAL)
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == sizes
    assert dataset.train.shape[1:] == dataset.test.shape[1:] == (1, 28, 28)
    assert set(dataset.test.unique().tolist()) == set(dataset.valid.unique().tolist()) == {0.0, 1.0}
    assert 0.03 < dataset.test.mean() < 0.2  # ink is 1 and rare


@needs_real
def test_unpacked_omniglot_is_read_like_its_archives(tmp_path):
    with zipfile.ZipFile(REAL / "omniglot-py" / "images_background.zip") as z:
        z.extractall(tmp_path, [n for n in z.namelist() if "/Braille/" in n])
    folder = dict(omniglot._drawings(tmp_path, "images_background"))
    archive = dict(omniglot._drawings(REAL / "omniglot-py", "images_background"))
    short = {k.split("images_background.zip:")[-1]: v for k, v in archive.items() if "/Braille/" in k}
    assert len(folder) == 26 * 20
    assert {k.removeprefix(f"{tmp_path}/"): v for k, v in folder.items()} == short


def test_glyphs_are_twenty_drawings_of_many_letters():
    dataset = data.load("glyphs")
    total = len(dataset.train) + len(dataset.valid) + len(dataset.test)
    assert total % glyphs.DRAWINGS == 0 and total > 28_000
    assert len(dataset.train) == 23_000 and len(dataset.valid) == 1_345
    ink = dataset.test.mean(dim=(1, 2, 3))
    assert (ink > 0).float().mean() > 0.999 and 0.04 < ink.mean() < 0.2


def test_glyphs_are_drawn_the_same_again():
    faces = [data_font()]
    a, b = (glyphs._draw("R", faces, np.random.default_rng(5)) for _ in range(2))
    assert (a == b).all() and a.max() > 200 and a.shape == (28, 28)


def data_font():
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), 72)


def test_same_split_and_binarisation_every_time():
    a, b = data.load("glyphs"), data.load("glyphs")
    assert torch.equal(a.train, b.train) and torch.equal(a.test, b.test) and a.sha256 == b.sha256


def test_binarisation_draws_ink_with_the_grey_level_as_probability():
    grey = torch.full((1, 1, 200, 200), 51, dtype=torch.uint8)  # a fifth
    drawn = data.binarise(grey, torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert abs(drawn.mean().item() - 0.2) < 4 * (0.2 * 0.8 / 200**2) ** 0.5


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_shrinking_keeps_the_inked_area():
    paper = np.random.default_rng(0).random((105, 105)) > 0.3
    small = omniglot._shrink("a.png", png(paper))
    assert abs(small.mean() / 255 - (~paper).mean()) < 1e-3


def test_shrinking_averages_by_area():
    paper = np.ones((105, 105), bool)
    paper[:15, :15] = False  # exactly 4 x 4 of the 28 x 28
    small = omniglot._shrink("a.png", png(paper))
    assert (small[:4, :4] == 255).all() and small.sum() == 16 * 255


def omniglot_folder(tmp_path, content):
    folder = tmp_path / "omniglot-py"
    folder.mkdir()
    for name in ("images_background.zip", "images_evaluation.zip"):
        (folder / name).write_bytes(content)
    return tmp_path


def archive(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        for name, content in files.items():
            z.writestr(f"images_background/A/character01/{name}.png", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no archive", "damaged"),
        (archive(a=png(np.ones((105, 105), bool))), "incomplete: wanted 32,460"),
        (archive(a=b"no image"), "not a readable image"),
        (archive(a=png(np.ones((9, 9), bool))), "wanted 105 x 105"),
    ],
)
def test_damaged_omniglot_is_refused_by_name(tmp_path, fresh_cache, content, says):
    with pytest.raises(UnusableError, match=says):
        data.load("omniglot", omniglot_folder(tmp_path, content))


def test_damaged_mnist_is_refused(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(bytes(100))
    with pytest.raises(UnusableError, match="damaged"):
        data.load("mnist", tmp_path)


@pytest.mark.parametrize("name", ["omniglot", "mnist"])
@pytest.mark.filterwarnings("default")
def test_missing_data_says_where_to_put_it(name, tmp_path, fresh_cache, no_network):
    with pytest.raises(UnusableError, match=r"No (omniglot|mnist) in .* Put .* there, .*glyphs50 needs no download"):
        data.load(name, tmp_path / "data")


def ones():
    return np.ones((3, 28, 28), np.uint8)


def test_cached_copy_that_was_changed_is_made_again(fresh_cache):
    images = cache.cached("squares", ones)
    path = cache.cache_folder() / "squares.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    assert (cache.cached("squares", lambda: 2 * images) == 2 * images).all()
    assert (cache.cached("squares", lambda: 3 * images) == 2 * images).all()


def test_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path / "file"))
    assert (cache.cached("squares", ones) == 1).all()


@needs_real
def test_other_pixels_under_the_name_of_mnist_are_refused(tmp_path):
    shutil.copytree(REAL / "MNIST", tmp_path / "MNIST", copy_function=shutil.copyfile)
    with (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").open("r+b") as f:
        f.seek(5000)
        f.write(b"\x99")
    with pytest.raises(UnusableError, match="not the published ones"):
        data.load("mnist", tmp_path)
