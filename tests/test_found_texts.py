"""Texts that searches found: in records, beside their scores, in tables, caveats and the page."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from conftest import random_vae
from made import Disk, measures, searched

from lso_bench import TextTask
from lso_bench.analysis.caveats import caveats
from lso_bench.errors import PluginError
from lso_bench.files.svg import DEEPEST, LARGEST, harmless
from lso_bench.record import LONGEST_TEXT
from lso_bench.report import export, figure_files, html_report, html_texts, latex_table, sections, summary, tables
from lso_bench.report.cells import NO_TEXT
from lso_bench.runner.found_texts import found_texts, usual_texts
from lso_bench.runner.run import run
from lso_bench.runner.text_counts import TextCounts
from lso_bench.spec import Seeds, Spec
from lso_bench.store import index
from lso_bench.store.store import Store
from lso_bench.task.nearest_row import TokenRows, TrainingRows, edit_distances
from lso_bench.tasks.expression import Expression
from lso_bench.vae.architectures import architecture
from lso_bench.vae.checkpoint import save_model, sha256
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.trained_model import Model

SOURCE = DATASETS.build("expressions")
DATA = "expressions:rules=6,count=500"  # at most 5 tokens of 12
SMALL = DATASETS.build(DATA)
ARCH = "parallel:hidden=8,layers=1,embedding=3"


@dataclass(frozen=True)
class Length(TextTask):
    """The number of characters; a text that begins with an operator is invalid, and so are all in a mood of `no`."""

    no: bool = False
    data: str = "expressions"
    invalid_score = -1

    def score_texts(self, texts):
        return [None if self.no or text[:1] in ("+", "*", "/") else len(text) for text in texts]


def rows(*texts):
    return TrainingRows(SOURCE, SOURCE.tokens(texts))


def samples(*texts):
    """Texts as one-hot samples, (n, 13, 12)."""
    return LIKELIHOODS.build(SOURCE.likelihood).model_input(torch.tensor(SOURCE.tokens(texts)))


def levenshtein(a, b):
    """The distance by its definition, a row of the table at a time."""
    before = [*range(len(b) + 1)]
    for i, x in enumerate(a, 1):
        after = [i]
        for j, y in enumerate(b, 1):
            after.append(min(before[j] + 1, after[-1] + 1, before[j - 1] + (x != y)))
        before = after
    return before[-1]


# The nearest row


@pytest.mark.parametrize(
    ("text", "row", "distance"), [("x", "x", 0), ("x+1", "1+x", 2), ("sin(x)", "exp(x)", 1), ("x", "x*x*x", 4)]
)
def test_edit_distance_counts_tokens(text, row, distance):
    known = rows(row)
    tokens = known.as_tokens.tokens(text)
    assert edit_distances(tokens, known.as_tokens.matrix, known.as_tokens.lengths).tolist() == [distance]
    assert known.as_tokens.nearest(text) == (
        row,
        pytest.approx(1 - distance / max(len(tokens), known.as_tokens.lengths[0])),
    )


def test_nearest_row_is_that_of_the_smallest_distance_of_all():
    stored = SMALL.texts(SMALL.samples(Path()))
    known, asked = TokenRows(SOURCE, stored[:300]), [*stored[400:420], "x", "sin(x)/2+exp(3)", "1"]
    lengths = [len(known.tokens(row)) for row in known.texts]
    for text in asked:
        tokens = known.tokens(text)
        best = max(
            1 - levenshtein(tokens, known.tokens(row)) / max(len(tokens), n)
            for row, n in zip(known.texts, lengths, strict=True)
        )
        row, similarity = known.nearest(text)
        assert similarity == pytest.approx(best)
        longer = max(len(tokens), len(known.tokens(row)))
        assert levenshtein(tokens, known.tokens(row)) == round((1 - similarity) * longer)


def test_bound_by_shared_tokens_never_loses_a_long_row():
    long = "x*" * 300 + "x"
    assert TokenRows(SOURCE, ["1", long]).nearest("x*" * 299 + "1") == (long, pytest.approx(1 - 3 / 601))


def test_texts_without_tokens_and_rows_are_as_far_as_can_be():
    assert TokenRows(SOURCE, []).nearest("x") == ("", 0)
    assert TokenRows(SOURCE, ["x", "x+1"]).nearest("") == ("x", 0)
    assert TokenRows(SOURCE, ["", "x"]).nearest("") == ("", 1)
    assert TokenRows(SOURCE, ["x+y", "1"]).nearest("x+é")[0] == "x+y"  # characters of no symbol


def test_default_of_a_task_is_the_same_for_plain_lists_and_training_rows():
    texts, known = ["x+1", "sin(2)"], ["x", "x*1", "exp(2)"]
    assert Length().nearest(texts, known) == Length().nearest(texts, rows(*known))
    assert Length().picture("x") == ""


def test_text_is_cut_into_tokens_as_the_data_set_cuts_it(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"one word{i}\n" for i in range(100)))
    known = TokenRows(DATASETS.build(f"{tmp_path / 'a.txt'}:tokenizer=words"), ["one word1", "one word2"])
    assert (
        len(known.tokens("one word1")) == len(known.tokens("one word1234")) == 2
        and known.tokens("one word1234")[1] == 256
    )


# Beside the scores


def described(task, best, *final, known=("x", "x+1", "sin(x)")):
    counts = TextCounts(best=best)
    return found_texts(task, counts, samples(*final), rows(*known))


def test_best_valid_text_of_each_problem_is_kept_where_it_was_seen():
    counts, task = TextCounts(), Length()
    x = samples("+x", "x", "*x", "1+1", "/x", "sin(x)", "+1", "2").unflatten(0, (2, 4))
    for part in (x, x[:, :3]):
        counts.add(task, torch.tensor([3, 0]), part, task.score(part))
    assert counts.best == {3: (3, "1+1"), 0: (6, "sin(x)")}


def test_found_text_is_described_as_the_training_texts_say():
    new, known, none = described(Length(), {0: (3.0, "x*1"), 1: (6.0, "sin(x)")}, "x*1", "+x", "+1")
    assert new == {
        "text": "x*1",
        "final_text": "x*1",
        "nearest": "x+1",
        "beside": {
            "valid": 1,
            "novel": 1,
            "length": 3,
            "longer_than": 2 / 3 - 1 / 3,
            "similarity": pytest.approx(2 / 3),
        },
    }
    assert known["text"] == "sin(x)" and known["final_text"] == "+x" and known["beside"]["novel"] == 0
    assert none == {"text": "", "final_text": "+1", "nearest": "", "beside": {"valid": 0}}


def test_usual_values_are_those_of_the_first_test_texts():
    usual = usual_texts(Length(), samples("x", "x*1", "x+1"), rows("x", "x+1"))
    assert usual == {"novel": 1 / 3, "length": 3, "longer_than": 0.5, "similarity": 1}
    assert usual_texts(Length(), samples("x"), None) == {}


@pytest.mark.parametrize("gives", [None, [("x",)], [("x", 2.0)], [(1, 0.5)], [], [("x", math.nan)]])
def test_nearest_rows_that_are_none_are_refused(gives):
    class Faulty(Length):
        def nearest(self, texts, rows):
            return gives

    with pytest.raises(PluginError, match=r"wanted .* from `nearest`, got"):
        described(Faulty(), {0: (1.0, "x")}, "x")


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, random_vae(architecture(ARCH, 3, (5, 12), "categorical:vocabulary=12")), {"made": "by a test"})
    how = {
        "max_steps": 50,
        "budget": 40,
        "thresholds": (),
        "decoding": "sample",
        "region": "box:3",
        "seeds": Seeds(search=2),
    }
    task = f'expression:data="{DATA}"'
    return Spec(Model("vae", DATA, ARCH, 3), sha256(path), task, "sobol", starts=("random",), **how), path


def test_run_records_its_best_valid_text_with_its_score(spec):
    record = run(*spec)
    (search,) = record.members
    task, train = Expression(data=DATA), {*SMALL.texts(SMALL.samples(Path()))}
    assert search.text and -search.best == pytest.approx(task.score_texts([search.text])[0], rel=1e-6)
    assert search.final_text == search.text and search.nearest in train
    assert search.beside["similarity"] == pytest.approx(task.nearest([search.text], [*train])[0][1], abs=0.3)
    assert {"valid", "novel", "length", "longer_than", "similarity"} <= {*search.beside}
    assert {"novel", "length", "longer_than", "similarity"} == {*record.usual}  # nothing that asks for more scores


def test_budget_that_is_spent_without_a_valid_text_leaves_a_record_that_says_so(spec, monkeypatch, tmp_path):
    monkeypatch.setattr(Expression, "score_texts", lambda self, texts: [None for _ in texts])
    record = run(*spec)
    (search,) = record.members
    assert record.status == "ok" and search.evaluations == 40 == record.counts["invalid_texts"]
    assert search.text == "" and search.beside == {"valid": 0} and search.loss == pytest.approx(math.log(1001) + 1)
    store = Store(tmp_path / "r")
    store.add(record)
    (kept,) = index.records(store)
    compared = measures(replace(kept, trace=record.trace, costs=record.costs, tensors=record.tensors))
    assert NO_TEXT in tables.markdown(compared, names=["final"]) and "none valid" in tables.markdown(compared)


# Records


def kept(tmp_path, **values):
    record = searched({"random": [[9.0, 1.0]]})
    store = Store(tmp_path / "r")
    store.add(replace(record, members=[replace(record.members[0], **values)]))
    return store


@pytest.mark.parametrize(
    "text", ["", "x+1", "[C][=C]", 'a "b" \\ | <c> & é 😀', "a\nb\r\0\x1b[31m", "=cmd()", "x" * 20_000]
)
def test_text_of_any_characters_is_read_as_it_was_written(tmp_path, text):
    store = kept(tmp_path, text=text, final_text=text, nearest=text)
    for records in ([*store], index.records(store), index.records(store)):
        (search,) = records[0].members
        assert (search.text, search.final_text, search.nearest) == (text,) * 3


def test_text_beyond_the_bound_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(PluginError, match="a text of a search has more than 100,000 characters"):
        kept(tmp_path, text="x" * (LONGEST_TEXT + 1))
    assert [*Store(tmp_path / "r")] == []


def test_result_without_texts_stays_readable(tmp_path):
    store = kept(tmp_path)
    path = next((tmp_path / "r").glob("runs/*/*/result.json"))
    raw = json.loads(path.read_text())
    for name in ("text", "final_text", "nearest"):
        del raw["members"][0][name]
    path.write_text(json.dumps(raw))
    assert next(iter(store)).members[0].text == "" and not store.skipped
    assert "Best texts" not in tables.markdown(measures(searched({"random": [[9.0, 1.0]]})))


def test_runs_with_other_texts_share_what_they_have_in_common_in_the_index(tmp_path):
    store = Store(tmp_path / "r")
    for i in range(3):
        record = searched({"random": [[9.0, 1.0]]}, init=i)
        store.add(replace(record, members=[replace(record.members[0], text=f"x+{i}")]))
    assert sorted(r.members[0].text for r in index.records(store)) == ["x+0", "x+1", "x+2"]


# Comparisons

GOOD = {"valid": 1.0, "novel": 1.0, "length": 13.0, "longer_than": 0.5, "similarity": 0.75}
TASK = "expression:target=x,data=expressions"


def text_run(seed=0, text="x+1", loss=1.0, invalid=10, distinct=30, beside=GOOD, model="vae", **spec):
    record = searched(
        {"random": [[9.0, loss]]},
        init=seed,
        model=Model(model, "expressions", "gru"),
        task=TASK,
        decoding="greedy",
        **spec,
    )
    found_text = {"text": text, "final_text": text or "x+", "nearest": "x" * bool(text), "beside": beside}
    counts = {"evaluations": 100, "invalid_texts": invalid, "distinct_texts": distinct}
    return replace(record, members=[replace(record.members[0], **found_text)], counts=counts)


def lost(seed=0, **what):
    return text_run(seed, text="", loss=7.9, invalid=100, beside={"valid": 0.0}, **what)


def table(name, *records):
    (section,) = sections.sections(measures(*records))
    shown = tables.section_tables(section, "task", names=[name])[0]
    return [dict(zip([c.heading for c in shown.columns], [c.text for c in row], strict=True)) for row in shown.rows]


def test_losses_stand_beside_the_shares_of_valid_and_distinct_evaluations():
    (row,) = table("final", *(text_run(i, invalid=10 * i, distinct=20 * i) for i in range(3)))
    assert (row["valid"], row["distinct"], row["median"]) == ("90%", "20%", "1.00")
    (image,) = table("final", searched({"random": [[9.0, 1.0]]}))
    assert "valid" not in image


def test_shares_are_measures_of_json_and_csv_too():
    compared = measures(*(text_run(i, invalid=10 * i) for i in range(3)))
    rows = {m["measure"]: m for m in json.loads(export.as_json(compared))["measures"]}
    assert rows["evaluations:valid"]["estimate"] == pytest.approx(0.9) and rows["evaluations:distinct"]["n"] == 3
    assert "evaluations:valid" in export.as_csv(compared)
    assert not measures(searched({"random": [[9.0, 1.0]]})).measures.measure.str.startswith("evaluations:").any()


def test_median_loss_of_searches_without_a_valid_text_is_marked_in_every_form():
    compared = measures(*(lost(i) for i in range(3)), text_run(3))
    assert f"| 7.90{NO_TEXT} |" in tables.markdown(compared, names=["final"])
    assert r"7.90$\dagger$" in tables.latex(compared, names=["final"])
    assert r"7.90$\dagger$" in latex_table.one(compared, "final", ("model", "searcher"), {})
    assert any(f"7.90{NO_TEXT}" in line for line in summary.summary(compared))
    (row,) = table("texts", *(lost(i) for i in range(3)), text_run(3))
    assert (row["best valid text"], row["found by"]) == ("x+1", "25%")


def test_marks_need_most_searches_to_lack_a_text():
    assert NO_TEXT not in tables.markdown(measures(text_run(0), text_run(1), lost(2)))


def test_best_text_is_that_of_the_best_valid_search_though_an_invalid_one_may_score_better():
    strange = lost(2)
    strange = replace(strange, members=[replace(strange.members[0], loss=0.1, best=0.1)])
    (row,) = table("texts", text_run(0, "sin(x)", 0.5), text_run(1, "2", 0.7), strange)
    assert (row["best valid text"], row["score"], row["nearest training text"]) == ("sin(x)", "-0.500", "x")
    assert (row["novel"], row["length"], row["longer than"], row["similarity"]) == ("yes", "13", "50%", "0.75")
    (none,) = table("texts", lost(0))
    assert (none["best valid text"], none["score"], none["novel"], none["length"]) == ("none valid", "-", "", "")


def test_texts_of_several_models_and_searchers_have_a_row_each():
    texts = {("vae", "sobol"): "1", ("vae", "cmaes"): "2", ("rae", "sobol"): "3"}
    runs = [text_run(text=text, model=m, searcher=s) for (m, s), text in texts.items()]
    assert {(r["model"], r["searcher"]): r["best valid text"] for r in table("texts", *runs)} == texts


def notes(*records):
    return [line for line in caveats(records) if "text" in line]


def test_best_text_that_is_long_or_known_is_flagged():
    long, known = GOOD | {"longer_than": 0.99}, GOOD | {"novel": 0.0}
    assert notes(text_run(), text_run(1)) == []
    (line,) = notes(text_run(beside=long), text_run(1, loss=2.0))
    assert line.startswith("expression: the best text of vae with adam is longer than 99% of the training texts")
    (line,) = notes(text_run(beside=known))
    assert (
        line
        == "expression: the best text of vae with adam stands in the training set; picking training texts finds it."
    )
    assert notes(text_run(), text_run(1, loss=2.0, beside=long)) == []  # not the best


def test_evaluations_that_were_mostly_invalid_and_searches_without_a_text_are_flagged():
    assert notes(text_run(invalid=50)) == []
    (line,) = notes(text_run(invalid=51), text_run(1, invalid=61))
    assert "most evaluations of vae with adam (56%) were of invalid texts" in line
    assert (
        "expression: searches of vae with adam (1 of 2) saw no valid text; their loss is that of an invalid one."
        in (notes(text_run(), lost(1)))
    )


def test_summary_says_where_few_evaluations_were_valid_or_distinct():
    runs = [
        text_run(i, invalid=invalid, distinct=90, model=m) for m, invalid in (("vae", 5), ("rae", 40)) for i in (0, 1)
    ]
    lines = summary.summary(measures(*runs))
    assert "Texts   60% to 95% of evaluations were of valid texts; fewest by adam in rae." in lines
    assert not any(line.startswith("Texts") for line in summary.summary(measures(text_run(invalid=5, distinct=90))))


def test_older_result_with_counts_alone_is_compared_without_texts():
    old = text_run(text="", beside={"valid": 1.0})
    old = replace(old, members=[replace(old.members[0], final_text="", nearest="")])
    (section,) = sections.sections(measures(old))
    assert tables.section_tables(section, "task", names=["texts"]) == [] and notes(old) == []
    assert table("final", old)[0]["valid"] == "90%"


# The page and files

SHAPE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><path d="M 0,0 L 9,9" style="fill:none"/>{}</svg>'
)


@pytest.mark.parametrize(
    "bad",
    [
        "<script>alert(1)</script>",
        '<image href="http://example.org/a.png"/>',
        '<a href="javascript:alert(1)"><path d="M 0,0"/></a>',
        '<foreignObject><body xmlns="http://www.w3.org/1999/xhtml">x</body></foreignObject>',
        "<style>@import 'http://example.org';</style>",
        '<animate attributeName="href"/>',
        "<?xml-stylesheet href='http://example.org'?>",
        "<!-- <script>alert(1)</script> -->",
        '<use xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="#a"/>',
    ],
)
def test_drawing_keeps_its_shapes_and_nothing_that_runs_or_loads(bad):
    assert harmless(SHAPE.format(bad)) == harmless(SHAPE.format(""))
    assert "M 0,0 L 9,9" in harmless(SHAPE.format(bad)) and "fill:none" in harmless(SHAPE.format(bad))


@pytest.mark.parametrize(
    "attribute", ['onload="alert(1)"', 'style="fill:url(http://a)"', 'fill="url(#a)"', 'style="background:\\75rl(a)"']
)
def test_attribute_that_runs_or_loads_is_left_out(attribute):
    assert harmless(SHAPE.format(f"<rect {attribute} width='3'/>")) == harmless(SHAPE.format("<rect width='3'/>"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "<html></html>",
        "<svg",
        '<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>',
        SHAPE.format("<path/>" * LARGEST),
        "<svg xmlns='http://www.w3.org/2000/svg'>\0</svg>",
    ],
)
def test_text_that_is_no_drawing_gives_none(text):
    assert harmless(text) == ""


def test_drawing_that_is_harmless_stays_as_it_is():
    once = harmless(SHAPE.format("<text x='1'>C &lt; O</text>"))
    assert harmless(once) == once and "C &lt; O</text>" in once


def test_elements_too_deep_in_each_other_are_left_out():
    assert harmless(SHAPE.format("<g>" * 20_000 + "</g>" * 20_000)).count("<g") == DEEPEST


def page(*records):
    compared = measures(*records)
    return html_report.html(html_report.Results([], records, {r.spec: Disk(r) for r in records}.__getitem__, compared))


def test_page_shows_the_texts_and_their_drawings(monkeypatch):
    monkeypatch.setattr(Expression, "picture", lambda self, text: SHAPE.format("<script>alert(1)</script>"))
    shown = page(text_run(text="<b>x</b>"))
    assert '<details class="tab" id="texts">' in shown and "&lt;b&gt;x&lt;/b&gt;" in shown and "<b>x</b>" not in shown
    assert shown.count('<img class="drawing" src="data:image/svg+xml;base64,') == 2  # the text and its nearest row
    assert shown.count("<script>") == 1 and "alert(1)" not in shown
    assert 'id="pictures"' not in shown and 'id="texts"' not in page(searched({"random": [[9.0, 1.0]]}))


@pytest.mark.parametrize("gives", [None, "", "<svg", ValueError("no molecule")])
def test_text_that_cannot_be_drawn_stands_alone(monkeypatch, gives):
    def picture(self, text):
        if isinstance(gives, Exception):
            raise gives
        return gives

    monkeypatch.setattr(Expression, "picture", picture)
    shown = page(text_run())
    assert "x+1" in shown and '<img class="drawing"' not in shown


def test_file_that_a_result_names_is_not_executed_for_a_drawing(tmp_path, monkeypatch):
    file, executed = tmp_path / "evil.py", tmp_path / "executed"
    file.write_text(f"open({str(executed)!r}, 'w')\n")
    monkeypatch.setattr(Expression, "picture", lambda self, text: SHAPE.format(self._scores().source))
    (section,) = sections.sections(measures(text_run()))
    (shown,) = tables.section_tables(section, "task", names=["texts"])
    for task in (str(file), f"expression:data={file}", "expression:target=((", "omniglot50", "nonesuch"):
        assert html_texts.drawn(shown, task) is shown
    assert not executed.exists()


def test_best_texts_are_a_file_beside_the_pictures(tmp_path, spec):
    record = text_run(text="sin(x)+1")
    store = Store(tmp_path / "r")
    store.add(record)
    written = figure_files.pictures(store, [record], {record.spec.key: spec[1]}, measures(record))
    (texts,) = [path for path in written if path.suffix == ".txt"]
    assert "| sin(x)+1 |" in texts.read_text() and not [
        p for p in written if p.name.startswith(("found", "images")) and p != texts
    ]


def test_text_longer_than_a_cell_is_shown_whole():
    text = "[C]" * 100
    compared = measures(text_run(text=text))
    assert text in tables.latex(compared, names=["texts"]) and text in page(text_run(text=text))
    assert text.replace("[", r"\[").replace("]", r"\]") in tables.markdown(compared, names=["texts"])
