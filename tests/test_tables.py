"""Tables carry values: each is rendered in five forms, and columns are sorted by the numbers that are read."""

import io
import math
import re
from dataclasses import replace

import pandas as pd
import pytest
from made import measures, searched
from rich.console import Console
from test_collapse import SPACES
from test_collapse import runs as measured_runs
from test_values import runs

from lso_bench.analysis.comparison import PER_SEARCH
from lso_bench.commands.options import display_names
from lso_bench.plotting.numbers import count, in_words
from lso_bench.report import latex_table, tables
from lso_bench.report.cells import EMPTY, estimate, interval, model, number, p_value, share, word
from lso_bench.report.export import as_csv
from lso_bench.report.figures import FIGURES, TITLES
from lso_bench.report.figures.collapse import settings
from lso_bench.report.html_report import TABS
from lso_bench.report.loss_tables import auxiliary
from lso_bench.report.renderers import csv, html, latex, markdown, terminal
from lso_bench.report.sections import sections
from lso_bench.report.table import MODEL, Cell, Column, Table, columns
from lso_bench.vae.trained_model import Model

NUMBER = "-?[0-9][0-9,]*(?:[.][0-9]+)?(?:e[+-]?[0-9]+)?"
MINUS = "\N{MINUS SIGN}"


def drawn(comparison):
    return [t for part in tables.parts(comparison, "evaluations") for t in part.tables]


def of_numbers(*cells: Cell) -> Table:
    return Table("numbers", columns(MODEL, "n"), [[model(f"m{i}"), c] for i, c in enumerate(cells)])


def terminal_rows(table: Table) -> int:
    """The number of lines between the rule and the blank line below the rows, in a console without bounds."""
    console = Console(width=2000, record=True, file=io.StringIO())
    console.print(terminal.table(table))
    lines = console.export_text().splitlines()
    (rule,) = (i for i, line in enumerate(lines) if line.strip() and not line.strip("─ "))
    return [line.strip() for line in lines[rule + 1 :]].index("")


def orders(table: Table) -> list[float]:
    """The numbers by which the page sorts the last column."""
    return [float(v) for v in re.findall(r'data-order="([^"]+)"', html.table(table))]


def read(text: str, heading: str) -> float:
    """Number that a reader takes a cell for: its first one, of an interval alone the middle."""
    some = [float(n.replace(",", "")) for n in re.findall(NUMBER, text)]
    some = [n / 100 for n in some] if "%" in text else some
    if heading == "95 % interval" and some:
        return math.inf if text.endswith("more") else (some[0] + some[1]) / 2
    return math.inf if text.startswith(("∞", "> ")) else some[0] if some else math.nan


@pytest.mark.parametrize("scale", [1.0, 1e37])
def test_every_cell_of_a_comparison_is_sorted_by_the_number_that_is_read(scale):
    shown = drawn(measures(*runs(scale)))
    cells = [(c, h.heading) for t in shown for row in t.rows for h, c in zip(t.columns, row, strict=True)]
    numbers = [(c, heading) for c, heading in cells if not isinstance(c.value, str)]
    assert len(shown) > 20 and any(re.search(r"\d,\d", c.text) for c, _ in numbers)
    for cell, heading in numbers:
        if cell.text.startswith("< "):
            assert cell.value < read(cell.text, heading)
        else:
            assert read(cell.text, heading) == pytest.approx(cell.value, rel=0.06, abs=0.006, nan_ok=True), cell


def test_table_alone_says_what_it_says_among_the_others():
    """Captions refer to no table that may not be shown: of searchers, and of models and searchers over tasks."""
    comparison = measures(*runs())
    among = {t.title: t for t in drawn(comparison)}
    for name in ("searchers", "models", "tasks"):
        for table in (t for part in tables.parts(comparison, "evaluations", [name]) for t in part.tables):
            assert table.caption == among[table.title].caption and "lost" in table.caption.lower()
            assert "table of" not in table.caption
    both = [
        searched({"random": [[9.0, 5.0 + i + j]] * 3}, task=f"ink:target=0.{t}", model=Model(m, "omniglot"), searcher=s)
        for t in (1, 2)
        for i, m in enumerate(("vae", "nevae_se"))
        for j, s in enumerate(("adam", "lbfgs"))
    ]
    captions = [t.caption for part in tables.parts(measures(*both), "evaluations", ["tasks"]) for t in part.tables]
    assert len(captions) == 2 and all("A block is a task" in c for c in captions)


