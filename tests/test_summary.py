"""The summary: the answer in 15 lines of 80 columns, and no winner that is not significant."""

import re
from dataclasses import replace

import pytest
from made import SPEC, measures, searched

from lso_bench.analysis.comparison import brief, compare
from lso_bench.analysis.fields import chosen, conditions
from lso_bench.record import Record
from lso_bench.report import full_answers
from lso_bench.report.summary import MOST, WIDTH, summary
from lso_bench.vae.trained_model import Model

N = 12
NEVAE, BETA = Model("nevae_se", "omniglot"), Model("beta_vae_0.9", "omniglot")
COMMANDS = ["lso-bench compare results --all"]


def run(offset=0.0, model=SPEC.model, gap=0.0, steps=3, instances=N, **spec):
    """Instances that end `offset` above 5, 6, 7 ... after some steps; from the encoder `gap` higher."""
    paths = {
        start: [[99.0] * steps + [5.0 + i + offset + gap * (start == "encoder")] for i in range(instances)]
        for start in ("random", "encoder")
    }
    return searched(paths, model=model, **spec)


def text(*records):
    return "\n".join(summary(measures(*records), COMMANDS))


def brief_text(*records):
    """Compute only what a summary shows: many records take a fraction of the time."""
    return "\n".join(summary(brief(records), COMMANDS))


def test_winner_of_two_models_is_named_with_its_share_and_p():
    shown = text(run(1.0), run(model=NEVAE))
    assert "Answer  nevae_se reaches a lower loss than vae (on 100% of 12 instances, p" in shown
    assert "From random starts; the same from encoder starts." in " ".join(shown.split())
    (row,) = (line.split() for line in shown.splitlines() if line.startswith("  vae"))
    assert row[:3] == ["vae", "11.50", "+1.00"] and row[-1] == "*"


def test_no_winner_is_named_without_significance():
    shown = text(run(1e-7), run(model=NEVAE))
    assert "Answer  no significant difference between" in shown and "reaches" not in shown and " *" not in shown


def test_few_instances_say_what_a_test_wants():
    shown = text(run(1.0, instances=3), run(model=NEVAE, instances=3))
    assert (
        "undecided: 3 instances, a test needs 10." in shown and "reaches" not in shown and "no significant" not in shown
    )


def test_a_test_that_cannot_find_a_difference_between_so_many_is_none():
    """Wilcoxon's p of 10 instances is at least 2 / 2^10; Holm's correction of 28 pairs takes it to 0.055."""
    records = [run(float(i), searcher=f"adam:lr=0.{i + 1}", instances=10) for i in range(8)]
    shown = text(*records)
    assert "undecided: 10 instances, a test of 8 searchers needs 11." in shown and "no significant" not in shown
    one_more = text(*(run(float(i), searcher=f"adam:lr=0.{i + 1}", instances=11) for i in range(8)))
    assert "adam lr=0.1 reaches a lower loss than" in one_more


def test_one_model_and_searcher_has_nothing_to_compare():
    shown = text(run())
    assert "Answer  undecided: there is one model and one searcher." in shown and "· vae · adam ·" in shown


@pytest.mark.parametrize("arch", ["conv", "conv:encoder=8,channels=8", f"./{'architecture' * 5}.py"])
def test_heading_says_how_many_trainings_there_are_whatever_else_has_no_room(arch):
    models = [replace(m, arch=arch, seed=seed) for m in (SPEC.model, NEVAE) for seed in range(3)]
    shown = text(*(run(model=m, space="standard", searcher="cmaes:sigma=0.25,population=40") for m in models))
    heading = shown.splitlines()[0]
    assert heading.endswith(" · 3 training seeds") and len(heading) <= WIDTH
    assert "space standard" not in heading, "which is said in full elsewhere"


def test_matrix_marks_what_is_not_significantly_worse_than_the_best():
    records = [
        run(o, m, searcher=s) for s in ("adam:lr=0.1", "cmaes:sigma=0.5") for o, m in ((1.0, SPEC.model), (0.0, NEVAE))
    ]
    lines = text(*records).splitlines()
    (header,) = (line for line in lines if line.startswith("  final loss"))
    assert header.split() == ["final", "loss", "adam", "cmaes"]
    assert [line.count("*") for line in lines if line.startswith(("  vae", "  nevae_se"))] in ([0, 2], [2, 0])
    assert any("lowest final loss: nevae_se with every searcher." in line for line in lines)


