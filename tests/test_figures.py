"""Figures of a comparison, and the colours of models."""

import base64
import io
import math
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from made import Disk, measures, searched
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from lso_bench.analysis.collapse import GIVEN, LATENT_METRICS
from lso_bench.analysis.curves import medians, with_curves
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.errors import UnusableError, UsageError
from lso_bench.plotting.activity import activity
from lso_bench.plotting.colours import DARK, FAMILIES, colour_of, contrast, for_dark_mode, marker_of, searcher_looks
from lso_bench.plotting.colours import SEARCHERS as LISTED
from lso_bench.plotting.layout import lay_out
from lso_bench.plotting.style import SIZES, count_range, displayed, label, logarithmic, panels, save, style_context
from lso_bench.report import html_images
from lso_bench.report.contests import Contest, contests
from lso_bench.report.figure_files import _words_of_titles, figures, plots, section_figures
from lso_bench.report.figures import FIGURES, TITLES
from lso_bench.report.figures.collapse import scatter
from lso_bench.report.figures.forest import LEFT, RIGHT, forest
from lso_bench.report.sections import sections
from lso_bench.report.svg import svg
from lso_bench.search import SEARCHERS
from lso_bench.vae.datasets import is_ink
from lso_bench.vae.objectives import TABLE_1
from lso_bench.vae.trained_model import Model


def test_built_in_searchers_look_the_same_beside_any_others_and_no_two_searchers_look_alike():
    every = searcher_looks([*SEARCHERS.names(), "adam:lr=0.3", "bo:q=5", "bo:q=10", "mine", "theirs"])
    assert len({*every.values()}) == len(every)
    assert {*SEARCHERS.names()} <= {*LISTED}, "name every built-in searcher in SEARCHERS of plotting/colours.py"
    assert {name: searcher_looks([name, "mine"])[name] for name in SEARCHERS.names()}.items() <= every.items()


def test_setting_of_a_searcher_looks_like_the_searcher_where_that_is_absent_and_else_has_a_free_colour():
    alone, beside = searcher_looks(["adam:lr=0.3", "bo"]), searcher_looks(["adam", "adam:lr=0.3", "bo"])
    assert alone["adam:lr=0.3"] == beside["adam"]
    assert len({colour for colour, _ in beside.values()}) == 3


def test_every_model_of_table_1_has_a_colour_of_its_own():
    assert len({colour_of(m) for m in TABLE_1}) == len(TABLE_1)
    assert all(colour_of(m) == colour for m, colour in FAMILIES.items() if m not in ("beta_vae", "nevae_lp"))


def test_model_keeps_its_colour_where_its_architecture_is_named():
    assert colour_of("vae (conv)") == colour_of("vae") and colour_of("./mine.py") != colour_of("vae")


def test_settings_do_not_take_the_plain_model_its_colour():
    assert colour_of("nevae_se:sample=false") != colour_of("nevae_se")


def test_colours_of_the_paper_s_four_models_differ_in_grey_too():
    def grey(c):
        return sum(w * int(c[i : i + 2], 16) for w, i in ((0.299, 1), (0.587, 3), (0.114, 5)))

    shades = [grey(colour_of(m)) for m in ("vae", "nevae_se", "beta_vae_0.9", "aggressive")]
    assert all(abs(a - b) > 8 for a, b in combinations(shades, 2))


def test_models_of_one_colour_scheme_differ_in_their_markers_where_lightness_alone_would_tell():
    for family in ("beta_vae", "nevae_lp"):
        members = [m for m in TABLE_1 if m.startswith(f"{family}_")]
        assert len({marker_of(m) for m in members}) == len(members)


def test_weights_of_the_kl_above_one_differ_from_each_other_and_from_those_below():
    members = ["vae", *(m for m in TABLE_1 if m.startswith("beta_vae_")), "beta_vae_1.5", "beta_vae_2", "beta_vae_4"]
    assert len({marker_of(m) for m in members[1:]}) == len({colour_of(m) for m in members}) - 1 == len(members) - 1


