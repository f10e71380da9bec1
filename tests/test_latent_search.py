"""Section 5.4 repeated: what stands beside the paper's counts, and how the models' order is told."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from made import searched

from lso_bench.errors import UnusableError
from lso_bench.paper.latent_search import planned, repeated
from lso_bench.record import Record
from lso_bench.report import paper_latent_search as report
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun
from lso_bench.vae.trained_model import Model

IMAGES = 12


def run(name: str, steps: int, init: int = 0, apart: float = 0.0, training: int = 0) -> Record:
    """A run on 12 images in which image i meets threshold 0 after `steps` + 100 (i % 3), and all together after twice
    `steps`; a random code ends `apart` away from the encoder's in each of its two dimensions.
    """
    ways = {s: [[3.0, 1.0]] * IMAGES for s in ("random", "encoder")}
    record = searched(
        ways, lambda s, i: (apart * (s == "random"),) * 2, init, model=Model(name, "omniglot", seed=training)
    )
    members = [replace(m, met=[steps, steps + 100 * (m.instance % 3)]) for m in record.members]
    return replace(record, members=members, joint={s: [steps, 2 * steps] for s in record.spec.starts})


def repetition(records: list[Record], folder: Path, absent: Sequence[Record] = ()):
    """Summarise records; of `absent` the weights are not here."""
    store = Store(folder)
    for r in (*records, *absent):
        store.add(r)
    return repeated([PlannedRun(r.spec, Path()) for r in records], store, [r.spec.model for r in absent])


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_first_seed_begins_from_both_kinds_and_further_ones_from_random_codes(checkpoint, seeds):
    runs = planned([Model("vae", "glyphs", "small", 4)], seeds)
    assert [p.spec.seeds.init for p in runs] == seeds
    assert [p.spec.starts for p in runs] == [("random", "encoder"), *[("random",)] * (len(seeds) - 1)]


def test_ours_stand_beside_the_papers(tmp_path):
    result = repetition([run("vae", 1000), run("vae", 1400, init=1), run("nevae_se", 600, apart=3.0)], tmp_path)
    vae, nevae = (row for _, row in result.rows.iterrows())
    assert (vae.paper, vae.random, vae.runs, nevae.paper, nevae.random) == (26_900, 2400, 2, 16_200, 1200)
    assert nevae["single median"] == 700 and nevae["distance end mean"] == pytest.approx(18.0)
    assert nevae["basin estimate"] == 0 and vae["basin estimate"] == 1


def test_order_is_that_of_the_same_image_from_the_same_start(tmp_path):
    result = repetition([run("vae", 1000), run("nevae_se", 600), run("beta_vae_0.9", 1000)], tmp_path)
    by_pair = {line.partition(":")[0]: line for line in result.order if "single images" in line}
    verdict = by_pair["vae (paper 26,900) > nevae_se (16,200)"]
    assert "+400 steps" in verdict and len(by_pair) == 3


@pytest.mark.parametrize(("precision", "said"), [("fp32", True), ("fp64", False)])
def test_rounding_at_threshold_0_is_said_of_searches_in_float32(tmp_path, precision, said):
    record = run("vae", 1000)
    result = repetition([replace(record, spec=replace(record.spec, precision=precision))], tmp_path)
    assert any("rounding" in note for note in result.notes) == said


def test_starts_of_an_image_are_not_counted_as_images(tmp_path):
    result = repetition([run(n, s, init) for n, s in (("vae", 1000), ("nevae_se", 600)) for init in (0, 1)], tmp_path)
    (line,) = (line for line in result.order if "single images" in line)
    assert f"(n = {IMAGES}), p = 0.00049" in line  # 2 / 2^12: of 12 images, not of 24 searches


@pytest.mark.parametrize(("vae", "said"), [(2000, "as in the paper"), (200, "THE OTHER WAY ROUND")])
def test_order_is_that_of_a_significant_difference(tmp_path, vae, said):
    records = [run("vae", vae), run("nevae_se", 600)]
    noisy = [replace(m, met=[m.met[0], m.met[1] + 10 * m.instance]) for m in records[0].members]
    assert said in repetition([replace(records[0], members=noisy), records[1]], tmp_path).order[0]


def test_order_within_the_images_scatter_is_undecided(tmp_path):
    vae, nevae = run("vae", 600), run("nevae_se", 600)
    mixed = [replace(m, met=[m.met[0], m.met[1] + (100 if m.instance % 2 else -100)]) for m in vae.members]
    assert "undecided" in repetition([replace(vae, members=mixed), nevae], tmp_path).order[0]


def test_order_of_the_joint_stop_is_told_from_each_kind_of_start(tmp_path):
    slow_alone = replace(run("vae", 600), joint={"random": [1, 900], "encoder": [1, 2000]})
    result = repetition([slow_alone, run("nevae_se", 600)], tmp_path).order
    pair = "vae (paper 26,900) > nevae_se (16,200)"
    assert f"{pair}: THE OTHER WAY ROUND; together, random starts: median difference -300 steps (one run)" in result
    assert f"{pair}: as in the paper; together, from the encoder: median difference +800 steps (one run)" in result


@pytest.mark.parametrize(("second", "said"), [(500, "undecided"), (650, "as in the paper")])
def test_order_of_the_joint_stop_is_decided_where_every_seed_says_the_same(tmp_path, second, said):
    records = [run("vae", 700), run("vae", second, init=1), run("nevae_se", 600), run("nevae_se", 600, init=1)]
    (line,) = (n for n in repetition(records, tmp_path).order if "together, random" in n)
    low, high = sorted((200, 2 * (second - 600)))
    assert f": {said};" in line and f"(range over seeds {low} .. {high}, n = 2)" in line


def test_joint_stop_that_was_not_met_is_later_than_any_that_was(tmp_path):
    never = replace(run("vae", 600), joint={"random": [1, None], "encoder": [1, None]})
    result = repetition([never, run("nevae_se", 600)], tmp_path)
    assert sum("as in the paper; together" in line for line in result.order) == 2
    neither = replace(run("nevae_se", 600, init=1), joint=never.joint)
    alone = repetition([replace(run("vae", 600, init=1), joint=never.joint), neither], tmp_path / "other")
    assert not [line for line in alone.order if "together" in line]


def test_joint_medians_have_their_range_over_seeds(tmp_path):
    result = repetition([run("vae", 1000), run("vae", 1400, init=1)], tmp_path)
    assert "| vae | 26,900 | 2,400 (2,000 .. 2,800, n = 2) |" in report.markdown(result)


def weights(record: Record, checkpoint: str, **settings) -> Record:
    return replace(record, spec=replace(record.spec, checkpoint=checkpoint, **settings))


def test_searches_of_a_training_without_weights_count_where_all_settings_are_the_same(tmp_path):
    here = [run("vae", 1000), run("nevae_se", 600)]
    absent = [weights(run("vae", 1100, training=1), "a" * 64), weights(run("vae", 1200, training=2), "b" * 64)]
    result = repetition(here, tmp_path / "alike", absent)
    assert [*result.rows.training] == [0, 1, 2, 0] and "--train-seed 0,1,2" in result.command
    assert repetition(here, tmp_path / "none").rows.training.max() == 0
    slower = [weights(absent[0], "a" * 64, max_steps=7)]
    assert repetition(here, tmp_path / "settings", slower).rows.training.max() == 0
    twice = [absent[0], weights(run("vae", 1300, training=1), "c" * 64)]
    assert repetition(here, tmp_path / "twice", twice).rows.training.max() == 0


def test_each_training_has_a_row_and_an_order_of_its_own(tmp_path):
    records = [run(n, s + 10 * t, training=t) for n, s in (("vae", 1000), ("nevae_se", 600)) for t in (0, 2)]
    result = repetition(records, tmp_path)
    rows = [(r.model, r.training, r["single median"]) for _, r in result.rows.iterrows()]
    assert rows == [("vae", 0, 1100), ("vae", 2, 1120), ("nevae_se", 0, 700), ("nevae_se", 2, 720)]
    assert [line[:11] for line in result.order if "single images" in line] == ["training 0:", "training 2:"]
    text = report.markdown(result)
    assert "| vae | 2 | 26,900 |" in text and "--train-seed 0,2" in text and "vae, training 2 " in text


def test_one_training_is_not_named(tmp_path):
    result = repetition([run("vae", 1000), run("nevae_se", 600)], tmp_path)
    assert "training 0" not in report.markdown(result) and "over trainings" not in report.markdown(result)


@pytest.mark.parametrize(
    ("vae", "verdict"),
    [((900, 1000), "as in the paper"), ((500, 1000), "undecided"), ((100, 200), "THE OTHER WAY ROUND")],
)
def test_order_over_trainings_is_decided_where_all_of_one_model_lie_beyond_all_of_the_other(tmp_path, vae, verdict):
    records = [run("vae", s, training=t) for t, s in enumerate(vae)]
    result = repetition([*records, run("nevae_se", 600), run("nevae_se", 700, training=1)], tmp_path)
    (line,) = (line for line in result.order if "over trainings" in line)
    counts = ", ".join(f"{s + 100:,}" for s in vae)
    # 2 of the 6 orders of two and two
    chance = "" if verdict == "undecided" else " in all, by chance 1 in 3 in either order"
    pair = "vae (paper 26,900) > nevae_se (16,200)"
    assert line == f"{pair}: {verdict}{chance}; over trainings: {counts} against 700, 800 steps"


@pytest.mark.parametrize("compiled", [True, False])
def test_command_and_versions_are_those_of_the_records(tmp_path, compiled):
    versions = {"compiled": compiled, "data_sha256": "ab" * 32, "lso_bench": "0.0.9", "torch": "2.0", "device": "cpu"}
    records = [replace(run(n, 600), versions=versions) for n in ("vae", "nevae_se")]
    text = report.markdown(repetition(records, tmp_path))
    assert text.count("--seed 0 --compile`") == compiled
    assert (
        "Runs: data sha256 abababababab, lso-bench 0.0.9, torch 2.0, on cpu. Checkpoints: vae 000000000000, nev" in text
    )


def test_runs_of_which_only_some_were_compiled_say_so(tmp_path):
    records = [replace(run("vae", 600), versions={"compiled": True}), run("nevae_se", 600)]
    assert [n for n in repetition(records, tmp_path).notes if "not all runs were compiled" in n]


def test_missing_runs_are_counted_and_none_is_one_line(tmp_path):
    store, done, open_ = Store(tmp_path), run("vae", 600), run("nevae_se", 600)
    planned = [PlannedRun(r.spec, Path()) for r in (done, open_)]
    with pytest.raises(UnusableError, match="None of the searches"):
        repeated(planned, store)
    store.add(done)
    assert "1 of 2 runs are missing or failed" in repeated(planned, store).notes


def test_markdown_has_the_table_and_the_command(tmp_path):
    result = repetition([run("vae", 1000), run("nevae_lp_0.1", 600)], tmp_path / "results")
    text = report.markdown(result)
    assert "| vae | 26,900 | 2,000 | 2,000 | 1,100" in text and "| nevae_lp_0.1 | - | 1,200 |" in text
    columns = {line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("| ")}
    assert columns == {11, 8}  # steps, and gaps between two starts
    assert "lso-bench reproduce search --models vae,nevae_lp_0.1 --data omniglot --arch small" in text
    md, csv = report.write(result, tmp_path)
    assert md.read_text() == text and csv.read_text().count("\n") == 3
    some = [path.name for path in report.write(result, tmp_path, ["vae"], [0, 1])]
    assert some == [f"search-omniglot-small-adam-vae-seed=0+1.{end}" for end in ("md", "csv")]
    assert md.read_text() == text


def test_searches_that_are_to_be_done_are_named_and_no_folder_is_made(call, tmp_path):
    words = ("reproduce", "search", "--models", "vae,nevae_se", "--arch", "small", "--dry-run", "--seed")
    pending = call(*words, "0,1", "--results", "none").stderr.splitlines()
    seeds = [f"to search: {m} · omniglot50 · adam · seed {s}" for m in ("vae", "nevae_se") for s in (0, 1)]
    assert sorted(pending) == sorted(seeds) and not (tmp_path / "none").exists()