def test_star_beside_a_higher_median_is_explained():
    """Half a unit better on all instances but two, and there far worse, so that its median is the higher one."""

    def records(*better):
        return [
            searched({"random": [[99.0, x] for x in losses]}, model=model, searcher=s)
            for s in ("adam:lr=0.1", "cmaes:sigma=0.5")
            for model, losses in ((SPEC.model, [5.0] * 7 + [6.0] * 6), (NEVAE, better))
        ]

    remark = "a test of pairs, not of medians"
    assert remark in text(*records(*[4.9] * 6, 5.5, *[5.9] * 6))
    assert remark not in text(*records(*[4.9] * 13))


def test_tasks_are_compared_by_mean_rank():
    records = [run(o, m, task=f"ink:target=0.{i}") for i in range(1, 4) for o, m in ((1.0, SPEC.model), (0.0, NEVAE))]
    lines = text(*records).splitlines()
    tasks = [word for i in range(1, 4) for word in ("ink", f"target=0.{i}")]
    assert lines[0].startswith("ink") and lines[2].split() == ["model", "mean", "rank", *tasks]
    assert [line.split()[:2] for line in lines[3:5]] == [["nevae_se", "1.00"], ["vae", "2.00"]]
    assert "Answer  every task: nevae_se reaches a lower loss than vae (on 100% of 12" in lines  # 3 tasks are no test


def test_few_tasks_with_several_searchers_have_an_answer_each():
    """Mean ranks over two tasks tell nothing where a task alone tells who is better."""
    better = {"symmetry": 0.0, "ink": 2.0}
    records = [
        run(o, m, task=task, searcher=s, instances=12 if task == "symmetry" else 3)
        for task, of_vae in better.items()
        for s in ("adam:lr=0.1", "adam:lr=0.2")
        for o, m in ((of_vae, SPEC.model), (1.0, NEVAE))
    ]
    lines = text(*records).splitlines()
    assert any(line.split()[:5] == ["symmetry", "lowest", "final", "loss:", "vae"] for line in lines)
    assert any(line.split()[:5] == ["ink", "undecided:", "3", "instances,", "a"] for line in lines)


def test_settings_without_common_tasks_have_an_answer_each():
    elsewhere = {"model": Model("vae", "omniglot", "conv"), "task": "ink"}
    lines = text(run(1.0), run(model=NEVAE), run(**elsewhere)).splitlines()
    assert any(line.split()[:4] == ["omniglot50,", "small", "nevae_se", "reaches"] for line in lines)
    assert any(line.split()[:3] == ["ink,", "conv", "undecided:"] for line in lines)


def test_few_tasks_with_few_starts_show_their_medians():
    records = [
        run(1.0 * (m == SPEC.model) + s, m, task=task, searcher=f"adam:lr=0.{s + 1}", instances=2)
        for task in ("ink", "symmetry")
        for m in (SPEC.model, NEVAE)
        for s in range(2)
    ]
    assert [line.split() for line in text(*records).splitlines()[2:7]] == [
        ["final", "loss", "adam", "lr=0.1", "adam", "lr=0.2"],
        ["ink", "nevae_se", "5.50", "6.50"],
        ["ink", "vae", "6.50", "7.50"],
        ["symmetry", "nevae_se", "5.50", "6.50"],
        ["symmetry", "vae", "6.50", "7.50"],
    ]


@pytest.mark.parametrize("elsewhere", [{"task": "ink"}, {"model": Model("vae", "omniglot", "conv")}])
def test_medians_have_a_gap_where_a_searcher_did_not_run(elsewhere):
    """The settings share one searcher, so that nothing is ranked over them."""
    records = [run(float(i), searcher=f"adam:lr=0.{i}") for i in (1, 2)]
    head, *rows, legend = map(
        str.split, text(*records, run(3.0, searcher="adam:lr=0.1", **elsewhere)).splitlines()[2:6]
    )
    assert head == ["final", "loss", "adam", "lr=0.1", "adam", "lr=0.2"]
    assert sorted(row[-2:] for row in rows) == [["11.50", "12.50"], ["13.50", "-"]] and legend[0] == "-:"