def test_every_colour_is_seen_on_a_dark_page():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert all(
        contrast(for_dark_mode(colour_of(m)), DARK) >= 3 for m in (*TABLE_1, "beta_vae_10", "mine", "vae:anneal=false")
    )
    assert for_dark_mode("#e69f00") == "#e69f00"  # what is light enough stays


def test_interval_of_a_curve_is_exact_for_few_targets_and_none_for_fewer():
    losses = np.arange(6.0)[:, None]
    assert medians(losses)[:, 0].tolist() == [2.5, 0.0, 5.0]  # the whole range covers 1 - 2 / 2^6 = 97 %
    assert np.isnan(medians(losses[:5])[1:]).all()


def test_search_that_has_ended_keeps_its_lowest_loss_in_the_curve():
    record = searched({"random": [[9.0, 1.0, 2.0], [9.0, 8.0, 7.0, 6.0]]})
    table = with_curves(measures(record), [record], lambda _: Disk(record)).measures
    rows = table[table.measure == "curve"].set_index("within").estimate
    assert rows[1] == 9 and rows[2] == (1 + 8) / 2 and rows[4] == (1 + 6) / 2


@pytest.fixture
def two_models():
    def record(model, init):
        ways = [[9.0, 5.0 + i + 0.1 * init] for i in range(3)]
        return searched({"random": ways, "encoder": ways}, init=init, search=0, model=Model(model, "omniglot"))

    return [record(m, i) for m in ("vae", "nevae_se") for i in (0, 1)]


def test_figures_are_drawn_and_do_not_overwrite_those_of_other_models(two_models, tmp_path):
    both, alone = measures(*two_models), measures(*two_models[:2])
    files = [*figures(both, tmp_path), *figures(alone, tmp_path)]
    kinds = {f.name.partition("-")[0] for f in files}
    not_drawn = {"distance", "curves", "ranks"}  # no threshold met, no trace read, two models
    assert kinds == {"forest", *FIGURES} - not_drawn
    assert len(set(files)) == len(files) == 9  # a model alone has no forest
    for f in files:
        with Image.open(f) as image:
            assert min(image.size) > 300


def test_plot_draws_the_named_figures_alone_and_under_the_given_names(two_models, tmp_path):
    with displayed({"nevae_se": "NE-VAE"}):
        drawn = [*plots(measures(*two_models), [], tmp_path, ["svg"], "column", ["forest", "basin"])]
        assert label("in nevae_se (box:3):") == "in NE-VAE (box:3):" and label("nevae_se2") == "nevae_se2"
    assert {f.name.partition("-")[0] for f in drawn} == {"forest", "basin"}
    captions = [p.read_text() for p in tmp_path.glob("*.txt")]
    assert [("NE-VAE" in text, "nevae_se" in text) for text in captions] == [(True, False)] * 2, captions


def test_displayed_name_may_have_a_formula_and_one_that_is_none_is_refused(two_models, tmp_path):
    with displayed({"nevae_se": r"$\beta_1$-VAE", "vae": "5 $"}):
        assert label("nevae_se") == r"$\beta_1$-VAE" and label("in vae") == r"in 5 \$" and label("a$b") == r"a\$b"
        assert [*plots(measures(*two_models), [], tmp_path, ["svg"], "column", ["forest"])]
    with pytest.raises(UsageError, match="is no formula that matplotlib reads"), displayed({"vae": r"$\nosuch$"}):
        pass


