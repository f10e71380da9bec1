"""Models and searchers over several tasks, whose ranks are known."""

import pandas as pd
import pytest
from made import SPEC, Disk, measures, searched

from lso_bench.report.html_report import Results, html
from lso_bench.report.paired_tables import over_tasks
from lso_bench.report.tables import markdown
from lso_bench.vae.trained_model import Model

OTHER, THIRD = Model("nevae_se", "omniglot"), Model("beta_vae_0.9", "omniglot")
SCALES = (1.0, 1000.0, 0.001)  # a unit each


def run(task: int, offset=0.0, model=SPEC.model, **spec):
    """Two instances, in the unit of the task."""
    unit = SCALES[task % len(SCALES)]
    ways = [[99.0 * unit, (5.0 + i + offset) * unit] for i in range(2)]
    return searched({"random": ways}, model=model, task=f"t{task}", **spec)


def ranks(*runs) -> pd.Series:
    rows = measures(*runs).tasks
    ranking = rows[rows.measure == "model rank:loss"]
    return ranking.set_index("model").estimate


def test_a_task_is_a_block_whatever_its_unit():
    runs = [run(t, offset, m) for t in range(3) for m, offset in ((SPEC.model, 1.0), (OTHER, 0.0))]
    assert ranks(*runs).to_dict() == {"nevae_se": 1.0, "vae": 2.0}
    rows = measures(*runs).tasks
    (won,) = rows[rows.measure == "model wins:loss"].to_dict("records")
    assert (won["model"], won["against"], won["estimate"], won["n"], won["task"]) == (
        "vae",
        "nevae_se",
        0.0,
        3,
        "3 tasks",
    )
    assert not rows.measure.str.contains("difference|effect").any()


def test_a_task_of_other_order_moves_the_ranks():
    offsets = {"vae": (1.0, 1.0, -1.0), "nevae_se": (0.0, 0.0, 0.0)}
    runs = [run(t, offsets[m.name][t], m) for t in range(3) for m in (SPEC.model, OTHER)]
    assert ranks(*runs).to_dict() == pytest.approx({"nevae_se": 4 / 3, "vae": 5 / 3})


def test_only_tasks_that_all_ran_count():
    runs = [run(t, offset, m) for t in range(3) for m, offset in ((SPEC.model, 1.0), (OTHER, 0.0))]
    tasks = measures(*runs, run(3)).tasks
    assert set(tasks.n) == {3}


def test_one_task_is_no_comparison_over_tasks():
    comparison = measures(run(0), run(0, 1.0, OTHER))
    assert comparison.tasks.empty and not list(over_tasks(comparison)) and "Over tasks" not in markdown(comparison)


def test_tasks_with_other_budgets_are_not_pooled():
    runs = [run(t, offset, m, budget=9 + t) for t in range(2) for m, offset in ((SPEC.model, 1.0), (OTHER, 0.0))]
    assert measures(*runs).tasks.empty


def test_ten_tasks_and_three_models_have_friedman_s_and_nemenyi_s_p():
    models = ((SPEC.model, 1.0), (OTHER, 0.0), (THIRD, 2.0))
    comparison = measures(*(run(t, offset, m) for t in range(10) for m, offset in models))
    (part,) = over_tasks(comparison)
    (table,) = part.tables
    rows = [{c.heading: cell.text for c, cell in zip(table.columns, row, strict=True)} for row in table.rows]
    assert [(r["model"], r["mean rank"]) for r in rows if r["of"] == "loss"] == [
        ("nevae_se", "1.00"),
        ("vae", "2.00"),
        ("beta_vae_0.9", "3.00"),
    ]
    best, second, last = rows[:3]
    assert best["Friedman, p"] == "< 0.0001" and last["Nemenyi, p"] == "< 0.0001" and best["tasks"] == "10"
    assert second["wins"].startswith("0% (0% .. ") and float(second["Nemenyi, p"]) > 0.01


def test_searchers_are_ranked_over_tasks_in_the_same_model():
    runs = [run(t, offset, searcher=s) for t in range(2) for s, offset in (("adam", 1.0), ("lbfgs", 0.0))]
    rows = measures(*runs).tasks
    ranking = rows[rows.measure == "searcher rank:loss"]
    assert ranking.set_index("searcher").estimate.to_dict() == {"adam": 2.0, "lbfgs": 1.0}


def test_page_shows_the_tables_over_tasks_with_their_figure_and_nothing_of_one_task(tmp_path):
    def page(tasks: int) -> str:
        models = ((SPEC.model, 1.0), (OTHER, 0.0), (THIRD, 2.0))
        runs = {r.spec.key: r for r in (run(t, offset, m) for t in range(tasks) for m, offset in models)}
        files = lambda spec: Disk(runs[spec.key])  # noqa: E731
        return html(Results([tmp_path], [*runs.values()], files, measures(*runs.values())))

    several, alone = page(10), page(1)
    assert "Models over tasks" in several and "Mean rank over 10 tasks" in several
    assert "Over tasks" not in alone and "Models over tasks" not in alone