def test_task_of_one_instance_is_compared_over_its_random_starts():
    def runs(model, offset):
        return [searched({"random": [[9.0, 1.0 + seed + offset]]}, model=model, init=seed) for seed in range(N)]

    shown = text(*runs(SPEC.model, 0.5), *runs(NEVAE, 0.0))
    assert "of 12 starts" in shown and shown.startswith("omniglot50 (12 starts)")
    few = text(*runs(SPEC.model, 0.5)[:3], *runs(NEVAE, 0.0)[:3])
    assert "undecided: 3 starts, a test needs 10: --seed 0-9." in " ".join(few.split())


def test_repeated_starts_are_no_further_draws():
    """A start that is not random is the same for every seed: ten copies of a search prove nothing."""
    runs = [
        searched({"encoder": [[9.0, 1.0 + offset]]}, model=model, init=seed)
        for model, offset in ((SPEC.model, 0.5), (NEVAE, 0.0))
        for seed in range(N)
    ]
    assert "reaches" not in text(*runs)


def test_many_notes_are_counted():
    comparison = measures(run(1.0), run(model=NEVAE))
    lines = summary(replace(comparison, notes=[f"note {i} " + "long " * 40 for i in range(9)]), COMMANDS)
    notes = [line for line in lines if "note" in line]
    assert len(lines) <= MOST and max(map(len, lines)) <= WIDTH
    assert any(f"(+{9 - len(notes)} more: --all)" in line for line in lines)


def test_dependence_on_the_start_is_compared_by_the_gap():
    shown = " ".join(text(run(1.0, gap=2.0), run(model=NEVAE, gap=0.5)).split())
    assert "Starts nevae_se depends less on the start than vae" in shown


@pytest.mark.parametrize(("models", "searchers"), [(1, 3), (4, 1), (3, 3)])
def test_summary_fits_a_screen(models, searchers):
    records = [
        run(float(i), Model(f"nevae_lp_{i}.0", "omniglot"), searcher=f"adam:lr=0.{s + 1}")
        for i in range(models)
        for s in range(searchers)
    ]
    lines = summary(measures(*records), COMMANDS)
    assert len(lines) <= MOST and max(map(len, lines)) <= WIDTH


def test_control_characters_of_a_name_are_not_printed():
    shown = text(run(1.0, task="./\x1b[31mred.py"), run(model=NEVAE, task="./\x1b[31mred.py"))
    assert "\x1b" not in shown


def test_task_whose_runs_all_failed_is_shown_beside_the_others():
    records = [run(o, m, task=f"ink:target=0.{i}") for i in range(1, 3) for o, m in ((1.0, SPEC.model), (0.0, NEVAE))]
    failed = Record(replace(SPEC, task="symmetry"), "failed", error="ValueError: as written")
    shown = text(*records, failed)
    assert "symmetry" in shown and "as written" in " ".join(shown.split())
    assert "symmetry" in text(run(1.0), run(model=NEVAE), failed)


def test_winner_by_count_whose_losses_are_larger_is_no_winner():
    """Ahead by a little on 26 of 50 instances, far behind on 24: mean ranks and signed ranks disagree."""
    ways = [[99.0, 5.0 + i + (0.001 * (i + 1) if i < 26 else -9.0 - i)] for i in range(50)]
    records = [searched({"random": ways}), searched({"random": [[99.0, 5.0 + i] for i in range(50)]}, model=NEVAE)]
    shown = " ".join(text(*records).split())
    assert (
        "reaches" not in shown and "undecided: nevae_se is ahead on more instances, vae by larger differences" in shown
    )


def test_only_the_best_is_said_to_be_better():
    mid = Model("beta_vae_0.9", "omniglot")
    shown = " ".join(text(run(2.0), run(1e-7, model=mid), run(model=NEVAE)).split())
    assert "a lower loss than vae (p" in shown and "; no significant difference to" in shown and " reach " not in shown


def test_searchers_with_other_limits_stand_in_the_table_and_are_said_not_to_be_compared():
    records = [run(1.0), run(searcher="cmaes:sigma=0.5", budget=300), run(2.0, searcher="sobol:batch=10", budget=300)]
    lines = text(*records).splitlines()
    assert {line.split()[0] for line in lines[3:6]} == {"adam", "cmaes", "sobol"}
    assert any(line.split()[0] == "adam" and "not compared" in line for line in lines[3:6])
    alone = " ".join(text(*records[:2]).split())
    assert "the 2 searchers share no starts, seeds and limits" in alone and "one model" not in alone