def test_plot_of_more_runs_replaces_the_figures_and_leaves_the_captions_of_others(two_models, tmp_path):
    def names(records, kinds):
        return {p.name for p in plots(measures(*records), [], tmp_path, ["svg"], "column", kinds)}

    searchers = [replace(r, spec=replace(r.spec, searcher="adam:lr=0.3")) for r in two_models]
    before = names(two_models, ["basin", "spread"])
    assert names([*two_models, *searchers], ["basin"]) == {n for n in before if n.startswith("basin")}
    assert {p.name for p in tmp_path.iterdir()} == before
    assert "lr=0.3" in (tmp_path / "basin-omniglot50-small-d32.txt").read_text()


def test_file_names_of_titles_that_differ_in_signs_alone_are_different():
    words = _words_of_titles(["ink:a=0.3", "ink:a=0_3", "\u58a8", "\u7d19", "vae, d = 32"])
    assert len({*words}) == 5 and words[-1] == "vae-d32" and all(re.fullmatch(r"[\w-]+", w, re.ASCII) for w in words)


def test_targets_reached_are_of_each_kind_of_start_by_itself(two_models):
    """From the encoder's latent the first loss is low, so that searches from there reach targets at once."""
    ways = [[9.0, 5.0 + i] for i in range(3)]
    near = [[5.5, 5.0 + i] for i in range(3)]
    records = [searched({"random": ways, "encoder": near}, model=Model(m, "omniglot")) for m in ("vae", "nevae_se")]
    (section,) = sections(measures(*records))
    assert {*section.rows("ecdf").start} == {"random", "encoder"}
    with style_context(SIZES["screen"]):
        drawn = FIGURES["ecdf"](section.measures, "title", SIZES["screen"])
    assert drawn
    assert [a.get_title(loc="left").splitlines()[1] for a in drawn.figure.axes] == ["from random", "from encoder"]


def test_plot_of_what_results_do_not_have_is_refused_and_writes_nothing(two_models, tmp_path):
    with pytest.raises(UnusableError, match="nothing for the figures collapse"):
        [*plots(measures(*two_models), [], tmp_path, ["svg"], "column", ["collapse"])]
    assert not [*tmp_path.iterdir()]


def test_curves_have_a_line_of_each_searcher_whatever_its_starts():
    ways = [[9.0, 5.0 + i] for i in range(3)]
    records = [searched({"random": ways}), searched({"encoder": ways}, searcher="lbfgs:lr=1.0")]
    with style_context(SIZES["screen"]):
        drawn = curves_of(records)
    assert len(drawn.figure.axes[0].lines) == 2 and "from random, encoder starts" in drawn.caption


def test_figures_say_in_their_titles_what_is_seen_and_in_their_captions_under_which_settings(two_models):
    (section,) = sections(measures(*two_models))
    with style_context(SIZES["screen"]):
        drawn = [*section_figures(section, SIZES["screen"])]
    assert len(drawn) > 3
    for f in drawn:
        assert f.title.startswith(TITLES[f.name]) and "omniglot50 · small, d = 32" in f.title
        assert section.title in f.caption and "instances=" not in f.title


def test_distance_is_drawn_where_thresholds_were_met(two_models, tmp_path):
    for r in two_models:
        r.tensors["z_met"][:, 0] = r.tensors["z"]
    assert any(f.name.startswith("distance") for f in figures(measures(*two_models), tmp_path))


def curves_of(records, size="screen"):
    by_key = {r.spec.key: r for r in records}
    comparison = with_curves(measures(*records), records, lambda s: Disk(by_key[s.key]))
    (section,) = sections(comparison)
    return FIGURES["curves"](section.measures, section.title, SIZES[size])


def test_svg_of_a_page_is_the_same_each_time_and_shares_no_id_with_another(two_models):
    colours = [colour_of(m).lower() for m in ("vae", "nevae_se")]
    with style_context(SIZES["screen"]):
        first, second, third = (svg(curves_of(two_models).figure, name, colours) for name in ("a", "a", "b"))
    assert first == second
    ids = [{*re.findall(r' id="([^"]+)"', text)} for text in (first, third)]
    assert ids[0] and not ids[0] & ids[1]
    for text, names in zip((first, third), ids, strict=True):
        assert {*re.findall(r'(?:href="|url\()#([^")]+)', text)} == names