COMPARISONS = {  # each is computed in its test, not while all tests are collected
    "usual": lambda: measures(*runs()),
    "tiny": lambda: measures(*runs(1e-38)),
    "spaces": lambda: measures(*measured_runs(), spaces=SPACES),
}


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_each_table_has_its_rows_in_all_five_forms(comparison):
    for table in drawn(COMPARISONS[comparison]()):
        n = len(table.rows)
        assert terminal_rows(table) == n > 0
        assert len(re.findall("^[|] ", markdown.table(table), re.M)) == n + 2
        assert len(re.findall("^[|] ", markdown.plain_rows(table), re.M)) == n + 2
        assert latex.table(table).partition("\\midrule\n")[2].partition("\\bottomrule")[0].count("\n") == n
        assert html.table(table).count("<tr>") == n + 1
        assert len(pd.read_csv(io.StringIO(csv.table(table)))) == n


@pytest.mark.parametrize("scale", [1.0, 1e-38, 1e37])
def test_csv_gives_every_number_back_to_the_last_digit(scale):
    for table in drawn(measures(*runs(scale))):
        frame = pd.read_csv(io.StringIO(csv.table(table)), dtype=str)
        place = 0
        for i, column in enumerate(table.columns):
            cells = [row[i] for row in table.rows]
            assert frame.columns[place].startswith(column.heading)
            if all(not isinstance(c.value, str) for c in cells):
                expected = [math.nan if c.value is None else float(c.value) for c in cells]
                assert frame.iloc[:, place].astype(float).tolist() == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
            place += 3 if any(c.bounds for c in cells) else 1
        assert place == len(frame.columns)


def test_statistic_of_a_search_that_is_added_in_one_line_has_a_table_and_is_exported(monkeypatch):
    monkeypatch.setitem(PER_SEARCH, "gained", lambda searches: searches.first_loss - searches.loss)
    compared = measures(*runs())
    shown = [t for t in drawn(compared) if t.title == "Further statistics of a search"]
    values = [row[-1].value for table in shown for row in table.rows]
    assert values and all(table.columns[-1].heading == "gained" for table in shown)
    rows = pd.read_csv(io.StringIO(as_csv(compared)))
    assert {*rows[rows.measure == "gained"]["median"].round(9)} == {round(value, 9) for value in values}


def test_a_cell_with_a_comma_sorts_above_a_smaller_one():
    table = of_numbers(number(750, count), number(1500, count), number(2e6, count))
    assert [row[1].text for row in table.rows] == ["750", "1,500", "2,000,000"]
    assert orders(table) == [750, 1500, 2e6]


def test_every_table_and_figure_of_a_section_has_a_place_in_the_page():
    named = [name for tables_of_tab, _ in TABS.values() for name in tables_of_tab]
    drawn_names = {name for _, figures_of_tab in TABS.values() for name in figures_of_tab}
    assert sorted([*named, "tasks", "collapse"]) == sorted(tables.TABLES)  # each in one tab
    assert drawn_names | {"forest-models"} == {*TITLES} and {*FIGURES} < {*TITLES}


def test_infinity_sorts_above_every_number_and_what_is_undefined_is_no_number():
    table = of_numbers(Cell("∞ / -", math.inf), number(3.0), EMPTY, Cell("one level"), number(None))
    assert orders(table) == pytest.approx([math.inf, 3.0, *[math.nan] * 3], nan_ok=True)
    assert pd.read_csv(io.StringIO(csv.table(table))).n.tolist()[:2] == [math.inf, 3.0]