BUDGETS = {"adam:lr=0.1": None, "cmaes:sigma=0.5": 300, "sobol:batch=10": 300, "random:batch=10": 300}


def answer(worse: float, *tasks: str, models=(SPEC.model, NEVAE)) -> str:
    """Return the summary of these searchers; each ends so much higher than the one before it."""
    records = [
        run(i * worse, m, searcher=s, budget=b, task=t)
        for t in tasks or ("omniglot50",)
        for m in models
        for i, (s, b) in enumerate(BUDGETS.items())
    ]
    return " ".join(brief_text(*records).split())


def test_searchers_that_are_not_compared_are_counted_beside_the_best_one():
    """Adam ends lowest of all, with another budget."""
    assert "lowest final loss: cmaes in every model (3 of 4 searchers compared)." in answer(1.0)
    assert "no significant difference between 3 of 4 searchers in every model (smallest p = 1)." in answer(0.0)
    over_tasks = answer(1.0, *(f"ink:target=0.{i}" for i in range(10, 19)))
    assert "lowest final loss: cmaes in every model (3 of 4 searchers compared)." in over_tasks


def test_no_count_stands_beside_searchers_that_are_all_compared():
    records = [run(i, m, searcher=s, budget=300) for m in (SPEC.model, NEVAE) for i, s in enumerate(BUDGETS)]
    assert "lowest final loss: adam in every model." in " ".join(brief_text(*records).split())
    assert "4 of 4" not in brief_text(*records) and "compared)" not in brief_text(*records)


def test_searcher_that_ran_in_some_models_only_is_counted():
    records = [run(i, m, searcher=s, budget=300) for m in (SPEC.model, NEVAE) for i, s in enumerate(BUDGETS)]
    some = [r for r in records if not (r.spec.model == NEVAE and r.spec.searcher.startswith("sobol"))]
    assert "lowest final loss: adam in every model (3 to 4 of 4 searchers compared)." in " ".join(
        brief_text(*some).split()
    )


def test_task_of_one_instance_is_not_advised_to_begin_at_the_encoder():
    single = [
        searched({"random": [[9.0, 1.0]]}, task="ink", searcher=s, budget=300) for s in ("cmaes:sigma=0.5", "sobol")
    ]
    assert "each instance has one start; add --seed 0,1." in " ".join(text(*single).split())


LETTERS = ("cmaes:sigma=0.5", "sobol:batch=10", "random:batch=10", "turbo:batch=10")


def starts(seeds, offset=0.0, searcher=LETTERS[0], model=SPEC.model):
    """Searches of a single instance from these random starts."""
    return [
        searched({"random": [[9.0, 1.0 + seed % 12 + offset]]}, model=model, init=seed, searcher=searcher, budget=300)
        for seed in seeds
    ]


def test_run_whose_process_died_makes_no_setting_of_its_own():
    records = [r for i, s in enumerate(LETTERS[:2]) for r in starts(range(12), float(i), s)]
    died = Record(replace(records[0].spec, searcher=LETTERS[2]), "timeout", error="its time was up")
    shown = text(*records, died)
    assert "unknown" not in shown and "Answer  cmaes reaches a lower loss than" in shown and "timeout" in shown
    only = replace(died, spec=replace(died.spec, task="symmetry"))
    assert set(measures(*records, only).runs.device) == {"cpu", "unknown"}


def test_searcher_with_few_seeds_takes_no_answer_from_the_others():
    full = [r for i, s in enumerate(LETTERS[:3]) for r in starts(range(12), float(i), s)]
    shown = " ".join(text(*full, *starts(range(3), -1.0, LETTERS[3])).split())
    assert "Answer cmaes reaches a lower loss than" in shown and "; 3 of 4 searchers compared)" in shown
    assert "12 starts, p = 0.0015" in shown and "turbo" in shown and "undecided: 3 starts" not in shown
    few = " ".join(text(*(r for s in LETTERS[:3] for r in starts(range(4), 0.0, s))).split())
    assert "undecided: 4 starts, a test needs 10" in few


