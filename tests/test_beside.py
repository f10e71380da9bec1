"""Figures noted of a point beside its score: measured, kept, compared, shown."""

import io
import json
import math
from dataclasses import replace

import pytest
import torch
from conftest import TINY, random_vae
from made import measures, one, searched
from rich.console import Console

from lso_bench.errors import PluginError
from lso_bench.plugins.code_version import source_hash
from lso_bench.report import export, figure_files, tables
from lso_bench.runner.diagnostics import baseline_on_test_set, diagnose
from lso_bench.runner.placement import Placement
from lso_bench.runner.run import run
from lso_bench.search.space import Space
from lso_bench.spec import Spec
from lso_bench.store.store import Store
from lso_bench.tasks.ink import Ink
from lso_bench.vae.architectures.conv import Conv
from lso_bench.vae.checkpoint import save_model, sha256
from lso_bench.vae.code_use import retrieval_of_latents
from lso_bench.vae.data import load
from lso_bench.vae.trained_model import Model

PLAIN = Conv(latent=4, encoder=2, hidden=8, channels=2)
DARK = '''"""Ink, with what is dark told beside."""

from dataclasses import dataclass

from lso_bench.tasks.ink import Ink


@dataclass(frozen=True)
class Dark(Ink):
    """Ink, and its share beside it."""

    def beside(self, x):
        share = x.mean((-3, -2, -1))
        return {"share": share, "valid": (share > 0.5).float()}
'''


@pytest.fixture
def record(tmp_path):
    """A short run of a task that reports something, in a tiny decoder that sees the code alone."""
    (tmp_path / "dark.py").write_text(DARK)
    path = tmp_path / "model.safetensors"
    save_model(path, random_vae(PLAIN), {"made": "by a test"})
    model, how = Model("vae", "glyphs", "conv", 4), {"max_steps": 5, "budget": 5, "thresholds": ()}
    task, starts = f"{tmp_path}/dark.py:target=0.3,data=glyphs", ("random", "origin")
    how |= {"decoding": "mean", "region": "box:1", "starts": starts, "source": source_hash(task)}
    return run(Spec(model, sha256(path), task, "sobol", **how), path)


@pytest.mark.parametrize(
    ("name", "arch", "decoding", "precision"),
    [
        ("small", TINY, "teacher", "fp32"),
        ("small", TINY, "teacher", "fp64"),
        ("small", TINY, "sample", "fp64"),
        ("conv", PLAIN, "mean", "fp32"),
    ],
)
def test_run_under_a_teacher_records_how_often_free_running_samples_are_nearest_to_their_target(
    tmp_path, name, arch, decoding, precision
):
    path = tmp_path / "model.safetensors"
    save_model(path, random_vae(arch), {"made": "by a test"})
    how = {"max_steps": 2, "budget": 2, "thresholds": (), "decoding": decoding, "region": "box:1"}
    how |= {"precision": precision}
    spec = Spec(Model("vae", "glyphs", name, 4), sha256(path), "glyphs50:instances=3", "sobol", **how)
    record = run(spec, path)
    recorded = [m.beside.get("retrieved") for m in record.members]
    if decoding == "teacher":
        z, targets = record.tensors["z"], record.tensors["targets"].float() / 255
        indices = torch.tensor([m.instance for m in record.members])
        assert recorded == retrieval_of_latents(random_vae(TINY), z, targets, indices, 0).tolist()
        assert len({*recorded}) > 1 and record.usual["retrieved"] == 1 / 3
    else:
        assert {*recorded} == {None} and "retrieved" not in record.usual


def test_search_of_samples_has_no_latent_to_draw_from(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, random_vae(TINY), {"made": "by a test"})
    how = {"max_steps": 2, "budget": 2, "thresholds": (), "decoding": "teacher"}
    spec = Spec(Model("vae", "glyphs", "small", 4), sha256(path), "glyphs50:instances=3", "screening", **how)
    record = run(spec, path)
    assert not any(m.beside for m in record.members) and not record.usual


@pytest.mark.parametrize("searcher", ["screening", "cmaes:penalty=prior,penalty_weight=1"])
def test_run_that_captures_nothing_is_not_recorded_as_captured(tmp_path, searcher):
    path = tmp_path / "model.safetensors"
    save_model(path, random_vae(PLAIN), {"made": "by a test"})
    how = {"max_steps": 2, "budget": 10, "thresholds": (), "decoding": "mean", "region": "box:1"}
    spec = Spec(Model("vae", "glyphs", "conv", 4), sha256(path), "glyphs50:instances=3", searcher, **how)
    assert run(spec, path, Placement(capture=True)).versions["captured"] is False