def test_svg_of_a_page_takes_its_colours_from_the_page_and_keeps_numbers_in_names(two_models):
    named = [replace(r, spec=replace(r.spec, searcher="adam:lr=0.0312")) for r in two_models[:2]]
    named += [replace(r, spec=replace(r.spec, searcher="adam:lr=0.1")) for r in two_models[2:]]
    with style_context(SIZES["screen"]):
        text = svg(curves_of(named).figure, "a", [colour_of(m).lower() for m in ("vae", "nevae_se")])
    assert "var(--c0072b2)" in text and "#0072b2" not in text and "currentColor" in text
    assert "lr=0.0312" in text and "<script" not in text and "http" not in text.replace("http://www.w3.org/", "")


def test_hollow_points_of_a_page_have_its_background(two_models):
    (section,) = sections(measures(*two_models))
    with style_context(SIZES["screen"]):
        forest, *_ = section_figures(section, SIZES["screen"], ["forest"])
        text = svg(forest.figure, "a", [])
    assert "fill: var(--page)" in text and "#ffffff" not in text


def test_searcher_whose_runs_all_failed_ranks_no_model(two_models):
    failed = [
        replace(r, spec=replace(r.spec, searcher="image_ga"), status="failed", members=[], trace=None, tensors={})
        for r in two_models
    ]
    (section,) = sections(measures(*two_models, *failed))
    compared = contests(section, "model", "loss")
    assert compared and {c.context for c in compared} == {"adam"}


@pytest.mark.parametrize(
    ("data", "ink"), [("omniglot", True), ("glyphs", True), ("./own.py", False), ("./photos", False)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_ink_is_dark_and_own_images_are_as_they_are(data, ink, channels):
    bright = torch.full((1, channels, 8, 8), 255, dtype=torch.uint8)
    strip = html_images._strip("", "", bright, "", is_ink(data))
    with Image.open(io.BytesIO(base64.b64decode(strip.src.partition(",")[2]))) as image:
        assert image.mode == ("L" if channels == 1 else "RGB")
        assert {*np.asarray(image).flat} == ({0} if ink else {255})


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        ([1.0, 3.0], "2.00"),
        ([1.0, math.nan], "unknown, 1 of 2 not finite"),
        ([math.inf] * 2, "unknown, 2 of 2 not finite"),
    ],
)
def test_mean_loss_beside_images_is_of_all_searches_or_unknown(losses, text):
    assert html_images._mean_loss(losses) == text


def test_forest_says_who_is_not_compared_and_why(two_models):
    free = [
        replace(r, spec=replace(r.spec, searcher=name, region=region))
        for r in two_models
        for name, region in (("lbfgs", "none"), ("sobol", "box:3"), ("cmaes", "box:3"))
    ]
    (section,) = sections(measures(*free))
    with style_context(SIZES["screen"]):
        _, searchers = section_figures(section, SIZES["screen"], ["forest"])
    assert "Not compared: lbfgs (no region)." in searchers.caption


def test_forest_says_what_an_arrow_without_a_point_means(two_models):
    lost = [replace(r, status="failed", error="a test", members=[]) for r in two_models[:1]]
    captions = []
    for records in (two_models, [*lost, *two_models[1:]]):
        (section,) = sections(measures(*records))
        with style_context(SIZES["screen"]):
            captions.append(next(section_figures(section, SIZES["screen"], ["forest"])).caption)
    assert ["Arrow without a point: lost on half of" in caption for caption in captions] == [False, True]


