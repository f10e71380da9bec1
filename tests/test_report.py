"""The page of `lso-bench report`: what it holds, and that nothing in results can do more than be read."""

import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from made import measures, searched
from PIL import Image

from lso_bench.commands.inputs import load_report
from lso_bench.commands.report import report
from lso_bench.errors import UnusableError, UsageError, WriteError
from lso_bench.models.measurements import load_all
from lso_bench.plotting.activity import activity
from lso_bench.plotting.style import SIZES, style_context
from lso_bench.record import Record
from lso_bench.report import findings, html_images, html_overview, measurements, trainings
from lso_bench.report.html_answers import section_answers
from lso_bench.report.html_report import html
from lso_bench.report.sections import sections
from lso_bench.store.store import Store
from lso_bench.vae.trained_model import Model

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}$\\frac",
    "\x00\x1b[31m\u202e",
    "x" * 10_000,
)


def runs(*models, seeds=(0, 1), **fields):
    """The i-th model ends i lower than the first, on each of 8 targets."""
    return [
        searched({"random": [[9.0, 7.0, 6.0 + t - i] for t in range(8)]}, init=s, model=Model(m, "omniglot"), **fields)
        for i, m in enumerate(models)
        for s in seeds
    ]


def stored(folder, records):
    store = Store(folder)
    for r in records:
        store.add(r)
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of results whose every name means harm."""
    failed = Record(replace(runs("vae")[0].spec, task=HOSTILE[0]), "failed", error=HOSTILE[1])
    records = [*runs(*HOSTILE, seeds=(0,)), *runs("vae", task=HOSTILE[1], searcher=HOSTILE[0]), failed]
    return html(load_report([stored(tmp_path_factory.mktemp("hostile") / "r", records)]))


class Elements(HTMLParser):
    """Tags with their attributes, and the text between."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_hostile_names_are_text(hostile):
    page = Elements(hostile)
    assert [t for t, _ in page.tags].count("script") == 1
    assert not [(t, a) for t, a in page.tags if any(k.startswith("on") for k in a)]
    assert "<script>alert(1)</script>" in page.text and "{{ 7*7 }}" in page.text
    assert "\x00" not in hostile and "\x1b" not in hostile and "\u202e" not in hostile
    assert len(hostile) < 1_500_000  # a name of 10 kB is cut where it stands often


def test_page_refers_to_nothing_outside(hostile):
    for tag, attributes in Elements(hostile).tags:
        for k in ("src", "href", "data", "action", "poster", "srcset", "xlink:href"):
            assert attributes.get(k, "#").startswith(("#", "data:image/png;base64,")), (tag, k)
    assert "@import" not in hostile and "default-src 'none'" in hostile


def test_every_id_is_there_once_and_every_reference_has_its_own(hostile):
    tags = Elements(hostile).tags
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    used = {a["href"][1:] for _, a in tags if a.get("href", "").startswith("#")} | {
        *re.findall(r"url\(#([^)]+)\)", hostile)
    }
    assert used <= set(ids)


def test_every_figure_and_picture_says_what_is_seen(hostile):
    tags = Elements(hostile).tags
    assert all(a.get("alt") for t, a in tags if t == "img")
    boxes = [a["aria-label"] for t, a in tags if a.get("role") == "img"]
    assert len(boxes) == [t for t, _ in tags].count("svg") > 0
    assert all(len(b) > 60 for b in boxes)


def test_same_results_give_the_same_page(tmp_path):
    folder = stored(tmp_path / "r", runs("vae", "nevae_se"))
    assert html(load_report([folder])) == html(load_report([folder]))


def test_first_screen_says_what_the_summary_says(tmp_path, call):
    records = [
        searched({"random": [[9.0, 6.0 + t - i] for t in range(12)]}, model=Model(m, "omniglot"))
        for i, m in enumerate(("vae", "nevae_se"))
    ]
    assert findings.summary(measures(*records), records).startswith("2 runs (0 failed) with 24 searches: 2 models (")
    folder = stored(tmp_path / "r", records)
    first_screen = Elements(html(load_report([folder])).partition("<main>")[0]).text
    answer = "nevae_se reaches a lower loss than vae (on 100% of 12 instances"  # a name keeps its spelling
    assert answer in " ".join(first_screen.split())
    assert answer in " ".join(call("compare", folder).stdout.split())
    assert "How sure: 12 instances, 1 training seed, 1 search of each instance" in " ".join(first_screen.split())


def test_tasks_that_differ_in_a_setting_have_titles_that_tell_them_apart(tmp_path):
    records = [r for target in (0.3, 0.5) for r in runs("vae", "nevae_se", seeds=(0,), task=f"ink:target={target}")]
    page = html(load_report([stored(tmp_path / "r", records)]))
    titles = re.findall(r'<h2 class="setting">(.*?)</h2>', page)
    assert len(titles) == len(set(titles)) == 2  # two tasks are too few to be compared over tasks
    assert "ink:target=0.3" in titles[0]


