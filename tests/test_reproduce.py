"""The paper's tables and figures: what is compared, and what the program itself points out."""

import json
import re
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch
from conftest import TINY, fails, random_vae

from lso_bench.errors import UnusableError, UsageError
from lso_bench.models import measurements, training
from lso_bench.models.measurements import Measured
from lso_bench.paper.agreement import Order, frame, order
from lso_bench.paper.published import TABLE_1, TABLE_2
from lso_bench.paper.tables import (
    FIGURE_2,
    Reproduction,
    Request,
    _has_other_settings,
    check,
    models_of,
    plans,
    reproduce,
    train_missing,
    untrained,
)
from lso_bench.report import paper_tables
from lso_bench.report.paper_files import suffix
from lso_bench.report.table import Cell
from lso_bench.vae import objectives, trained_model
from lso_bench.vae.checkpoint import load_model, read, save_model
from lso_bench.vae.data import load
from lso_bench.vae.evaluation import SampleSizes
from lso_bench.vae.metrics import Metrics
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import Model

N = 400
ROW = ("model", "latent", "epochs")


@pytest.fixture(autouse=True)
def nothing_ships(monkeypatch, tmp_path):
    """Only what a test itself leaves is trained."""
    monkeypatch.setattr(trained_model, "SHIPPED", tmp_path / "shipped")


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """Models are measured on 300 images: what stands where does not depend on their number."""
    glyphs = load("glyphs")
    monkeypatch.setattr(measurements, "load", lambda *_: replace(glyphs, test=glyphs.test[:300]))


def measured(name: str, offset: float, au: int = 6, noise: float = 1.0, seed: int = 0) -> Measured:
    """Measure `name` artificially: its MI that much above a common value of each image, and some noise."""
    rng = torch.Generator().manual_seed(seed)
    image = 3 * torch.randn(N, generator=torch.Generator().manual_seed(99))
    values = image + offset + noise * torch.randn(N, generator=rng)
    mean, error = values.mean().item(), (values.std() / N**0.5).item()
    activity = [1.0] * au + [0.0] * (32 - au)
    fields = dict.fromkeys(("nelbo", "kl", "mi", "mi_b50"), mean)
    se = dict.fromkeys(fields, error)
    metrics = Metrics(
        n=N,
        distortion=1.0,
        squared_error=1.0,
        divergence=0.0,
        au=au,
        reencoding_mean=0.0,
        reencoding_logp=0.0,
        activity=activity,
        kl_each=None,
        se=se,
        **fields,
    )
    made_by = {
        "objective": asdict(OBJECTIVES.build(name)),
        "epochs": 3,
        "versions": None,
        "history": None,
        "command": "",
    }
    each = dict.fromkeys(("nelbo", "kl", "mi", "mi_b50"), values.float())
    return Measured(Model(name, "omniglot"), {"checkpoint": "0" * 64}, made_by, "0", metrics, each)


A_MEAN_OF_2 = ((1.9, 2.0, 2.1), (-1.0, 2.0, 5.0))


def trained_by(seed: int, measurement: Measured) -> Measured:
    return replace(measurement, model=replace(measurement.model, seed=seed))


def test_paper_has_every_row_by_the_name_of_its_model():
    assert list(TABLE_1) == list(objectives.TABLE_1)
    assert {m: sizes[32] for m, sizes in TABLE_2.items()} == {m: TABLE_1[m].au for m in TABLE_2}


def test_pairs_in_the_other_order_are_pointed_out():
    vae, plain = (
        measured("vae", 2.0, au=6),
        measured("vae_noanneal", 5.0, au=9, seed=1),
    )  # in the paper the former has more
    outcome = order([vae, plain])
    assert [line.partition(":")[0] for line in outcome.reversed_pairs] == ["-ELBO", "KL", "MI", "AU"]
    assert "in the paper vae 6 > vae_noanneal 2; here 6 < 9" in outcome.reversed_pairs[3]