@pytest.mark.parametrize(("estimate", "low", "points"), [(0.5, 0.25, 1), (math.inf, 0.25, 0), (math.inf, math.inf, 0)])
def test_infinite_end_of_a_difference_is_an_arrow_at_the_edge(estimate, low, points):
    """The interval reaches the arrow, and the caption says what it means; what is finite has none."""
    rows = {"lost": {"estimate": estimate, "low": low, "high": math.inf, "p": 0.5}}
    rows["fine"] = {"estimate": 1.0, "low": 0.5, "high": 2.0, "p": 0.5}
    ranks = {"best": 1.0, "fine": 2.0, "lost": 3.0}
    contest = Contest("searcher", "vae", "random", math.nan, 12, "instances", ranks, rows, {}, {})
    with style_context(SIZES["screen"]):
        drawn = forest([contest], "searcher", "t", SIZES["screen"])
    (axis,) = drawn.figure.axes
    marks = [line for line in axis.lines if line.get_marker() not in ("None", None) and line.get_ydata()[0] == 2]
    arrows = [line for line in marks if line.get_marker() == RIGHT]
    assert len(arrows) == 1 and len(marks) - 1 == points
    edge = arrows[0].get_xdata()[0]
    assert math.isfinite(edge) and edge > 2.0 and axis.get_xlim()[1] >= edge
    assert any(line.get_ydata()[0] == 2 and max(line.get_xdata()) == edge for line in axis.lines if line not in marks)
    assert "Arrow: the interval has no end on this side" in drawn.caption
    assert ("Arrow without a point" in drawn.caption) == math.isinf(estimate)
    assert not [line for line in axis.lines if line.get_marker() in (LEFT, RIGHT) and line.get_ydata()[0] != 2]


def test_lower_end_of_a_difference_that_is_infinite_is_an_arrow_to_the_left():
    rows = {"lost": {"estimate": 0.5, "low": -math.inf, "high": 1.0, "p": 0.5}}
    contest = Contest("searcher", "vae", "random", math.nan, 12, "instances", {"best": 1.0, "lost": 2.0}, rows, {}, {})
    with style_context(SIZES["screen"]):
        drawn = forest([contest], "searcher", "t", SIZES["screen"])
    (arrow,) = (line for line in drawn.figure.axes[0].lines if line.get_marker() == LEFT)
    assert math.isfinite(arrow.get_xdata()[0]) and arrow.get_xdata()[0] < 0
    assert "Arrow: the interval has no end on this side" in drawn.caption


def test_no_name_is_a_formula_or_markup_in_a_figure():
    names = ("$\\frac$", "a$b$c", "x" * 10_000, "\x00\x1b[31m\u202e", "<script>alert(1)</script>", "字")
    ways = {"random": [[9.0, 5.0 + i] for i in range(3)]}
    with style_context(SIZES["column"]):
        text = svg(curves_of([searched(ways, model=Model(n, "omniglot")) for n in names], "column").figure, "a", [])
    assert "<script" not in text and len(text) < 100_000 and not {"\x00", "\x1b", "\u202e"} & {*text}
    for shown in ("$\\frac$", "a$b$c", "&lt;script&gt;", "字", label("x" * 10_000)):
        assert shown in text


def test_figure_for_a_paper_has_its_width_embeds_its_fonts_and_is_the_same_each_time(two_models, tmp_path):
    (section,) = sections(measures(*two_models))
    for path in (tmp_path / "a.pdf", tmp_path / "b.pdf"):
        with style_context(SIZES["column"]):
            save(FIGURES["spread"](section.measures, section.title, SIZES["column"]), path)
    pdf = (tmp_path / "a.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", pdf)
    assert box and float(box[1]) == pytest.approx(3.3 * 72, abs=1)
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType, embedded
    assert pdf == (tmp_path / "b.pdf").read_bytes()


SEARCHED_BY = ["adam", *(f"bo:fit_steps={n},kernel=matern" for n in range(2, 8)), "cmaes"]