def test_intervals_sort_by_their_estimate_or_middle_and_csv_has_their_ends():
    ends = 1.0, 4.0
    cells = estimate(2.0, *ends, "{:g}".format), interval(*ends), share(0.25), p_value(1e-9)
    assert [c.value for c in cells] == [2.0, 2.5, 0.25, 1e-9]
    assert [c.text for c in cells] == ["2 (1 .. 4)", "1.00 .. 4.00", "25%", "< 0.0001"]
    frame = pd.read_csv(io.StringIO(csv.table(of_numbers(*cells))))
    assert [*frame.columns] == ["model", "n", "n, low", "n, high"] and frame["n, high"].tolist()[:2] == [4.0, 4.0]
    assert estimate(2.0, math.nan, math.nan, str).text == "2.0" and interval(math.nan, math.nan).text == ""


def test_numbers_of_a_column_have_as_many_digits_as_the_summary():
    values = [2.8, 2.75, -5.55, 3.0, 3.74, 12.5, 99.0]
    assert [number(v).text for v in values] == ["2.80", "2.75", "-5.55", "3.00", "3.74", "12.50", "99.00"]
    assert [number(v).text.replace("-", MINUS) for v in values] == [in_words(v) for v in values]
    assert interval(-6.2, -4.75).text == "-6.20 .. -4.75"
    assert [number(v).text for v in (0.0, 123.46, 999.97, 1234.5)] == ["0", "123.5", "1000", "1234"]


def test_quartiles_sort_by_the_lower_one():
    (table,) = (t for t in drawn(measures(*runs(tasks=1))) if t.name == "Final loss")
    at = [c.heading for c in table.columns].index("quartiles")
    assert all(row[at].value == row[at].bounds[0] <= row[at].bounds[1] for row in table.rows)


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@x", "\t=1+1", "a\r\n=1"])
def test_csv_has_no_formula_in_text_or_heading(text):
    table = Table("t", columns(Column(text, is_text=True)), [[word(text)]])
    assert not any(line.lstrip('"\t ')[:1] in ("=", "+", "-", "@") for line in csv.table(table).splitlines())


def test_negative_numbers_have_a_true_minus_in_the_page_and_names_keep_their_hyphen():
    table = Table("t", columns(MODEL, "n"), [[model("a-1"), number(-1.5)]])
    text = html.table(table)
    assert "a-1</td>" in text and f"{MINUS}1.50</td>" in text and 'data-order="-1.5"' in text
    assert "--c" in text  # the model's colour


def test_heading_of_several_lines_is_one_where_a_line_is_a_row():
    table = Table("t", columns("MI\npaper"), [[number(1.0)]])
    console = Console(width=60, file=io.StringIO(), record=True)
    console.print(terminal.table(table))
    assert re.search(r"MI *\n *paper", console.export_text())
    assert markdown.plain_rows(table).startswith("| MI paper |\n| --- |\n| 1.00 |")


UNLIKE = [
    ({"region": "box:3"}, "in box:3"),
    ({"max_steps": 80}, "80 steps"),
    ({"budget": 40}, "40 ev."),
    ({"task": "omniglot50:data=./odd,instances=3,seed=0"}, "data=./odd"),
]


@pytest.mark.parametrize(("unlike", "named"), UNLIKE)
def test_tables_and_figures_of_collapse_have_titles_that_name_what_differs(unlike, named):
    records = measured_runs()
    records += [replace(r, spec=replace(r.spec, **unlike)) for r in records]
    comparison = measures(*records, spaces=SPACES)
    titles = [part.heading for part in tables.parts(comparison, "evaluations", ["collapse"])]
    assert len({*titles}) == 2 and any(named in title for title in titles)
    drawn_titles = [title for title, _ in settings(comparison.collapse.checkpoint_table)]
    assert len({*drawn_titles}) == len(drawn_titles) == 1 + ("task" in unlike)


SEARCHERS = ("cmaes:sigma=0.5", "sobol:batch=10")