def test_task_may_not_report_a_value_that_runs_record():
    class Retrieving(Ink):
        def beside(self, x):
            return {"retrieved": x.mean((-3, -2, -1))}

    with pytest.raises(PluginError, match="wanted another name than 'retrieved'"):
        diagnose(Space(random_vae(PLAIN), "mean"), Retrieving(), torch.zeros(2, 4), torch.rand(2, 1, 28, 28))


def test_run_notes_how_far_the_encoder_finds_the_point_from_where_it_is(record):
    vae, z = random_vae(PLAIN), record.tensors["z"]
    image = (vae.decode(z).mean > 0.5).float()
    expected = (vae.encode(image).mean - z).square().sum(-1).sqrt()
    torch.testing.assert_close(torch.tensor([m.consistency for m in record.members]), expected, rtol=1e-4, atol=1e-4)


def test_run_notes_what_the_task_reports_of_the_image_that_was_found(record):
    share = random_vae(PLAIN).decode(record.tensors["z"]).mean.mean((-3, -2, -1))
    torch.testing.assert_close(torch.tensor([m.beside["share"] for m in record.members]), share, rtol=1e-4, atol=1e-4)
    assert [m.beside["valid"] for m in record.members] == (share > 0.5).float().tolist()


def test_run_takes_the_same_of_test_images(record):
    test = load("glyphs").test[:500]
    assert record.usual == {"share": pytest.approx(test.mean((1, 2, 3)).median().item()), "valid": 0.0}


def test_images_count_as_equal_where_their_ink_is():
    x = torch.tensor([0.1, 0.4, 0.6, 0.9]).view(4, 1, 1, 1).expand(-1, 1, 28, 28)
    space = Space(random_vae(PLAIN), "mean")
    a, b, c, d = (n["image"] for n in diagnose(space, Ink(), torch.zeros(4, 4), x))
    assert a == b != c == d and len(a) == 16


def test_dark_images_that_are_not_bernoulli_differ_in_their_grey_levels():
    levels = torch.tensor([10.0, 10.2, 11.0, 250.0]) / 255
    x = levels.view(4, 1, 1, 1).expand(-1, 1, 28, 28)
    space = Space(random_vae(replace(PLAIN, likelihood="gaussian")), "mean")
    a, b, c, d = (n["image"] for n in diagnose(space, Ink(), torch.zeros(4, 4), x))
    assert a == b and len({a, c, d}) == 3


def test_task_that_reports_nothing_has_nothing_beside():
    notes = diagnose(Space(random_vae(PLAIN), "mean"), Ink(), torch.zeros(2, 4), torch.rand(2, 1, 28, 28))
    assert [n["beside"] for n in notes] == [{}, {}] and baseline_on_test_set(Ink(), torch.rand(3, 1, 28, 28)) == {}


class Flat(Ink):
    """Reports one number for all."""

    def beside(self, x):
        return {"share": x.mean((-3, -2, -1))[0]}


def test_report_in_another_shape_is_told_what_was_wanted():
    with pytest.raises(PluginError, match=r"wanted 'share' of each sample, a tensor of shape \(2, 1\), got .* \(1,\)"):
        diagnose(Space(random_vae(PLAIN), "mean"), Flat(), torch.zeros(2, 4), torch.rand(2, 1, 28, 28))


def test_what_was_noted_is_kept(record, tmp_path):
    spoilt = replace(record.members[0], beside={"share": math.nan, "valid": 1.0})
    store = Store(tmp_path / "r")
    store.add(replace(record, members=[spoilt, *record.members[1:]]))
    (back,) = store
    assert back.usual == record.usual and back.members[1:] == record.members[1:]
    assert math.isnan(back.members[0].beside["share"]) and back.members[0].image == spoilt.image


def test_results_from_before_are_read_and_shown_as_they_were(record, tmp_path):
    store = Store(tmp_path / "r")
    store.add(record)
    (file,) = (tmp_path / "r").glob("runs/*/*/result.json")
    raw = json.loads(file.read_text())
    del raw["usual"]
    for member in raw["members"]:
        del member["consistency"], member["image"], member["beside"]
    file.write_text(json.dumps(raw))
    (back,) = store
    assert not store.skipped and back.members == [replace(m, **NOTHING) for m in record.members]
    assert "Beside the objective" not in shown(measures(replace(record, members=back.members, usual={})))


NOTHING = {"consistency": math.nan, "image": "", "beside": {}}


def beside(model="vae", seed=0, images="abca"):
    """Four searches, of whose images two are the same."""
    example = searched({"random": [[9.0, 1.0]] * 4}, init=seed, model=Model(model, "omniglot"))
    members = [
        replace(m, consistency=float(i), image=images[i], beside={"fine": 10.0 * i, "valid": float(i > 0)})
        for i, m in enumerate(example.members)
    ]
    return replace(example, members=members, usual={"fine": 12.5, "valid": 0.99})


