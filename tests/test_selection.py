"""Runs chosen, and rows split, by the fields of their specs."""

from dataclasses import replace

import pytest
from made import measures, searched

from lso_bench.analysis.fields import Condition, chosen, conditions, named, value
from lso_bench.errors import UsageError
from lso_bench.vae.trained_model import Model

RUNS = [
    searched({"random": [[9.0, 1.0 + i]] * 2}, init=seed, search=0, searcher=f"adam:lr={lr},beta1=0.9", model=model)
    for i, model in enumerate(
        (Model("vae", "omniglot"), Model("beta_vae_0.9", "omniglot"), Model("nevae_se", "omniglot"))
    )
    for lr in ("0.1", "0.01")
    for seed in (0, 1)
]


def kept(field, relation, *values):
    return chosen(RUNS, [Condition(named(field, RUNS), relation, values)])


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        (("task", "=", "omniglot50"), 12),
        (("searcher", "=", "adam"), 12),
        (("searcher", "=", "adam:lr=0.1,beta1=0.9"), 6),
        (("model", "=", "vae", "nevae_se"), 8),
        (("model.name", "!=", "vae"), 8),
        (("seeds.init", "=", "1"), 6),
        (("init", ">", "0"), 6),
        (("lr", "=", "1e-1"), 6),
        (("searcher.lr", "<", "0.1"), 6),
        (("lr", ">=", "0.01"), 12),
        (("beta", "<", "1"), 4),
        (("status", "=", "ok"), 12),
        (("budget", "=", "none"), 12),
        (("joint", "=", "false"), 12),
    ],
)
def test_condition_keeps_the_runs_that_it_says(condition, count):
    assert len(kept(*condition)) == count


def test_condition_that_no_run_meets_names_what_there_is():
    with pytest.raises(UsageError, match=r"No run has seed\.init=7; there seed\.init is '0', '1'"):
        kept("seed.init", "=", "7")


def test_hash_is_known_by_its_first_digits():
    digest = "c8c4817a" + "0" * 56
    runs = [replace(r, spec=replace(r.spec, source=digest if i else "ff" * 32)) for i, r in enumerate(RUNS)]
    (left_out,) = conditions(["source!=c8c4817a"], {}, runs)
    assert chosen(runs, [left_out]) == runs[:1]
    with pytest.raises(UsageError, match="there source is 'c8c4817a', 'ffffffff'"):
        chosen(runs, conditions(["source=aaaaaaaa"], {}, runs))


@pytest.mark.parametrize(
    ("field", "says"),
    [("taks", "Did you mean 'task'?"), ("seed", "say seed.init or seed.search or seed.train"), ("lrr", "'lr'?")],
)
def test_unknown_or_ambiguous_field_is_explained(field, says):
    with pytest.raises(UsageError) as error:
        named(field, RUNS)
    assert says in str(error.value)


def test_file_that_a_result_names_as_its_model_is_not_run(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    run = searched({"random": [[9.0, 1.0]]}, model=Model(f"{path}:pull=2", "omniglot"))
    assert value(run, "model.pull") == 2.0
    assert not (tmp_path / "ran").exists()


def test_rows_are_split_by_a_field_and_only_then():
    pooled, split = measures(*RUNS), measures(*RUNS, by=("seed.init", "model.beta", "model.reduction"))
    losses = split.measures[split.measures.measure == "loss"]
    assert len(losses) == 12 and len(pooled.measures[pooled.measures.measure == "loss"]) == 6
    assert sorted(losses["seed.init"].unique()) == ["0", "1"] and set(losses.n) == {2}
    assert set(losses[losses.model == "beta_vae_0.9"]["model.beta"]) == {"0.9"}
    assert set(losses[losses.model == "nevae_se"]["model.reduction"]) == {"mean"}
    assert set(losses[losses.model == "vae"]["model.reduction"]) == {""}  # it has none


def test_split_rows_stand_in_the_order_of_their_numbers():
    runs = [searched({"random": [[9.0, 1.0]] * 2}, init=seed) for seed in (10, 9, 0)]
    table = measures(*runs, by=("seed.init",)).measures
    assert table[table.measure == "loss"]["seed.init"].tolist() == ["0", "9", "10"]


@pytest.mark.parametrize("condition", [("prior", "true"), ("prior", "True"), ("searcher", "sobol:prior=true")])
def test_truths_are_chosen_as_they_are_given_to_a_run(condition):
    both = [searched({"random": [[9.0]]}, searcher=f"sobol:prior={p},batch=10") for p in (True, False)]
    field, truth = condition
    (run,) = chosen(both, [Condition(named(field, both), "=", (truth,))])
    assert run is both[0] and value(run, "searcher.prior") is True


def test_several_starts_are_one_value_and_the_values_that_a_message_offers_can_be_typed():
    both = [searched({"random": [[9.0, 1.0]], "encoder": [[9.0, 1.0]]}), searched({"random": [[9.0, 1.0]]}, init=1)]

    def starts(condition):
        return [r.spec.starts for r in chosen(both, conditions([condition], {}, both))]

    assert starts("starts=encoder,random") == [("random", "encoder")]
    assert starts("starts=random") == starts("starts!=random,encoder") == [("random",)]
    with pytest.raises(UsageError, match="there starts is 'random', 'random,encoder'"):
        starts("starts=origin")