def test_answer_in_one_of_two_models_says_in_which_and_of_how_many_searchers():
    first = [r for i, s in enumerate(LETTERS[:3]) for r in starts(range(12), float(i), s)]
    later = starts(range(12, 15), 0.0, LETTERS[0], NEVAE)
    shown = " ".join(text(*first, *later).split())
    assert "cmaes reaches a lower loss than sobol and random in vae (p = 0.00" in shown
    few = " ".join(text(*(r for s in LETTERS[:2] for r in starts(range(4), 0.0, s)), *later).split())
    assert "undecided in vae: 4 starts, a test needs 10: --seed 0-9." in few
    equal = " ".join(text(*(r for s in LETTERS[:2] for r in starts(range(12), 0.0, s)), *later).split())
    assert "no significant difference between cmaes and sobol in vae (p = 1)." in equal


def test_largest_set_that_shares_seeds_is_compared_where_all_share_none():
    apart = [r for i, s in enumerate(LETTERS[:3]) for r in starts(range(12), float(i), s)]
    apart += [r for i, s in enumerate(LETTERS[2:]) for r in starts(range(12, 24), 9.0 - i, s)]
    shown = " ".join(text(*apart).split())
    assert "cmaes reaches a lower loss than" in shown and "3 of 4 searchers compared" in shown
    assert "share no starts" not in shown and shown.startswith("omniglot50 (12 starts)")


@pytest.mark.parametrize("field", ["task_sha256", "task_package", "searcher_sha256", "source"])
@pytest.mark.parametrize("factor", ["model", "searcher"])
def test_no_winner_is_named_from_results_of_two_versions(field, factor):
    """The searches of half the seeds are of another version of the task, of the searcher, or of their files."""
    second = {"model": {"model": NEVAE}, "searcher": {"searcher": LETTERS[1]}}[factor]

    def of_version(version: str, seeds: range):
        runs = [*starts(seeds), *starts(seeds, 1.0, **second)]
        if field == "source":
            return [replace(r, spec=replace(r.spec, source=version)) for r in runs]
        return [replace(r, versions=r.versions | {field: version}) for r in runs]

    pooled = [*of_version("aa", range(12)), *of_version("bb", range(12, 24))]
    shown = " ".join(text(*pooled).split())
    what = {"s": "searcher's code", "t": "task's code"}[field[0]] if field != "source" else "task's or searcher's file"
    leave_out = f"{field}!=aa"
    option = f"--by {field}" if field.startswith("task") else f"--where '{leave_out}' leaves one out"
    assert f"Answer undecided: the results are of 2 versions of the {what}: {option}." in shown
    assert "reaches" not in shown and " *" not in shown
    assert "reaches a lower loss than" in " ".join(text(*of_version("aa", range(12))).split())
    by = [field] if field.startswith("task") else []
    one = pooled if by else chosen(pooled, conditions([leave_out], {}, pooled))
    split = "\n".join(summary(compare(one, None, by=by)))
    assert "the results are of" not in split
    assert "lowest final loss" in split or "reaches a lower loss than" in " ".join(split.split())


def test_models_without_common_seeds_are_marked_in_the_matrix():
    rae = Model("rae", "omniglot")
    runs = [
        r for s in LETTERS[:2] for i, m in enumerate((SPEC.model, NEVAE)) for r in starts(range(12), float(i), s, m)
    ]
    lines = text(*runs, *(r for s in LETTERS[:2] for r in starts(range(20, 23), 0.0, s, rae))).splitlines()
    (row,) = (line.split() for line in lines if line.startswith("  rae "))
    assert all(cell.endswith("?") for cell in row[1:])
    assert any("?: not compared with the others of its column" in line for line in lines)


def test_budgets_of_a_searcher_are_compared_apart():
    records = [
        run(o, searcher=s, budget=b) for b in (300, 900) for o, s in ((1.0, "cmaes:sigma=0.5"), (0.0, "sobol:batch=10"))
    ]
    lines = text(*records).splitlines()[3:7]
    assert [line.split()[0] for line in lines] == ["sobol", "cmaes"] * 2
    assert [line.rstrip().endswith("best") for line in lines] == [True, False] * 2


def test_budgets_are_called_evaluations_in_an_answer():
    runs = [
        run(o, m, searcher=s, budget=b, max_steps=b)
        for b in (40, 80)
        for m in (SPEC.model, NEVAE)
        for o, s in ((1.0, "cmaes:sigma=0.5"), (0.0, "sobol:batch=10"))
    ]
    for i in range(4):
        runs[i] = replace(runs[i], members=[replace(m, loss=9.0, best=9.0) for m in runs[i].members])
    shown = " ".join(text(*runs).split())
    assert "(40 ev.)" in shown and "(80 ev.)" in shown and "40 steps" not in shown