@pytest.fixture(scope="module")
def many_searchers():
    """Ten images from two starts in three models, by eight searchers, some with long settings; the spreads differ."""

    def record(model, offset, k):
        ways = [[99.0, 5.0 + i + offset + 0.001 * 10**k * (k + 1)] for i in range(10)]
        starts = {"random": ways, "encoder": [[a, b + 10.0 ** (k - 9)] for a, b in ways]}
        run = searched(starts, searcher=SEARCHED_BY[k], model=Model(model, "omniglot"))
        run.tensors["z_met"][:, 0] = run.tensors["z"]
        return run

    models = {"vae": 1.0, "nevae_se": 0.0, "nevae_se:sample=false": 0.5}
    records = [record(m, offset, k) for m, offset in models.items() for k in range(len(SEARCHED_BY))]
    by_key = {r.spec.key: r for r in records}
    (section,) = sections(with_curves(measures(*records), records, lambda s: Disk(by_key[s.key])))
    return section


def measured_models():
    """Points of three searchers of the figure of collapse, with every measure that has a panel."""
    first = measures(searched({"random": [[9.0, 5.0]]})).measures.iloc[0]
    rows = [
        {k: first[k] for k in GROUP_KEYS}
        | {"model": model, "weights": model, "searcher": searcher, GIVEN: 90.0}
        | {metric: 100.0 * (i + k) for k, metric in enumerate(LATENT_METRICS)}
        | {"final loss, random": 1.0 + i}
        for searcher in SEARCHED_BY[:3]
        for i, model in enumerate(("vae", "nevae_se", "rae", "beta_vae_0.5"))
    ]
    return pd.DataFrame(rows)


def texts_of(figure):
    """The boxes of all visible text of a figure, in pixels, by the text; of ticks those within the limits."""
    figure.draw(renderer := figure.canvas.get_renderer())
    hidden = {id(t) for a in figure.axes if not a.get_visible() for t in a.findobj(Text)}
    for axis in (direction for a in figure.axes for direction in (a.xaxis, a.yaxis)):
        drawn = {id(t) for tick in axis._update_ticks() for t in (tick.label1, tick.label2)}
        hidden |= {id(t) for t in axis.get_ticklabels(which="both")} - drawn
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in hidden]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in texts]


@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("kind", ["forest", *FIGURES, "collapse"])
def test_no_text_of_a_figure_for_a_paper_is_cut_or_covers_another_and_no_panel_is_flat(many_searchers, kind, width):
    size = SIZES[width]
    with style_context(size):
        if kind == "collapse":
            drawn = [scatter(measured_models(), "title", size)]
        else:
            drawn = [*section_figures(many_searchers, size, [kind])]
        assert drawn
        for figure in (captioned.figure for captioned in drawn):
            FigureCanvasAgg(figure)
            lay_out(figure)
            boxes = texts_of(figure)
            whole = figure.bbox
            cut = [text for text, b in boxes if min(b.x0, b.y0) < -1 or b.x1 > whole.x1 + 1 or b.y1 > whole.y1 + 1]
            covered = [(a, b) for (a, p), (b, q) in combinations(boxes, 2) if p.padded(-1).overlaps(q.padded(-1))]
            panels = [a.get_window_extent() for a in figure.axes if a.get_visible()]
            assert (cut, covered) == ([], []) and min(p.height for p in panels) > 0.4 * figure.dpi


@pytest.mark.parametrize(
    ("low", "high", "least"),
    [(1, 300, 3), (1e-9, 10, 3), (0.0131, 0.0192, 2), (0.0012, 0.0019, 2), (3, 29, 2), (5, 8, 2), (1, 9.9, 2)],
)
def test_ticks_of_a_logarithmic_axis_are_few_and_say_their_value(low, high, least):
    with style_context(SIZES["column"]):
        figure, (axis, _) = panels(SIZES["column"], 2)
        axis.plot([low, high], [0, 1])
        logarithmic(axis)
        FigureCanvasAgg(figure).draw()
    shown = [
        (t, x.get_text()) for t, x in zip(axis.get_xticks(), axis.get_xticklabels(), strict=True) if low <= t <= high
    ]
    assert least <= len(shown) <= 4
    for tick, text in shown:
        plain = re.sub(r"(?:\\cdot)?10\^\{(-?\d+)\}", r"e\1", text.strip("$").replace(",", ""))
        assert float(plain if plain[0] != "e" else f"1{plain}") == pytest.approx(tick, rel=1e-3)


