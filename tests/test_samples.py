"""Searchers whose points are samples: what they ask for, against exact laws, and what a run of them records."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_vae, squares
from made import measures
from torch.nn.functional import one_hot

from lso_bench.analysis.caveats import caveats
from lso_bench.errors import UsageError
from lso_bench.report import tables
from lso_bench.report.sections import sections
from lso_bench.runner.run import run
from lso_bench.runner.starting_codes import starting_latents
from lso_bench.runner.starting_samples import starting_samples
from lso_bench.runner.validation import check_fit
from lso_bench.search import SEARCHERS, Problem, Searcher
from lso_bench.search.controls import control, searches_samples
from lso_bench.search.evolution import evolve
from lso_bench.search.space import Space
from lso_bench.search.training_samples import NO_ROW, TrainingSamples
from lso_bench.searchers.image_ga import ImageGA, rectangles
from lso_bench.searchers.string_ga import StringGA, compacted, joined_at
from lso_bench.spec import Spec
from lso_bench.store.store import Store
from lso_bench.tasks.ink import Ink
from lso_bench.testing import examine_searcher
from lso_bench.vae.architectures import architecture
from lso_bench.vae.architectures.conv import Conv
from lso_bench.vae.checkpoint import save_model, sha256
from lso_bench.vae.data import Dataset
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.trained_model import Model

TEXTS = "expressions:rules=6,count=500"
PLAIN = Conv(latent=4, encoder=2, hidden=8, channels=2)


def numbers(n, k, starts=1):
    """A problem of k finite sets 0 .. n - 1, each number a sample; the starts are the first ones."""
    stored = torch.arange(n, dtype=torch.float32)[:, None]
    rows = torch.arange(starts).expand(k, -1)
    samples = TrainingSamples(stored, (1,), "gaussian:bounded=false", rows)
    return Problem(samples.points(rows, torch.Generator(), stored), samples=samples)


def asked(searcher, problem, score, budget):
    """The points that a search asks for up to its budget, and their scores: (k, n, d) and (k, n)."""
    search, z, y = searcher.search(problem), [], []
    points = next(search)
    while True:
        z.append(points)
        y.append(score(points))
        if sum(part.shape[1] for part in z) >= budget:
            return torch.cat(z, 1)[:, :budget], torch.cat(y, 1)[:, :budget]
        points = search.send(y[-1])


def every_point(searcher, problem):
    """All points of a search that ends by itself, (k, n)."""
    search, z = searcher.search(problem), []
    points = next(search)
    while True:
        z.append(points[..., 0])
        try:
            points = search.send(torch.zeros(z[-1].shape))
        except StopIteration:
            return torch.cat(z, 1)


def test_best_of_screened_samples_is_distributed_as_that_of_draws_without_replacement():
    """The best of N of the numbers 1 .. T is at most m with probability C(m, N) / C(T, N)."""
    t, n, k = 59, 7, 3000
    problem = replace(numbers(t + 1, k), starts=torch.zeros(k, 1, 1))
    z, _ = asked(SEARCHERS.build("screening:batch=3"), problem, lambda z: z[..., 0], n + 1)
    best = z[..., 0].amax(1).numpy()  # the start, 0, is lower than all that is drawn
    law = np.array([math.comb(m, n) / math.comb(t, n) for m in range(t + 1)])
    empirical = np.array([(best <= m).mean() for m in range(t + 1)])
    assert np.abs(empirical - law).max() < 1.95 / math.sqrt(
        k
    )  # Kolmogorov's 0.999 quantile; discrete laws are below it


@pytest.mark.parametrize(("batch", "starts"), [(1, 1), (4, 1), (7, 2), (100, 3)])
def test_screening_takes_every_sample_once_and_ends(batch, starts):
    z = every_point(SEARCHERS.build(f"screening:batch={batch}"), numbers(23, 2, starts))
    assert (z.sort(1).values == torch.arange(23.0)).all() and not torch.equal(z[0], z[1])
    assert (z[:, :starts] == torch.arange(float(starts))).all()


def test_screening_of_problems_with_other_starts_takes_every_sample_of_each():
    problem = numbers(9, 2)
    rows = torch.tensor([[0], [NO_ROW]])  # the start of the second is no training sample
    problem = replace(problem, samples=replace(problem.samples, start_rows=rows))
    z = every_point(SEARCHERS.build("screening:batch=4"), problem)
    assert sorted(z[0, :9].tolist()) == [*range(9)] and z[0, 9:].isnan().all()
    assert sorted(z[1, 1:].tolist()) == [*range(9)]


def test_screened_bernoulli_image_is_drawn_from_its_grey_levels():
    stored = torch.full((4000, 1, 4, 4), 51, dtype=torch.uint8)  # a fifth
    rows = torch.arange(4000)[None]
    samples = TrainingSamples(stored, (1, 4, 4), "bernoulli", rows)
    x = samples.points(rows, torch.Generator().manual_seed(0), torch.zeros(1))
    assert ((x == 0) | (x == 1)).all() and abs(x.mean() - 0.2) < 4 * math.sqrt(0.16 / x.numel())


GLYPHS = Dataset("glyphs", (squares(40, 1) * 255).to(torch.uint8), squares(2), squares(30), "")


def test_start_of_data_is_the_sample_at_whose_code_latent_searches_begin():
    space, task = Space(random_vae(PLAIN), "mean"), Ink()
    x, training = starting_samples(["data:3", "random:3"], 5, task, space, GLYPHS)
    codes = starting_latents("data:3", 5, task, space, GLYPHS)[0]
    torch.testing.assert_close(space.means(x[0].view(3, 1, 28, 28)), codes)
    assert torch.equal(x, GLYPHS.train[training.start_rows].flatten(2) / 255) and not torch.equal(x[0], x[1])


def test_start_that_is_no_training_sample_is_decoded():
    space, task = Space(random_vae(PLAIN), "mean"), Ink()
    x, training = starting_samples(["data", "origin"], 5, task, space, GLYPHS)
    torch.testing.assert_close(x[1:], space.decode(torch.zeros(1, 1, 4)).flatten(2))
    assert training.start_rows[1].tolist() == [NO_ROW]


def family(tokens, v, n, **settings):
    """Offspring of one sequence, as tokens (n, t)."""
    searcher = StringGA(crossover=0.0, **settings)
    parents = one_hot(torch.tensor(tokens), v).flatten().float().expand(1, n, -1)
    children = searcher._vary((len(tokens), v), parents, parents, torch.Generator().manual_seed(0))
    return children.view(n, len(tokens), v).argmax(-1)


def near(count, n, chance):
    """True if a count of n trials is within 4 standard deviations of its chance."""
    return abs(count - n * chance) < 4 * math.sqrt(n * chance * (1 - chance))


def test_token_changes_with_its_exact_chance_into_each_other_symbol_alike():
    """It changes at the rate p, or alone, if none of the L does: p + (1 - p)^L / L."""
    n, p, parent = 20_000, 0.1, [1, 2, 3, 4, 5, 0, 0]
    children = family(parent, 6, n, mutation=p, indels=0.0)
    changed = children != torch.tensor(parent)
    assert not changed[:, 5:].any() and changed.any(1).all()
    assert all(near(int(changed[:, i].sum()), n, p + 0.9**5 / 5) for i in range(5))
    into = children[changed[:, 0], 0].bincount(minlength=6)
    assert into[0] == into[1] == 0 and all(near(int(c), int(into.sum()), 0.25) for c in into[2:])


def test_single_insertion_or_deletion_gives_each_neighbour_of_that_kind():
    parent, n = [1, 2, 3, 0], 4000
    children = {tuple(c) for c in family(parent, 4, n, mutation=1e-9, indels=1.0).tolist()}
    deleted = {(2, 3, 0, 0), (1, 3, 0, 0), (1, 2, 0, 0)}
    inserted = {(*parent[:i], s, *parent[i:3]) for i in range(3) for s in {1, 2, 3} - {parent[i]}}
    assert children == deleted | inserted


def test_sequence_of_which_nothing_is_left_stays_as_it_is():
    assert family([1, 0, 0], 3, 500, mutation=1.0, indels=1.0)[:, 0].all()


def test_parents_are_joined_at_every_place_alike():
    n = 8000
    a, b = torch.tensor([1, 1, 1, 1, 0]).expand(1, n, 5), torch.tensor([2, 2, 2, 2, 2]).expand(1, n, 5)
    children = joined_at(a, b, torch.rand(1, n, generator=torch.Generator().manual_seed(0)))[0]
    counts = {
        tuple(c): k for c, k in zip(*(x.tolist() for x in children.unique(dim=0, return_counts=True)), strict=True)
    }
    assert counts.keys() == {(1, 2, 2, 2, 2), (1, 1, 2, 2, 2), (1, 1, 1, 2, 2)}
    assert all(near(k, n, 1 / 3) for k in counts.values())


def test_holes_are_moved_to_the_end():
    assert compacted(torch.tensor([[[0, 3, 0, 1, 2, 0]]])).tolist() == [[[3, 1, 2, 0, 0, 0]]]


def test_pixel_changes_with_its_exact_chance():
    n, p, d = 20_000, 0.1, 9
    parents = torch.zeros(1, n, d)
    children = ImageGA(crossover=0.0, mutation=p)._vary((1, 3, 3), parents, parents, torch.Generator().manual_seed(0))
    assert ((children == 0) | (children == 1)).all() and children.any(-1).all()
    assert all(near(int(count), n, p + 0.9**d / d) for count in children[0].sum(0))


def test_row_is_in_the_rectangle_of_the_other_parent_with_its_exact_chance():
    n, h = 20_000, 5
    inside = rectangles((1, n), (1, h, 3), torch.Generator().manual_seed(0)).view(n, h, 3).any(2)
    for i in range(h):  # it is not where both ends are above it, or both below
        assert near(int(inside[:, i].sum()), n, 1 - (i / h) ** 2 - ((h - 1 - i) / h) ** 2)


def test_image_of_two_parents_has_the_pixels_of_both():
    a, b = torch.zeros(1, 500, 16), torch.ones(1, 500, 16)
    children = ImageGA(crossover=1.0, mutation=1e-9)._vary((1, 4, 4), a, b, torch.Generator().manual_seed(0))[0]
    for image in children.view(-1, 4, 4).bool():  # the second parent's pixels are a rectangle
        rows, columns = image.any(1), image.any(0)
        assert image.any() and torch.equal(image, rows[:, None] & columns)


def test_colour_image_of_two_parents_has_one_rectangle_in_all_channels():
    a, b = torch.zeros(2, 300, 36), torch.ones(2, 300, 36)
    children = ImageGA(crossover=1.0, mutation=1e-9)._vary((3, 4, 3), a, b, torch.Generator().manual_seed(0))
    images = children.view(-1, 3, 4, 3).bool()
    assert torch.equal(images, images[:, :1].expand_as(images))
    for image in images[:, 0]:
        assert torch.equal(image, image.any(1)[:, None] & image.any(0))


def test_parents_are_the_best_distinct_points_and_newer_ones_of_equal_score():
    asked_for, problem = [], numbers(50, 2)

    def vary(first, second, seeded):
        asked_for.append(torch.cat([first, second], 1)[..., 0])
        return torch.full_like(first, 100.0 + len(asked_for))

    search = evolve(problem, 4, 300, vary)
    z = [next(search)]
    z.append(search.send(torch.zeros(2, 1)))
    z.append(search.send(-z[1][..., 0]))  # the smallest are best; the start has 0
    first = torch.cat([z[0], z[1]], 1)[..., 0].sort(1).values[:, :4]
    assert all(torch.equal(asked_for[0][i].unique(), first[i]) for i in range(2))
    search.send(torch.zeros(2, 300))  # all of them are 101, and as good as the start
    assert all(asked_for[1][i].unique().tolist()[:2] == [0, first[i, 1]] for i in range(2))
    assert all(101 in asked_for[1][i] and len(asked_for[1][i].unique()) == 4 for i in range(2))


def ehrlich_best(name, budget, k=5):
    """Mean over problems of the best score of a search on the small Ehrlich function."""
    source = DATASETS.build("ehrlich:states=20,length=15,motifs=2,count=20000")
    rows = torch.arange(k)[:, None]
    samples = TrainingSamples(torch.from_numpy(source.samples(Path())), source.shape, source.likelihood, rows)
    starts = samples.points(rows, torch.Generator(), torch.empty(0))

    def score(z):
        texts = source.texts(z.unflatten(-1, source.shape).argmax(-1).flatten(0, 1).numpy())
        values = [-0.1 if s is None else s for s in source.function().scores(texts)]
        return torch.tensor(values).view(z.shape[:2])

    return asked(SEARCHERS.build(name), Problem(starts, samples=samples), score, budget)[1].amax(1).mean().item()


def test_string_ga_climbs_higher_than_screening_on_an_ehrlich_function():
    assert ehrlich_best("string_ga", 1000) > ehrlich_best("screening", 1000) + 0.1


@pytest.fixture
def recorded(tmp_path):
    """The record of a search of texts, in an untrained model."""

    def record(searcher, **how):
        arch, path = "parallel:hidden=8,layers=1,embedding=3", tmp_path / "model.safetensors"
        save_model(path, random_vae(architecture(arch, 3, (5, 12), "categorical:vocabulary=12")), {"made": "by a test"})
        how = {"max_steps": 50, "budget": 40, "thresholds": (), "decoding": "greedy", "region": "box:3"} | how
        task = f'expression:data="{TEXTS}"'
        spec = Spec(Model("vae", TEXTS, arch, 3), sha256(path), task, searcher, starts=("random", "origin"), **how)
        return run(spec, path)

    return record


@pytest.mark.parametrize("searcher", ["screening", "string_ga:population=10"])
def test_run_of_samples_keeps_its_budget_and_has_no_latents(recorded, searcher, tmp_path):
    Store(tmp_path / "r").add(recorded(searcher))
    (record,) = Store(tmp_path / "r")
    assert record.status == "ok" and all(m.stopped == "budget" and m.evaluations == 40 for m in record.members)
    assert record.counts["decodes"] == 0 and record.counts["evaluations"] == 80 and record.counts["distinct_texts"] > 1
    assert all(math.isnan(m.distance_to_prior + m.consistency) and math.isnan(m.norm_u) for m in record.members)
    tensors = Store(tmp_path / "r").tensors(record.spec)
    assert tensors["z"].isnan().all() and tensors["z"].shape == (2, 3) and len(tensors["decoded"]) == 2


def test_screened_run_ends_when_all_training_samples_were_scored(recorded):
    random_start, origin = recorded("screening:batch=64", budget=None, max_steps=1000).members
    assert random_start.stopped == origin.stopped == "finished"
    assert (random_start.evaluations, origin.evaluations) == (400, 401)  # 400 are of training, and one is decoded


def test_searches_of_samples_do_not_depend_on_the_model(recorded, tmp_path):
    first = recorded("screening").members[0]
    arch, path = "parallel:hidden=8,layers=1,embedding=3", tmp_path / "other.safetensors"
    save_model(path, random_vae(architecture(arch, 3, (5, 12), "categorical:vocabulary=12"), 1), {"made": "by a test"})
    how = {"max_steps": 50, "budget": 40, "thresholds": (), "decoding": "greedy", "region": "box:3"}
    spec = Spec(Model("vae", TEXTS, arch, 3), sha256(path), f'expression:data="{TEXTS}"', "screening", **how)
    assert run(replace(spec, starts=("random",)), path).members[0].loss == first.loss


def test_tables_show_a_dash_for_what_a_search_of_samples_has_not(recorded):
    comparison = measures(recorded("screening"), recorded("sobol"), recorded("random"))
    text = tables.markdown(comparison)
    rows = [line for line in text.splitlines() if line.startswith("| vae | screening | random | 1 |")]
    assert rows[0].endswith("| - |")  # |z| of the final losses
    assert "| - | - |" in rows[1]  # |z| and the latent consistency, beside the objective
    assert "Controls: random (draws from the prior), screening (training samples as they are)" in text
    (section,) = sections(comparison)
    described = {name.split(":")[0]: d for name, d in section.searcher_descriptions.items()}
    assert "samples in place of latents" in described["screening"] and "region box:3" in described["sobol"]
    basins = comparison.measures[comparison.measures.measure == "basin"]
    assert "screening" not in set(basins.searcher.str.partition(":")[0])


@pytest.mark.parametrize(
    ("kind", "points", "says"),
    [
        ("sequences", lambda z: z + 0.5, "a position that is not one token, a 1 among zeros"),
        ("sequences", lambda z: z.unflatten(-1, (6, 5)).flip(2).flatten(2), "a token after the end"),
        ("images", lambda z: z + 0.5, "a pixel outside 0 and 1"),
    ],
)
def test_points_that_are_no_samples_are_named_by_the_check(kind, points, says):
    @dataclass(frozen=True)
    class Faulty(Searcher):
        """Spoils the starts."""

        space = "samples"
        takes = kind

        def search(self, problem):
            yield problem.starts
            while True:
                yield points(problem.starts)

    assert [f.missing for f in examine_searcher(Faulty(), 4) if f.promise == "samples"] == [
        f"wanted points that are {kind} as a model gets them, got {says}; lay each sample out in a row"
    ]


def test_training_texts_are_no_caveat_of_screening(recorded):
    screened, evolved = recorded("screening"), recorded("string_ga:population=40")  # training texts alone, too
    lines = [line for line in caveats([screened, evolved]) if "stands in the training set" in line]
    assert lines and all("string_ga" in line and "screening" not in line for line in lines)


def test_uniform_draws_are_no_control():
    assert (
        control("random:uniform=False,batch=10") and not control("random:uniform=True,batch=10") and not control("bo")
    )


def test_searcher_of_a_result_that_is_no_notation_is_no_control_and_searches_latents():
    assert control('screening:batch="1') == "" and not searches_samples('screening:batch="1')


@pytest.mark.parametrize(("searcher", "data"), [("string_ga", "glyphs"), ("image_ga", TEXTS)])
def test_samples_that_a_searcher_does_not_take_are_refused(searcher, data):
    spec = Spec(Model("vae", data, "mlp", 4), "0" * 64, f'ink:data="{data}"', searcher, starts=("random",), budget=50)
    with pytest.raises(UsageError, match=f"{searcher}' searches .*, and samples of {data} are .*; choose screening"):
        check_fit(replace(spec, decoding="mean"), Ink(data=data), SEARCHERS.build(searcher))