def test_run_that_died_is_named_among_the_failed_and_answers_nothing(tmp_path):
    died = Record(runs("rae")[0].spec, "failed", error="its process died")
    page = Elements(html(load_report([stored(tmp_path / "r", [*runs("vae", "nevae_se"), died])])))
    assert page.text.count("How sure") == 1 and "its process died" in page.text


def test_searchers_of_one_model_have_their_forest_plot_once(tmp_path):
    records = [*runs("vae", seeds=(0,)), *runs("vae", seeds=(0,), searcher="lbfgs:lr=1.0")]
    ids = [a["id"] for _, a in Elements(html(load_report([stored(tmp_path / "r", records)]))).tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_searches_of_an_instance_are_counted_in_each_training():
    trained = [Model("vae", "omniglot", seed=s) for s in range(3)]
    ways = {"random": [[9.0, 6.0 + t] for t in range(6)], "encoder": [[9.0, 5.0 + t] for t in range(6)]}
    (section,) = sections(measures(*(searched(ways, model=m) for m in trained)))
    answers = section_answers(section, measures(*(searched(ways, model=m) for m in trained)))
    assert answers.certainty.startswith("6 instances, 3 training seeds, 2 searches of each instance in a training.")
    assert answers.medians.caption.endswith("lower is better")


def test_no_heading_names_a_model_and_no_answer_one_that_is_not_significantly_better(tmp_path):
    records = [*runs("vae"), *runs("nevae_se")]
    page = html(load_report([stored(tmp_path / "r", records)]))
    headings = re.findall(r"<(h[1-4]|summary|dt)[^>]*>(.*?)</\1>", page, re.DOTALL)
    assert len(headings) > 8 and not [text for _, text in headings if "vae" in text]
    answers = Elements(page.partition("<main>")[0]).text
    assert "lower loss" not in answers and "Undecided: 8 instances, a test needs 10." in answers


def test_what_is_missing_and_what_failed_is_named_with_its_reason():
    records = [*runs("vae"), *runs("nevae_se", seeds=(0,))]
    (line,) = html_overview.missing(records)
    assert line.startswith("nevae_se") and line.endswith("seed 1, from random")
    failed = replace(records[0], status="failed", members=[], error="ZeroDivisionError: by zero")
    (line,) = html_overview.lost([failed, records[1]])
    assert "failed" in line and "ZeroDivisionError: by zero" in line


def without_loss(record):
    members = [replace(m, loss=math.nan, stopped="diverged") for m in record.members]
    return replace(record, status="diverged", members=members, error="the score is not finite")


def test_failed_and_diverged_runs_are_counted_alike_wherever_the_page_counts_them(tmp_path):
    ok, bad, worse = runs("vae", seeds=(0, 1, 2))
    failed = [replace(worse, status="failed", members=[], error="by zero")]
    folder = stored(tmp_path / "r", [ok, without_loss(bad), *failed])
    page = Elements(html(load_report([folder]))).text
    assert "3 runs (1 failed, 1 diverged) with" in page and "1 run failed, 1 run diverged" in page
    assert html_overview.lost_counts([ok], 0) == "" and html_overview.lost_counts([ok], 2) == "2 unreadable"


def test_searches_without_a_finite_loss_are_the_reason_why_nothing_is_compared(tmp_path):
    """No warning reaches the user; warnings are errors here."""
    records = [without_loss(r) for name in ("cmaes", "sobol") for r in runs("vae", searcher=name)]
    page = Elements(html(load_report([stored(tmp_path / "r", records)]))).text
    assert page.count("32 of 32 searches have no finite loss") == 2 and "share no" not in page
    assert "4 runs (0 failed, 4 diverged)" in page and "4 runs diverged" in page


def test_runs_that_all_failed_are_reported_with_their_reasons(tmp_path):
    failed = [replace(r, status="failed", members=[], error="OSError: the disk is full") for r in runs("vae")]
    page = Elements(html(load_report([stored(tmp_path / "r", failed)])))
    assert "2 runs (2 failed) with 0 searches" in page.text and page.text.count("the disk is full") >= 2


def test_spaces_that_were_measured_are_in_the_page_and_damaged_files_are_left_out(tmp_path):
    folder = stored(tmp_path / "r", runs("vae", seeds=(0,)))
    shutil.copytree(REFERENCE / "metrics", folder / "metrics")
    first, *_ = sorted(folder.glob("metrics/*-vae-*.json"))
    damaged = json.loads(first.read_text())
    for i, harm in enumerate(({"nelbo": "<script>"}, {"activity": []}, {"activity": "x"})):
        damaged["metrics"] |= harm
        damaged["model"]["name"] = "damaged"
        (folder / "metrics" / f"damaged{i}.json").write_text(json.dumps(damaged))
        shutil.copy(first.with_suffix(".safetensors"), folder / "metrics" / f"damaged{i}.safetensors")
    spaces = load_all(folder)
    assert {m.model.name for m in spaces} >= {"vae", "nevae_se"} and "damaged" not in {m.model.name for m in spaces}
    assert next(m for m in spaces if m.model.name == "vae").metrics.nll is not None  # of the greater effort
    text = Elements(html(load_report([folder]))).text
    assert "Latent spaces, measured" in text and "91.206" in text  # as in the README


def test_empty_place_of_the_first_screen_has_a_sign_that_is_explained():
    pairs = [("vae", "cmaes:sigma=0.5"), ("vae", "sobol:batch=10"), ("nevae_se", "cmaes:sigma=0.5")]
    records = [searched({"random": [[9.0, 5.0]] * 3}, model=Model(m, "omniglot"), searcher=s) for m, s in pairs]
    comparison = measures(*records)
    (section,) = sections(comparison)
    medians = section_answers(section, comparison).medians
    (row,) = (row for row in medians.rows if row[0].text == "nevae_se")
    assert [c.text for c in row[1:]] == ["5.00", "-"] and "-: no result from these starts" in medians.caption


def test_trainings_of_a_model_are_told_apart_in_the_table_and_the_figure_of_spaces():
    """Two seeds, and a second training of one of them: no two rows or panels are called alike."""
    space, *_ = load_all(REFERENCE)
    second = replace(space, model=replace(space.model, seed=1))
    third = replace(second, inputs=second.inputs | {"checkpoint": "f" * 64})
    rows = [tuple(c.text for c in row[:5]) for row in html_overview.spaces([space, second, third]).rows]
    assert len({*rows}) == 3 and {row[4] for row in rows} == {"0", "1"}
    name = space.model.name
    assert trainings.names([space]) == [name]
    assert trainings.names([space, second]) == [f"{name} (training seed 0)", f"{name} (training seed 1)"]
    assert len({*trainings.names([space, second, third])}) == 3
    headings = [c.heading for c in measurements.metrics_table([space, second]).columns]
    with style_context(SIZES["screen"]):
        panels = activity(trainings.bars([space, second]), "t", SIZES["screen"]).figure.axes
    titles = [" ".join(panel.get_title("left").split()) for panel in panels[:2]]
    assert len({*headings}) == 3 and len({*titles}) == 2 and "seed 1" in titles[1]


def test_walks_that_were_drawn_are_in_the_page_and_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "traversals").mkdir()
    Image.new("L", (60, 40)).save(tmp_path / "traversals" / "glyphs-vae-all.png")
    (tmp_path / "traversals" / "torn-all.png").write_bytes(b"\x89PNG torn")
    (walk,), left = html_images.walks([tmp_path])
    assert (walk.label, walk.width, walk.height) == ("glyphs-vae-all", 30, 20)
    assert walk.src.startswith("data:image/png;base64,") and left == ["torn-all.png is no picture"]