@pytest.mark.parametrize(("offset", "verdict"), [(0.05, "undecided"), (0.5, "other")])
def test_errors_are_those_of_paired_differences(offset, verdict):
    vae, plain = measured("vae", 0.0, noise=0.5), measured("vae_noanneal", offset, noise=0.5, seed=1)
    assert vae.metrics.se["mi"] > 0.1  # unpaired, a difference of 0.5 would be three errors, of 0.3 not two
    outcome = order([vae, plain])
    assert ("MI" in [line[:2] for line in outcome.reversed_pairs]) == (verdict == "other")


def test_small_differences_are_seen_in_pairs():
    outcome = order([measured("vae", 0.0, noise=0.1), measured("vae_noanneal", 0.1, noise=0.1, seed=1)])
    assert "MI" in [line[:2] for line in outcome.reversed_pairs]  # a seventh of the unpaired error


def test_figures_of_the_paper_that_are_tied_give_no_order():
    outcome = order(
        [measured("beta_vae_0.8", 0.0, au=32), measured("beta_vae_0.7", -9.0, au=32, seed=1)]
    )  # MI 3.86, 3.87
    assert outcome.agreeing + outcome.undecided + len(outcome.reversed_pairs) == 2  # -ELBO and KL


def test_units_at_the_threshold_decide_nothing():
    vae, plain = measured("vae", 0.0, au=6), measured("vae_noanneal", 0.0, au=7, seed=1)
    doubtful = replace(plain, metrics=replace(plain.metrics, activity=[1.0] * 6 + [0.0101] * 2 + [0.0] * 24))
    assert not [line for line in order([vae, doubtful]).reversed_pairs if line.startswith("AU")]
    assert [line for line in order([vae, plain]).reversed_pairs if line.startswith("AU")]


def test_model_trained_by_another_formula_is_named_and_not_ordered(trained, tmp_path):
    path = tmp_path / "checkpoints" / Model("vae", "glyphs", "conv", 8).file
    vae, header = load_model(path)
    save_model(path, vae, header | {"objective": {"beta": 0.3, "anneal": True}})
    result = reproduce(Request("table2", "glyphs", "conv"), tmp_path)
    assert [n for n in result.notes if "vae (d = 8)" in n and "beta=0.3" in n] and result.order == Order(0, 0, [])


def test_settings_that_older_headers_lack_are_no_other_settings():
    for name, lacking in (("nevae_se", "channel"), ("nevae_lp_0.1", "channel"), ("nevae_se", "norm")):
        plain = measured(name, 0.0)
        objective = {k: v for k, v in plain.training["objective"].items() if k != lacking}
        older = replace(plain, training=plain.training | {"objective": objective})
        assert _has_other_settings(older) == (lacking == "norm")  # which meant something else before it was a setting


def test_figure_without_a_curve_is_refused_before_anything_is_trained(tmp_path):
    save_model(
        tmp_path / "checkpoints" / Model("vae", "glyphs", "conv").file, random_vae(TINY), {"history": [{"epoch": 1}]}
    )
    with pytest.raises(UsageError, match="no learning curve"):
        check(Request("fig2", "glyphs", "conv"))


def test_checkpoint_of_other_epochs_is_refused_with_its_number_and_what_to_do(trained):
    check(Request("table2", "glyphs", "conv", epochs=3))
    check(Request("table2", "glyphs", "conv"))
    with pytest.raises(UnusableError, match=r"-d8-vae-s0.safetensors has 3 epochs, and --epochs 5 .*LSO_BENCH_CHECK"):
        check(Request("table2", "glyphs", "conv", epochs=5))