def test_rows_split_by_a_field_are_compared_within_its_values():
    records = [
        run(o, searcher=s, init=seed) for seed in (0, 1) for o, s in ((1.0, "cmaes:sigma=0.5"), (0.0, "sobol:batch=10"))
    ]
    shown = "\n".join(summary(compare(records, None, by=["seed.init"])))
    assert "lowest final loss: sobol" in shown


def test_columns_without_room_are_counted():
    models = [Model(f"nevae_lp_{i}.123456", "omniglot") for i in range(5)]
    records = [run(float(i), searcher=f"adam:lr=0.{i + 1}23456789", model=m) for i in range(5) for m in models]
    shown = brief_text(*records)
    assert "more columns: --all" in shown and max(map(len, shown.splitlines())) <= WIDTH


def test_matrix_is_turned_where_only_so_its_columns_have_room():
    searchers = [f"adam:lr=0.{i + 1}23456789" for i in range(5)]
    shown = brief_text(*(run(float(i), searcher=s, model=m) for i, s in enumerate(searchers) for m in (NEVAE, BETA)))
    (header,) = (line.split() for line in shown.splitlines() if line.startswith("  final loss"))
    assert header == ["final", "loss", "beta_vae_0.9", "nevae_se"] and "more column" not in shown
    assert all(f"  adam lr=0.{i + 1}23456789 " in shown for i in range(5))


def test_column_is_called_a_row_where_the_matrix_is_turned():
    searchers = [f"cmaes:sigma=0.{i + 1}23456789" for i in range(5)]
    models = [(0.0, SPEC.model), (1.0, NEVAE)]
    runs = [r for s in searchers for offset, m in models for r in starts(range(12), offset, s, m)]
    shown = brief_text(*runs, *(r for s in searchers for r in starts(range(20, 23), 0.0, s, BETA)))
    assert "?: not compared with the others of its row" in shown


def test_answer_says_of_which_starts_it_is_and_who_is_best_from_others():
    """From random starts nevae_se is better by 1, from the encoder's worse by 2."""
    both = [r for s in LETTERS[:2] for r in (run(1.0, searcher=s), run(model=NEVAE, gap=3.0, searcher=s))]
    for records in (both, both[:2]):
        shown = " ".join(brief_text(*records).split())
        assert ". From random starts; not from encoder starts: vae" in shown
    alike = [r for s in LETTERS[:2] for r in (run(1.0, searcher=s), run(model=NEVAE, searcher=s))]
    assert "nevae_se with every searcher. From random starts; the same from encoder starts." in " ".join(
        brief_text(*alike).split()
    )


def test_answer_names_the_models_in_which_another_start_has_another_winner():
    records = [
        run(1.0, SPEC.model, searcher=LETTERS[0]),
        run(0.0, SPEC.model, gap=3.0, searcher=LETTERS[1]),
        run(1.0, NEVAE, searcher=LETTERS[0]),
        run(0.0, NEVAE, searcher=LETTERS[1]),
    ]
    shown = " ".join(brief_text(*records).split())
    assert (
        "lowest final loss: sobol in every model. From random starts; not from encoder starts: cmaes in vae." in shown
    )


@pytest.mark.parametrize("trainings", [1, 2])
def test_instances_of_one_start_are_no_pairs_however_many_trainings_there_are(trainings):
    """Two checkpoints of a model search each instance twice, but each from one start."""
    records = [
        searched({"random": [[9.0, 5.0 + i] for i in range(N)]}, model=m, searcher=s, checkpoint=str(t) * 64)
        for t in range(trainings)
        for m in (SPEC.model, NEVAE)
        for s in LETTERS[:2]
    ]
    shown = " ".join(brief_text(*records).split())
    assert "Starts undecided: each instance has one start; add --starts random,encoder or --seed 0,1." in shown


def test_reason_over_two_tasks_is_whole():
    records = [run(task="symmetry"), run(1.0, task="symmetry", model=NEVAE)]
    records += [searched({"random": [[9.0, 5.0]] * N}, task="ink", model=m) for m in (SPEC.model, NEVAE)]
    shown = brief_text(*records)
    assert "no two tasks share two models or searchers, seeds and limits." in shown