def test_report_replaces_a_report_and_no_other_file(tmp_path):
    folder, page = stored(tmp_path / "r", runs("vae", seeds=(0,))), tmp_path / "page.html"
    page.write_text("my thesis")
    with pytest.raises(UsageError, match=r"page\.html is there and is no report"):
        report([folder], page)
    assert page.read_text() == "my thesis"
    report([folder], page, force=True)
    first = page.read_bytes()
    report([folder], page)
    assert page.read_bytes() == first and [p.name for p in tmp_path.iterdir() if p.is_file()] == ["page.html"]


def test_what_cannot_be_reported_is_said(tmp_path):
    empty = stored(tmp_path / "empty", [])
    with pytest.raises(UnusableError, match="No runs in"):
        report([empty], tmp_path / "a.html")
    with pytest.raises(UnusableError, match="no results folder"):
        report([tmp_path / "nowhere"], tmp_path / "a.html")
    folder = stored(tmp_path / "r", runs("vae", seeds=(0,)))
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.html", tmp_path):
        with pytest.raises(WriteError, match="Cannot write"):
            report([folder], path)


def test_page_says_what_compare_says_of_runs_in_progress(tmp_path, call):
    folder = stored(tmp_path / "r", runs("vae"))
    (folder / "tmp" / "0123456789abcdef.host.1.json").write_text("{}")
    line = "1 runs are in progress, or were broken off; they are left out"
    assert line in html(load_report([folder])) and line in " ".join(call("compare", folder).stdout.split())


@pytest.mark.parametrize("budgets", [(12, 12), (12, 20), (None, 12), (12, None)])
@pytest.mark.parametrize("failed", [(0,), (1,), (0, 1)])
def test_sections_hold_runs_of_which_some_failed(budgets, failed):
    runs = [
        searched({"random": [[3.0, 1.0]]}, searcher=name, budget=budget, max_steps=12 if budget is None else budget)
        for name, budget in zip(("bo", "sobol"), budgets, strict=True)
    ]
    for i in failed:
        runs[i] = Record(runs[i].spec, "failed", error="as written")
    parts = [*sections(measures(*runs))]
    assert sum(len(s.runs) for s in parts) == 2
    assert {*pd.concat([s.measures for s in parts]).searcher} >= {r.spec.searcher for r in runs if r.status == "ok"}