def test_shipped_checkpoint_of_other_epochs_says_how_to_train_ones_own():
    save_model(trained_model.SHIPPED / Model("vae", "glyphs", "conv").file, random_vae(TINY), {"epochs": 30})
    with pytest.raises(UnusableError, match=r"30 epochs.* train --model vae .*--epochs 5 --precision bf16"):
        check(Request("table1", "glyphs", "conv", epochs=5, precision="bf16"))


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--no-train",)])
def test_other_epochs_end_the_command_before_anything_is_trained(trained, call, tmp_path, options):
    before = {*tmp_path.rglob("*")}
    done = call("reproduce", "table2", "--data", "glyphs", "--arch", "conv", "--epochs", "5", *options)
    fails(done, 4, "has 3 epochs", "leave --epochs out")
    assert {*tmp_path.rglob("*")} == before


def test_precision_and_graph_reach_every_training(trained):
    trainings = plans(Request("table2", "glyphs", "conv", captured=True, precision="bf16"))
    assert len(trainings) == 12 - 2 and all(p.capture and p.precision == "bf16" for p in trainings)


def test_precision_stands_in_the_header_of_what_was_trained(square_data, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "load", lambda *_: square_data)
    request = Request("table1", "omniglot", "conv:channels=2,encoder=2", ["vae"], epochs=1, precision="bf16")
    assert train_missing(request, None, "cpu", quiet=True) == []
    header = read(next(tmp_path.glob("checkpoints/*.safetensors")))[1]
    assert (header["epochs"], header["precision"]) == (1, "bf16") and "--precision bf16" in header["command"]


def test_table_2_has_every_size_and_figure_2_its_models():
    assert {m.latent for m in models_of(Request("table2"))} == {8, 16, 32, 64}
    assert tuple(m.name for m in models_of(Request("fig2"))) == FIGURE_2
    assert [m.name for m in models_of(Request("table1", models=["vae", "nevae_se"]))] == ["vae", "nevae_se"]


@pytest.fixture
def trained(tmp_path):
    """Tiny models where `vae` and `nevae_se` of 8 dimensions on glyphs are looked for."""
    history = [{"epoch": e, "reencoding_mean": 2.0 / e} for e in (1, 2, 3)]
    for i, name in enumerate(("vae", "nevae_se")):
        header = {"command": f"as in a test, {name}", "epochs": 3, "versions": {"torch": "0"}, "history": history}
        header["objective"] = asdict(OBJECTIVES.build(name))
        arch = replace(TINY, latent=8)
        save_model(tmp_path / "checkpoints" / Model(name, "glyphs", "conv", 8).file, random_vae(arch, seed=i), header)


def test_what_is_trained_stands_beside_the_paper_and_the_rest_is_named(trained, tmp_path):
    request = Request("table2", "glyphs", "conv")
    assert len(untrained(models_of(request))) == 12 - 2
    reproduction = reproduce(request, tmp_path)
    assert list(reproduction.rows.paper) == [5, 8] and list(reproduction.rows.latent) == [8, 8]
    assert (reproduction.rows.ours - reproduction.rows.paper == reproduction.rows.difference).all()
    text = paper_tables.markdown(reproduction)
    assert "| vae | 8 | 3 | 5 |" in text and "as in a test, nevae_se" in text
    assert re.search(
        r"Measured: data sha256 \w{12}, of the test images \w{12}, torch [\w.+]+, on cpu; written by lso-bench", text
    )
    assert "aggressive (d = 64)" in text.partition("not trained")[2]
    md, table = paper_tables.write(reproduction, "table2", tmp_path / "out")
    assert md.read_text() == text and pd.read_csv(table).shape == (2, 11)


def test_row_without_weights_is_its_stored_measurement_and_says_so(trained, tmp_path):
    request = Request("table2", "glyphs", "conv")
    before = reproduce(request, tmp_path)
    next(tmp_path.glob("checkpoints/*nevae_se*")).unlink()
    after = reproduce(request, tmp_path)
    pd.testing.assert_frame_equal(after.rows, before.rows)
    assert "measured before, weights not here: nevae_se (d = 8)" in after.notes
    assert not any("nevae_se (d = 8)" in note for note in after.notes if note.startswith("not trained"))
    next(tmp_path.glob("checkpoints/*vae-s0*")).unlink()
    assert list(reproduce(request, tmp_path).rows.model) == list(before.rows.model)