def test_medians_and_shares_are_measured_as_the_rest():
    comparison = measures(beside())
    assert one(comparison, "consistency", "random").at["median"] == 1.5
    assert one(comparison, "beside:fine", "random").estimate == 15.0
    assert one(comparison, "beside:valid", "random").estimate == 0.75
    assert one(comparison, "distinct", "random").estimate == 0.75
    assert comparison.measures.set_index("measure").estimate["usual:fine"] == 12.5


def test_images_of_several_runs_in_one_model_are_told_apart_together():
    assert one(measures(beside(), beside(seed=1)), "distinct", "random").estimate == 3 / 8
    assert one(measures(beside(), beside(seed=1, images="wxyz")), "distinct", "random").estimate == 7 / 8


def test_runs_without_what_others_have_are_compared_with_them():
    bare = searched({"random": [[9.0, 1.0]] * 4}, model=Model("nevae_se", "omniglot"))
    comparison = measures(beside(), bare)
    assert set(comparison.measures[comparison.measures.measure == "consistency"].model) == {"vae"}
    assert "Beside the objective" in shown(comparison)


def test_table_has_the_shell_and_the_test_images_beside():
    text = shown(measures(beside()))
    for said in ("|z| (shell 5.7)", "|mu(x) - z|", "fine (test 12.50)", "valid (test 99%)", "75%"):
        assert said in text
    rows = json.loads(export.as_json(measures(beside())))["measures"]
    assert {"consistency", "distinct", "beside:fine", "usual:fine"} <= {r["measure"] for r in rows}
    assert "beside:valid" in export.as_csv(measures(beside()))


def test_table_has_the_share_of_retrieved_targets_with_its_interval_and_chance():
    members = [
        replace(m, beside={"retrieved": share}) for m, share in zip(beside().members, (0.0, 1.0, 0.5, 1.0), strict=True)
    ]
    comparison = measures(replace(beside(), members=members, usual={"retrieved": 0.25}))
    row = one(comparison, "beside:retrieved", "random")
    assert float(row.estimate) == 0.625
    assert 0 < float(row.low) < 0.625 < float(row.high) < 1
    text = shown(comparison)
    assert "retrieved (chance 25%)" in text and f"62% ({row.low:.0%} .. {row.high:.0%})" in text


@pytest.mark.parametrize("older_first", [True, False])
def test_share_that_older_runs_lack_has_its_number_of_searches_and_chance(older_first):
    first, second = (replace(beside(seed=i), usual={}) for i in (0, 1))
    members = [replace(m, beside={"retrieved": 1.0}) for m in first.members]
    newer = replace(second if older_first else first, members=members, usual={"retrieved": 0.25})
    text = shown(measures(first if older_first else second, newer))
    assert "retrieved (chance 25%)" in text and ", n = 4" in text


def test_best_of_each_searcher_is_drawn(record, tmp_path):
    store = Store(tmp_path / "r")
    store.add(record)
    (path,) = figure_files._best_image_files(store, [record])
    assert path.name.startswith("found-dark.py-vae") and path.read_bytes().startswith(b"\x89PNG")
    image, score = figure_files._best_by_searcher(store, [record])["vae", "sobol"]
    best = max(record.members, key=lambda m: -m.loss)
    assert score == pytest.approx(-best.loss)
    assert torch.equal(image, record.tensors["decoded"][record.members.index(best)])


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_image_of_a_search_without_a_finite_score_is_no_best_image(record, tmp_path, lost):
    bad = replace(record.spec, searcher="cmaes")
    without = replace(record, spec=bad, members=[replace(m, loss=lost) for m in record.members], status="diverged")
    store = Store(tmp_path / "r")
    store.add(record)
    store.add(without)
    assert {*figure_files._best_by_searcher(store, [without, record])} == {("vae", "sobol")}
    assert not [*figure_files._best_image_files(store, [without])]


def test_run_of_one_evaluation_is_drawn_without_a_curve(record, tmp_path):
    first = replace(record, trace=record.trace[record.trace.step == 0], costs=record.costs[record.costs.step == 0])
    store = Store(tmp_path / "r")
    store.add(first)
    drawn = figure_files.pictures(store, [first], {first.spec.key: tmp_path / "model.safetensors"}, measures(first))
    assert {p.name.partition("-")[0] for p in drawn} >= {"found"} and not [p for p in drawn if "curves" in p.name]


def shown(comparison):
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(tables.terminal(comparison))
    return console.export_text()