def searches(model, searcher, offset=0.0, **spec):
    paths = {"random": [[99.0, 5.0 + i + offset] for i in range(12)]}
    return searched(paths, model=Model(model, "omniglot"), searcher=searcher, budget=40, **spec)


def failed(record):
    return replace(record, status="failed", error="as written", members=[], trace=None, tensors={})


def matrix_text(*records):
    return latex_table.one(measures(*records), "final", ("model", "searcher"), {})


def caption_of(text):
    (caption,) = re.findall(r"\\caption{(.*)}", text)
    return caption


def test_caption_of_a_matrix_names_what_its_medians_are_of_and_what_bold_means():
    records = [searches(m, s, o) for s in SEARCHERS for o, m in ((0.0, "nevae_se"), (1.0, "vae"))]
    caption = caption_of(matrix_text(*records))
    for said in ("Median final loss", "omniglot50", "small, d = 32", "40 evaluations", "from random starts", "Bold:"):
        assert said in caption
    assert "n = 12 searches a cell" in caption and "fewer searches" not in caption and "failed" not in caption
    unequal = caption_of(matrix_text(*records, *(searches("vae", s, -4.0, init=1) for s in SEARCHERS)))
    assert "n = 12 to 24 searches a cell" in unequal and "A lower plain value may be of fewer searches" in unequal
    assert "Bold" not in caption_of(matrix_text(*(searches("vae", s) for s in SEARCHERS)))


def test_caption_of_a_matrix_speaks_of_fewer_searches_only_where_compared_cells_have_other_numbers():
    """Each model has 12 searches of one task, and 24 of the other."""
    tasks = "omniglot50:instances=50,seed=0", "glyphs50:instances=50,seed=0"
    records = [
        searches(m, SEARCHERS[0], o, task=t, init=init)
        for o, m in ((0.0, "nevae_se"), (1.0, "vae"))
        for t, inits in zip(tasks, ((0,), (0, 1)), strict=True)
        for init in inits
    ]
    caption = caption_of(latex_table.one(measures(*records), "final", ("model", "task"), {}))
    assert (
        "n = 12 to 24 searches a cell" in caption and "fewer searches" not in caption and "none is bold" not in caption
    )
    alike = [searches(m, SEARCHERS[1], task=tasks[0]) for m in ("nevae_se", "vae")]
    some = [r for r in records if r.spec.task == tasks[0]]
    caption = caption_of(latex_table.one(measures(*some, *alike), "final", ("model", "searcher"), {}))
    assert "Where none is bold, no difference is significant, or none was tested" in caption


@pytest.mark.parametrize("axes", [("searcher", "task"), ("model", "searcher")])
def test_matrix_of_one_model_has_the_best_searchers_in_bold(axes):
    records = [searches("vae", s, o) for s, o in zip(SEARCHERS, (1.0, 0.0), strict=True)]
    text = latex_table.one(measures(*records), "final", axes, {})
    assert "Bold: the best searchers in a model, by Wilcoxon" in caption_of(text)
    assert r"\textbf{10.50}" in text and r"\textbf{11.50}" not in text and "11.50" in text


def test_tasks_of_a_matrix_have_short_names_which_may_be_displayed_otherwise():
    tasks = "omniglot50:instances=50,seed=0", "glyphs50:instances=50,seed=0"
    compared = measures(*(searches("vae", s, task=t) for s in SEARCHERS for t in tasks))
    assert "searcher & glyphs50 & omniglot50" in latex_table.one(compared, "final", ("searcher", "task"), {})
    for name in ("omniglot50", tasks[0]):
        names = display_names("name", [f"{name}=$n=50$", "glyphs50=G"])
        assert "searcher & G & $n=50$" in latex_table.one(compared, "final", ("searcher", "task"), names)