def test_every_plot_has_its_caption_beside_it(two_models, tmp_path):
    drawn = [*plots(measures(*two_models), [], tmp_path, ["svg"], "page")]
    captions = {p.stem: p.read_text() for p in drawn if p.suffix == ".txt"}
    assert {p.stem for p in drawn if p.suffix == ".svg"} == captions.keys()
    (spread,) = (text for name, text in captions.items() if name.startswith("spread"))
    assert "median and quartiles" in spread and "adam: at most 300 steps, no region" in spread


def test_ranks_are_drawn_of_three_models_and_ten_instances(tmp_path):
    def record(model, offset):
        return searched({"random": [[99.0, 5.0 + i + offset] for i in range(10)]}, model=Model(model, "omniglot"))

    three = [record("vae", 1.0), record("nevae_se", 0.0), record("rae", 0.5)]
    drawn = {f.name.partition("-")[0] for f in figures(measures(*three), tmp_path)}
    assert "ranks" in drawn and "collapse" not in drawn
    assert "ranks" not in {f.name.partition("-")[0] for f in figures(measures(*three[:2]), tmp_path)}


def test_collapse_is_drawn_where_three_models_differ(tmp_path):
    first = measures(searched({"random": [[9.0, 5.0]]})).measures.iloc[0]
    context = {k: [first[k]] * 3 for k in GROUP_KEYS} | {
        "model": ["vae", "nevae_se", "rae"],
        "weights": ["a", "b", "c"],
    }
    unmeasured = dict.fromkeys((GIVEN, *LATENT_METRICS), np.nan)
    points = pd.DataFrame(context | unmeasured | {"final loss, random": [1.0, 2.0, np.inf]})
    with style_context(SIZES["screen"]):
        assert not scatter(points, "title", SIZES["screen"])
        figure = scatter(points.assign(KL=[3.0, 2.0, 1.0]), "title", SIZES["screen"])
        assert figure
        save(figure, tmp_path / "some.png", with_title=True)
    with Image.open(tmp_path / "some.png") as image:
        assert min(image.size) > 200


@pytest.mark.parametrize(("top", "shown"), [(50.0, (1e-4, 75.0)), (1e-6, (1e-7, 2.0)), (1.0, (1e-4, 2.0))])
def test_activity_is_drawn_up_to_the_most_active_dimension(top, shown):
    with style_context(SIZES["screen"]):
        drawn = activity([("vae", [0.3, 0.0]), ("rae", [top, 0.1 * top])], "Activity", SIZES["screen"])
    first, second, counts = drawn.figure.axes[:3]
    assert first.get_ylim() == second.get_ylim() == pytest.approx(shown)
    steps = counts.get_lines()[1]
    assert (steps.get_xdata()[-1], steps.get_ydata()[-1]) == (pytest.approx(shown[1]), 0)


def test_activity_of_dimensions_that_are_all_dead_is_drawn():
    with style_context(SIZES["screen"]):
        drawn = activity([("vae", [0.0, 0.0]), ("rae", [0.0])], "Activity", SIZES["screen"])
    assert drawn.figure.axes[0].get_ylim() == pytest.approx((1e-4, 2.0))


@pytest.mark.parametrize(
    ("counts", "text"), [([1, 1], "1 start"), ([5], "5 starts"), ([1, 3], "1 to 3 starts"), ([2000], "2,000 starts")]
)
def test_number_of_starts_has_its_noun(counts, text):
    assert count_range(pd.Series(counts), "starts") == text