def test_row_without_weights_may_be_measured_with_more_effort(trained, tmp_path):
    request = Request("table2", "glyphs", "conv")
    before = reproduce(request, tmp_path)
    models = [m.model for m in before.measured]
    for file in [*tmp_path.glob("metrics/*")]:
        file.unlink()
    measurements.measured(models, tmp_path, effort=SampleSizes(samples=2, images=10, codes=10))
    next(tmp_path.glob("checkpoints/*nevae_se*")).unlink()
    pd.testing.assert_frame_equal(reproduce(request, tmp_path).rows, before.rows)


def test_row_without_weights_that_was_measured_of_two_checkpoints_is_left_out(trained, tmp_path):
    request, path = Request("table2", "glyphs", "conv"), next(tmp_path.glob("checkpoints/*nevae_se*"))
    reproduce(request, tmp_path)
    header = {"epochs": 3, "objective": asdict(OBJECTIVES.build("nevae_se"))}
    save_model(path, random_vae(replace(TINY, latent=8), seed=9), header)
    reproduce(request, tmp_path)
    path.unlink()
    assert list(reproduce(request, tmp_path).rows.model) == ["vae"]


def test_several_trainings_are_one_row_of_their_mean_least_and_most():
    vae = [trained_by(s, measured("vae", x, au=au)) for s, (x, au) in enumerate([(0.0, 6), (1.0, 9), (5.0, 6)])]
    rows = frame([*vae, measured("nevae_se", 0.0)], ["mi", "au"])
    assert list(rows.seeds) == [3, 3, 1, 1] and list(rows.model) == ["vae"] * 2 + ["nevae_se"] * 2
    mi, au = rows.iloc[0], rows.iloc[1]
    assert mi.ours == pytest.approx(mi.low + 2.0) and mi.high == pytest.approx(mi.low + 5.0)
    assert (au.ours, au.low, au.high, au.difference) == (7, 6, 9, 1)


def test_order_of_trainings_that_differ_more_than_the_models_is_undecided():
    plain = measured("vae_noanneal", 3.0, noise=0.1, seed=1)
    alike, apart = (
        [trained_by(s, measured("vae", x, noise=0.1)) for s, x in enumerate(values)] for values in A_MEAN_OF_2
    )
    assert "MI" in [line[:2] for line in order([*alike, plain], ["mi"]).reversed_pairs]
    assert order([*apart, plain], ["mi"]) == Order(0, 1, [])


def test_training_seeds_stand_in_the_table_its_notes_and_its_files_name(trained, tmp_path):
    header = {"command": "of seed 1", "epochs": 3, "objective": asdict(OBJECTIVES.build("vae"))}
    another = Model("vae", "glyphs", "conv", 8, 1)
    save_model(tmp_path / "checkpoints" / another.file, random_vae(replace(TINY, latent=8), seed=7), header)
    reproduction = reproduce(Request("table2", "glyphs", "conv", train_seeds=(0, 1)), tmp_path)
    text = paper_tables.markdown(reproduction)
    assert "means over training seeds 0, 1" in text and "one training seed" not in text
    assert re.search(r"^\| vae \| 8 \| 3 \| 2 \| 5 \| [\d.]+ \(\d \.\. \d\) \| [+-]\d\.\d \|$", text, re.M)
    assert re.search(r"^\| nevae_se \| 8 \| 3 \| 1 \| 8 \| \d \+- [\d.]+ \| [+-]\d \|$", text, re.M)  # no range of one
    assert "of seed 1" in text and "nevae_se (d = 8, seed 1)" in text.partition("not trained")[2]
    assert paper_tables.write(reproduction, "table2", tmp_path)[0].name == "table2-glyphs-conv-s0+1.md"