def test_matrix_keeps_searchers_whose_runs_all_failed_and_says_what_was_not_run():
    records = [searches("vae", s) for s in SEARCHERS] + [searches("nevae_se", SEARCHERS[0])]
    text = matrix_text(*records, failed(searches("vae", "lbfgs:lr=1.0")))
    assert "failed: all its runs" in text and "-: no result" in text
    cells = {
        line.split(" & ")[0]: line.removesuffix(r" \\").split(" & ")[1:] for line in text.splitlines() if "&" in line
    }
    by_searcher = {m: dict(zip(cells["model"], values, strict=True)) for m, values in cells.items()}
    assert by_searcher["vae"] == {"cmaes": "10.50", "sobol": "10.50", "lbfgs": "failed"}
    assert by_searcher[r"nevae\_se"] == {"cmaes": "10.50", "sobol": "-", "lbfgs": "-"}


def test_notes_of_a_comparison_stand_as_comments_above_a_latex_table():
    records = [searches("vae", SEARCHERS[0], checkpoint=str(i) * 64, init=i) for i in range(2)]
    for axes in (("model", "searcher"), (None, None)):
        text = latex_table.one(measures(*records), "final", axes, {})
        assert any("different weights are pooled" in line for line in text.splitlines() if line.startswith("% !"))


def test_infinite_median_is_infinity_and_not_what_was_not_run():
    """Most searches of a run diverged: their median is infinite."""
    run = searches("vae", SEARCHERS[0])
    members = [replace(m, loss=math.nan, best=math.nan) if i > 2 else m for i, m in enumerate(run.members)]
    comparison = measures(replace(run, members=members), searches("vae", SEARCHERS[1]))
    text = latex_table.one(comparison, "final", ("model", "searcher"), {})
    assert r"vae & $\infty$ & \textbf{10.50} \\" in text and "not run" not in text
    final = next(t for part in tables.parts(comparison, "steps", ["final"]) for t in part.tables)
    at = [c.heading for c in final.columns].index("median")
    assert [row[at].text for row in final.rows] == ["∞", "10.50"]


def test_latex_tables_of_one_name_have_captions_that_tell_them_apart_without_advice():
    records = measured_runs()
    records += [replace(r, spec=replace(r.spec, region="box:3", task="symmetry")) for r in records]
    comparison = measures(*records, spaces=SPACES)
    for name in ("collapse", "final", "models"):
        captions = re.findall(r"\\caption{(.*)}", latex_table.one(comparison, name, (None, None), {}))
        assert len({*captions}) == len(captions) > 1
        assert not any("-{}-" in caption or "lso-bench" in caption or "json" in caption for caption in captions)


def test_numbers_in_latex_have_a_minus_sign_and_powers_of_ten_and_names_stay():
    rows = [
        [Cell("nevae_lp_-1.0"), Cell("-7.59e-05 .. 0.001"), Cell("1,000 (-3)", best=True), Cell("random - encoder")]
    ]
    header = [Column("model", is_text=True), Column("a"), Column("b"), Column("c")]
    (line,) = (t for t in latex.table(Table("t", header, rows)).splitlines() if t.startswith("nevae"))
    assert line == (r"nevae\_lp\_-1.0 & $-7.59\times 10^{-5}$ .. 0.001 & \textbf{1,000 ($-$3)} & random - encoder \\")


def test_samples_of_an_architecture_of_sequences_are_texts_in_captions():
    model = Model("vae", "expressions", "gru")
    compared = measures(searched({"random": [[9.0, 5.0]]}, task="expression_match50", model=model))
    (section,) = sections(compared)
    caption = auxiliary(section).caption
    assert "x: the decoded text" in caption and "Bernoulli" not in caption and "image" not in caption


def test_two_hyphens_are_no_dash_in_latex():
    assert "-{}-by" in latex.table(Table("with --by", columns("n"), [[number(1)]]))


def test_one_table_in_the_terminal_has_the_notes_too():
    records = [searches("vae", SEARCHERS[0], checkpoint=str(i) * 64, init=i) for i in range(2)]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(tables.terminal(measures(*records), names=["final"]))
    text = console.export_text()
    assert "! omniglot50: runs of vae with different weights are pooled in one row" in text