def test_medians_of_tasks_stand_beside_mean_ranks_whatever_else_ran_there():
    """Another searcher and another model ran on one task, where the label of a searcher has its region."""
    shared = [
        run(o, searcher=s, task=t) for t in ("symmetry", "ink") for o, s in ((0.0, LETTERS[0]), (1.0, LETTERS[1]))
    ]
    further = [run(searcher=LETTERS[0], region="box:3", task="ink"), run(model=NEVAE, searcher=LETTERS[2], task="ink")]
    rows = [
        line.split() for line in brief_text(*shared, *further).splitlines() if line.startswith(("  cmaes", "  sobol"))
    ]
    assert rows == [["cmaes", "1.00", "10.50", "10.50"], ["sobol", "2.00", "11.50", "11.50"]]


def test_mean_ranks_of_one_latent_space_have_no_medians_of_another():
    small = [run(o, m, task=t) for t in ("ink", "symmetry") for o, m in ((1.0, SPEC.model), (0.0, NEVAE))]
    conv = [run(70.0, replace(m, arch="conv"), task="ink") for m in (SPEC.model, NEVAE)]
    text = brief_text(*small, *conv)
    assert "mean rank" in text and "80.50" not in text


def test_empty_place_of_a_table_has_a_sign_that_is_explained():
    two = [run(o, m, task=f"ink:target=0.{i}") for i in (1, 2) for o, m in ((1.0, SPEC.model), (0.0, NEVAE))]
    assert "-: no result from these starts" not in brief_text(*two)
    three = brief_text(*two, run(task="symmetry", model=NEVAE))
    (row,) = (line for line in three.splitlines() if line.startswith("  vae "))
    assert row.rstrip().endswith("-") and "  -: no result from these starts" in three
    pairs = [(SPEC.model, LETTERS[0]), (SPEC.model, LETTERS[1]), (NEVAE, LETTERS[0])]
    matrix = brief_text(*(run(model=m, searcher=s) for m, s in pairs))
    assert "  -: no result from these starts" in matrix


def test_two_undecided_answers_say_which_is_of_models_and_which_of_searchers():
    pairs = [(m, s) for m in (SPEC.model, NEVAE) for s in LETTERS[:2]]
    few = [run(model=m, searcher=s, instances=3, task="symmetry") for m, s in pairs]
    apart = [run(model=SPEC.model, searcher=s, instances=3, task="symmetry") for s in LETTERS[2:3]]
    shown = " ".join(brief_text(*few, *apart).split())
    assert re.search("undecided between models [^:]*: 3 instances", shown)
    assert "undecided between searchers: 3 instances" in shown


def test_hash_that_splits_rows_is_short_and_rows_have_their_columns():
    records = [
        run(o, m, searcher=s, checkpoint=f"{i}0" * 32)
        for s in LETTERS[:2]
        for i, (o, m) in enumerate(((0.0, SPEC.model), (1.0, NEVAE), (2.0, BETA)))
    ]
    shown = "\n".join(summary(brief(records, by=["checkpoint"])))
    assert "cmaes checkpoint=00000000 " in shown and "0" * 9 not in shown and "more column" not in shown


def test_note_on_pooled_weights_stands_once_and_says_how_to_split_them():
    records = [run(searcher=s, checkpoint=str(i) * 64, init=i) for s in LETTERS[:2] for i in range(2)]
    notes = [note for note in measures(*records).notes if "different weights" in note]
    assert notes == [
        "omniglot50: runs of vae with different weights are pooled in one row (cmaes; sobol); "
        "--by checkpoint splits them."
    ]
    assert not [note for note in measures(*records, by=["checkpoint"]).notes if "different weights" in note]


def test_answers_in_full_have_the_names_that_the_summary_cuts():
    searchers = [f"cmaes:sigma=0.{i}25,population=1{i}" for i in range(1, 7)]
    records = [run(float(i), m, searcher=s) for m in (SPEC.model, NEVAE) for i, s in enumerate(searchers)]
    written = " ".join(full_answers.text(brief(records)).split())
    assert written.startswith("omniglot50 · small, d = 32 Answer ")
    best = "owest final loss: cmaes sigma=0.125 population=11 in every model."
    assert best in written and "…" not in written and best not in brief_text(*records)