def test_table_of_some_rows_never_replaces_one_of_all(trained, call, tmp_path):
    words = ("reproduce", "table2", "--no-train", "--data", "glyphs", "--arch", "conv")
    whole = tmp_path / "results" / "reproduction" / "table2-glyphs-conv.md"
    assert call(*words).returncode == 0
    kept = whole.read_text()
    done = call(*words, "--models", "vae", "--json")
    assert [row["model"] for row in json.loads(done.stdout)] == ["vae"] and whole.read_text() == kept
    assert whole.with_name("table2-glyphs-conv-vae.md").is_file() and whole.name not in done.stderr
    titles = [p.read_text().splitlines()[0] for p in (whole, whole.with_name("table2-glyphs-conv-vae.md"))]
    assert titles[1] == f"{titles[0]}, 1 of 3 models"
    assert call(*words, "--models", "aggressive,nevae_se,vae").returncode == 0  # all of them: the same table
    assert len([*whole.parent.glob("*.md")]) == 2 and whole.read_text() == kept


def test_every_selection_of_rows_and_seeds_has_files_of_its_own():
    chosen = [
        (),
        ("vae",),
        ("vae", "nevae_se"),
        [f"nevae_lp_{i}" for i in range(9)],
        [f"nevae_lp_{i}" for i in range(8)],
    ]
    names = [suffix(models, *seeds) for models in chosen for seeds in [([0],), ([1],), ([0], [1]), ([0, 1], [0, 1])]]
    assert names[0] == "" and len({*names}) == len(names) and max(map(len, names)) < 100


def test_every_seed_is_planned_and_of_one_seed_the_table_says_so(trained, tmp_path):
    assert {p.model.seed for p in plans(Request("table1", "glyphs", "conv", ["vae"], train_seeds=(0, 1, 2)))} == {
        0,
        1,
        2,
    }
    assert "one training seed" in paper_tables.markdown(reproduce(Request("table2", "glyphs", "conv"), tmp_path))


def test_count_of_active_units_has_its_error_in_the_table():
    rows = pd.DataFrame(
        [["vae", 8, 3, "AU", 6, 7, 1.5, 1, 1]],
        columns=[*ROW, "measure", "paper", "ours", "error", "difference", "seeds"],
    )
    table = paper_tables.table(Reproduction("", [measured("vae", 0.0)], rows, Order(0, 0, []), []))
    assert [c.heading for c in table.columns[4:5]] == ["AU\nours"]
    assert table.rows[0][4] == Cell("7 +- 1.5", 7)


def test_table_2_is_of_active_units_alone_at_every_size(tmp_path):
    header = {"epochs": 3, "objective": asdict(OBJECTIVES.build("vae"))}
    path = tmp_path / "checkpoints" / Model("vae", "glyphs", "conv").file
    save_model(path, random_vae(replace(TINY, latent=32)), header)
    assert list(reproduce(Request("table2", "glyphs", "conv"), tmp_path).rows.measure) == ["AU"]


def test_nothing_trained_is_one_line(tmp_path):
    with pytest.raises(UnusableError, match="None of the models of table2"):
        reproduce(Request("table2", "mnist", "conv"), tmp_path)


def test_figures_are_drawn_and_their_figures_written(tmp_path):
    history = [{"epoch": e, "reencoding_mean": 2.0 / e} for e in (1, 2, 3)]
    for i, name in enumerate(FIGURE_2):
        header = {"epochs": 3, "history": history, "objective": asdict(OBJECTIVES.build(name))}
        arch = replace(TINY, latent=32)
        save_model(tmp_path / "checkpoints" / Model(name, "glyphs", "conv").file, random_vae(arch, seed=i), header)
    for what, index in (("fig1", list(range(32))), ("fig2", [1, 2, 3])):
        reproduction = reproduce(Request(what, "glyphs", "conv", models=FIGURE_2), tmp_path)
        table, png = paper_tables.write(reproduction, what, tmp_path)
        figures = pd.read_csv(table, index_col=0)
        assert set(figures.columns) == set(FIGURE_2) and list(figures.index) == index
        assert png.read_bytes().startswith(b"\x89PNG")
