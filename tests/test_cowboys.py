"""COWBOYS: the law of its chains, its process and its kernels against closed forms, and what it proposes."""

import sys
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import chi, kstest, multivariate_normal, norm, truncnorm

from lso_bench.errors import PluginError, UsageError
from lso_bench.search import SEARCHERS, Problem
from lso_bench.search.clock import Clock
from lso_bench.search.crank_nicolson import accepted, proposed
from lso_bench.search.kernel_matrix_process import LEAST_NOISE, fit, log_exceedance
from lso_bench.search.prior_draws import are_inside, draws_inside
from lso_bench.search.region import Region, build
from lso_bench.search.sample_evidence import Decoder, Evidence
from lso_bench.search.sample_kernels import Molecules, Pixels, Strings, counts_of_kmers
from lso_bench.search.sample_walks import Walks
from lso_bench.search.space import Space
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.testing.linear_model import example_model, example_space
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.text_samples import TextSamples

with_rdkit = pytest.mark.skipif(
    not all(map(find_spec, ("rdkit", "selfies"))), reason="the extra `molecules` is not installed"
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def walked(z, beta, steps, log_likelihood):
    """End of chains of one problem, by the two rules alone."""
    chance, value, beta = seeded(1), log_likelihood(z), torch.tensor([beta], dtype=torch.float64)
    for _ in range(steps):
        new = proposed(z, beta, torch.randn(z.shape, generator=chance, dtype=torch.float64))
        after = log_likelihood(new)
        moved = accepted(value, after, torch.rand(value.shape, generator=chance, dtype=torch.float64))
        z, value = torch.where(moved[..., None], new, z), torch.where(moved, after, value)
    return z


def law_on_grid(log_likelihood, low=-8.0, high=8.0):
    """Distribution function of the prior times a likelihood in one dimension, by quadrature."""
    grid = torch.linspace(low, high, 8001, dtype=torch.float64)
    density = (-grid.square() / 2 + log_likelihood(grid)).exp()
    mass = torch.cumulative_trapezoid(density, grid)
    return lambda u: np.interp(u, grid[1:].numpy(), (mass / mass[-1]).numpy())


@pytest.mark.parametrize("beta", [0.01, 0.3, 0.9, 1.0])
def test_proposal_is_reversible_with_respect_to_the_prior(beta):
    """Check p(z) q(z' | z) = p(z') q(z | z'), with the densities of SciPy."""
    z, new = normal(1, 5, 3), normal(1, 5, 3, seed=1)
    share = torch.tensor([beta], dtype=torch.float64)

    def log_joint(a, b):
        mean = proposed(a, share, torch.zeros_like(a))
        return norm.logpdf(a).sum(-1) + norm.logpdf(b, mean, beta).sum(-1)

    np.testing.assert_allclose(log_joint(z, new), log_joint(new, z), rtol=1e-10)
    torch.testing.assert_close(proposed(z, share, new) - proposed(z, share, 0 * new), beta * new)


def test_chains_without_a_likelihood_keep_the_prior():
    z = walked(normal(1, 4000, 2), 0.4, 30, lambda z: torch.zeros(z.shape[:2]))
    for coordinate in z[0].T:
        assert kstest(coordinate.numpy(), norm.cdf).pvalue > 0.01
    assert abs(np.corrcoef(z[0].T)[0, 1]) < 3 / 4000**0.5


def test_chains_from_a_point_reach_the_prior():
    z = walked(torch.full((1, 4000, 1), 3.0, dtype=torch.float64), 0.6, 60, lambda z: torch.zeros(z.shape[:2]))
    assert kstest(z.flatten().numpy(), norm.cdf).pvalue > 0.01


def test_chains_have_the_law_of_prior_times_likelihood():
    def log_likelihood(z):
        return torch.special.log_ndtr(3 * (z.abs() - 1.2))

    z = walked(normal(1, 3000, 1), 0.6, 150, lambda z: log_likelihood(z[..., 0])).flatten().numpy()
    assert kstest(z, law_on_grid(log_likelihood)).pvalue > 0.01
    assert kstest(z, norm.cdf).pvalue < 1e-6


@pytest.mark.parametrize("region", ["none", "box:1.5"])
def test_walks_have_the_law_of_the_prior_in_the_region_given_that_the_process_exceeds_the_best(region):
    z = torch.linspace(-1.4, 1.4, 8)[None, :, None]
    seen = Evidence(Decoder(example_space(1), Pixels(), Clock()), z, torch.sin(2 * z[..., 0]))
    process, _ = fit(seen.gram, seen.standardised)
    walks = Walks(seen, process, torch.tensor([0]), build(region, 1, lambda: z[0]), chains=1500)
    chance, beta = seeded(2), torch.tensor([0.95], dtype=torch.float64)  # smaller steps stay in one of two modes
    for _ in range(80):
        shape = (1, 1500)
        uniform = torch.rand(shape, generator=chance, dtype=torch.float64)
        walks.step(beta, torch.randn(*shape, 1, generator=chance, dtype=torch.float64), uniform)

    def log_likelihood(grid):
        features = seen.decoder.features(grid[None, :, None], torch.tensor([0]))
        cross = seen.decoder.kernel.to(seen.features)(features)
        mean, variance = process.predict(cross, seen.decoder.kernel.diagonal(features))
        return log_exceedance(mean, variance, seen.standardised.amax(1, keepdim=True))[0]

    edge = 8.0 if region == "none" else 1.5
    assert kstest(walks.z.flatten().numpy(), law_on_grid(log_likelihood, -edge, edge)).pvalue > 0.01


@pytest.mark.parametrize(("low", "high"), [(-3.0, 3.0), (0.5, 0.7), (-8.0, -1.0)])
def test_draws_in_a_box_are_those_of_the_prior_restricted_to_it(low, high):
    region = Region(torch.tensor([low, -1.0]), torch.tensor([high, 2.0]))
    z = draws_inside(region, 1, 3000, 2, seeded())[0].T
    assert kstest(z[0].numpy(), truncnorm(low, high).cdf).pvalue > 0.01
    assert kstest(z[1].numpy(), truncnorm(-1, 2).cdf).pvalue > 0.01


def test_draws_without_a_region_are_those_of_the_prior():
    assert kstest(draws_inside(Region(), 2, 1500, 2, seeded()).flatten().numpy(), norm.cdf).pvalue > 0.01


def test_draws_in_a_ball_have_the_prior_law_of_the_distance():
    region = build("ball:2", 3, lambda: torch.zeros(1, 3))
    distance = draws_inside(region, 1, 3000, 3, seeded())[0].norm(dim=1).numpy()
    assert kstest(distance, lambda r: chi(3).cdf(r) / chi(3).cdf(2)).pvalue > 0.01


def test_draws_in_a_tiny_ball_lie_inside_and_fill_it():
    region = build("ball:0.01", 6, lambda: torch.zeros(1, 6))
    z = draws_inside(region, 2, 500, 6, seeded(), tries=3)
    assert are_inside(region, z).all()
    assert kstest((z.norm(dim=-1) / 0.01).flatten().numpy(), lambda r: r**6).pvalue > 0.01


def process_on(n=12, k=2):
    """Random kernel matrices, standardised scores, and the fit."""
    features = torch.rand(k, n, 5, generator=seeded(), dtype=torch.float64)
    gram = features @ features.mT
    y = features.sum(-1).sin() + 0.3 * normal(k, n)
    y = (y - y.mean(1, keepdim=True)) / y.std(1, keepdim=True)
    process, fitted = fit(gram, y)
    assert fitted.all()
    return features, gram, y, process


def test_posterior_is_that_of_a_normal_distribution_given_a_part_of_it():
    features, gram, y, process = process_on()
    new = torch.rand(2, 4, 5, generator=seeded(1), dtype=torch.float64)
    mean, variance = process.predict(new @ features.mT, new.square().sum(-1))
    for i in range(2):
        s, noise, m = (part[i].item() for part in (process.variance, process.noise, process.mean))
        inverse = torch.linalg.inv(s * gram[i] + noise * torch.eye(12).double())
        cross = s * new[i] @ features[i].T
        torch.testing.assert_close(mean[i], m + cross @ inverse @ (y[i] - m))
        torch.testing.assert_close(variance[i], (s * new[i] @ new[i].T - cross @ inverse @ cross.T).diagonal())


def test_hyperparameters_are_the_optimum_that_scipy_finds_with_whole_matrices():
    _, gram, y, process = process_on()
    for i in range(2):

        def loss(p, i=i):
            covariance = np.exp(p[0]) * gram[i].numpy() + np.exp(p[1]) * np.eye(12)
            likelihood = multivariate_normal(np.full(12, p[2]), covariance).logpdf(y[i].numpy())
            return -(likelihood + norm(0, 2).logpdf(p[0]) + norm(-4, 1).logpdf(p[1]))

        ours = [process.variance[i].log().item(), process.noise[i].log().item(), process.mean[i].item()]
        theirs = minimize(
            loss,
            [0.0, -4.0, 0.0],
            method="L-BFGS-B",
            bounds=[(None, None), (np.log(LEAST_NOISE), None), (None, None)],
        )
        assert loss(ours) <= theirs.fun + 1e-5


def test_kernel_matrix_that_cannot_be_decomposed_leaves_out_its_problem_alone():
    _, gram, y, process = process_on()
    gram[1] = torch.nan
    rest, fitted = fit(gram, y)
    assert fitted.tolist() == [True, False]
    torch.testing.assert_close(rest.weights[0], process.weights[0])


def strings(*texts, length=6, vocabulary=4):
    """Kernel matrix of token sequences."""
    kernel, x = Strings(None), torch.zeros(len(texts), length, vocabulary)
    for sample, text in zip(x, texts, strict=True):
        sample[torch.arange(length), torch.tensor([*map(int, text.ljust(length, "0"))])] = 1
    features = kernel.features(x)[None]
    return kernel.to(features)(features)[0], features


def test_string_kernel_of_texts_by_hand():
    values, _ = strings("12", "13", "11", "1", "", "33")
    assert values.diagonal().tolist() == [1] * 6
    assert values[0, 1].item() == pytest.approx(1 / 5)  # 1 of 1, 2, 3, 12, 13
    assert values[2, 3].item() == pytest.approx(1 / 3)  # one 1 of two, and no 11
    assert values[0, 5] == values[3, 4] == 0


def test_string_kernel_equals_one_on_counters_and_is_positive():
    chance = np.random.default_rng(0)
    texts = ["".join(map(str, chance.integers(1, 4, chance.integers(1, 7)))) for _ in range(40)]
    counts = [Counter(t[i : i + k] for k in (1, 2, 3) for i in range(len(t) - k + 1)) for t in texts]
    expected = [[(a & b).total() / (a | b).total() for b in counts] for a in counts]
    values, _ = strings(*texts)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert torch.linalg.eigvalsh(values).min() > -1e-9


def test_what_stands_after_the_end_of_a_text_does_not_count():
    _, features = strings("12", "1203")
    assert torch.equal(features[0, 0], features[0, 1])


def test_kmers_of_many_symbols_are_folded_and_all_counted():
    tokens = torch.randint(1, 80, (5, 70), generator=seeded())
    assert counts_of_kmers(tokens, 79).sum(1).tolist() == [70 + 69 + 68] * 5


def test_texts_that_tokens_cannot_write_have_kmers_of_their_characters():
    source = DATASETS.build("expressions")
    kernel = Strings(source)
    features = kernel.features(TextSamples(source).samples(["tan(x)", "tan(1)", "x+1", ""]))
    assert features.sum(1).tolist() == [6 + 5 + 4, 6 + 5 + 4, 3 + 2 + 1, 0]
    assert 0 < kernel.to(features[None])(features[None])[0, 0, 1] < 1


@with_rdkit
def test_kernel_of_molecules_is_the_similarity_that_rdkit_computes():
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.DataStructs import TanimotoSimilarity

    source = DATASETS.build("zinc250k:representation=smiles,count=200")
    texts = ["CCO", "CCCCCC", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C1CCCCC1N"]
    kernel = Molecules(source)
    features = kernel.features(TextSamples(source).samples([*texts, "C(", ")"]))[None]
    values = kernel.to(features)(features)[0]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetCountFingerprint(Chem.MolFromSmiles(text)) for text in texts]
    expected = [[TanimotoSimilarity(a, b) for b in prints] for a in prints]
    np.testing.assert_allclose(values[:5, :5], expected, rtol=1e-12)
    assert values[5, 6] == 1 and (values[:5, 5:] == 0).all()  # texts that are no molecules


def test_kernel_of_images_is_the_mean_product_of_their_pixels():
    kernel, x = Pixels(), torch.tensor([[[1.0, 0.5]], [[0.0, 1.0]]])
    features = kernel.features(x)[None]
    torch.testing.assert_close(kernel.to(features)(features)[0], torch.tensor([[0.625, 0.25], [0.25, 0.5]]).double())
    assert kernel.diagonal(features)[0].tolist() == [0.625, 0.5]


def test_kernel_matrix_grows_to_that_of_all_samples_at_once():
    decoder = Decoder(example_space(2), Pixels(), Clock())
    z, y = normal(3, 7, 2).float(), normal(3, 7).float()
    y[1, 5] = torch.nan  # a problem that is over in the second part
    parts, whole = Evidence(decoder, z[:, :4], y[:, :4]), Evidence(decoder, z, y)
    parts.add(z[:, 4:], y[:, 4:])
    rest = [0, 2]
    torch.testing.assert_close(parts.gram[rest], whole.gram[rest])
    assert (parts.keys[rest] == whole.keys[rest]).all() and parts.active.tolist() == rest


def searched(space, score, steps=4, name="cowboys:initial=6,q=4,chains=4,steps=10", k=2, region=None):
    """Points of a search, their scores, and the problem."""
    d = space.latent
    problem = Problem(torch.ones(k, 1, d), region or Region(), space=space)
    search = SEARCHERS.build(name).search(problem)
    points = [next(search)]
    scores = [score(points[-1])]
    for _ in range(steps):
        points.append(search.send(scores[-1]))
        scores.append(score(points[-1]))
    return points, torch.cat(scores, 1), problem


def test_every_decoded_point_counts():
    space = example_space(3)
    searched(space, lambda z: -z.square().sum(-1), steps=3)
    assert space.decodes == 2 * (6 + 10 * 4 + 4 + 10 * 4)  # two problems: seen, chains, seen, chains


def test_proposals_are_better_than_draws_of_the_prior():
    _, scores, _ = searched(example_space(3), lambda z: -(z - 1.5).square().sum(-1), steps=8, k=6)
    assert (scores[:, -8:].mean(1) > scores[:, 1:6].mean(1)).all()


class Rounded(Space):
    """Synthetic space whose pixels are 0 or 1, so that many points have one sample."""

    def decode(self, u, problems=None):
        return super().decode(u, problems).round()


def test_proposals_have_samples_that_differ_and_were_not_seen():
    space = Rounded(example_model(2, 64, shape=(1, 8, 8)), "mean")
    points, _, problem = searched(space, lambda z: z.sum(-1), steps=7)
    samples = space.decode(torch.cat(points, 1)).flatten(2)
    for i in range(2):
        distinct = {row.numpy().tobytes() for row in samples[i]}
        repeats = samples.shape[1] - len(distinct)
        assert repeats <= 6 + problem.counts["fallbacks"]  # only first points, and draws that are counted


def test_model_whose_samples_are_all_the_same_gets_draws_that_are_counted():
    model = example_model(2, 64, shape=(1, 8, 8))
    model.weight.zero_()
    space = Space(model, "mean")
    _, _, problem = searched(space, lambda z: z.sum(-1), steps=4)
    assert problem.counts == {"fallbacks": 2 * 3 * 4}


@pytest.mark.parametrize("scores", [0.0, 1e30])
def test_scores_that_are_all_the_same_get_draws_of_the_prior_that_are_counted(scores):
    points, _, problem = searched(example_space(2), lambda z: torch.full(z.shape[:2], scores), steps=4)
    assert problem.counts == {"fallbacks": 2 * 3 * 4}
    assert not torch.equal(points[-1][0], points[-1][1])


def test_first_points_are_draws_of_the_prior_in_the_region():
    points, _, _ = searched(
        example_space(1),
        lambda z: z[..., 0],
        steps=1,
        name="cowboys:initial=1001",
        region=build("box:1", 1, lambda: torch.zeros(1, 1)),
    )
    assert kstest(points[1].flatten().numpy(), truncnorm(-1, 1).cdf).pvalue > 0.01


def test_step_size_goes_towards_the_one_whose_steps_are_taken_a_quarter_of_the_time():
    seen_by_adapted, seen_by_fixed = (
        searched(example_space(6), lambda z: z.sum(-1), name=f"cowboys:initial=6,beta=1,adapt={adapt}", k=1, steps=9)
        for adapt in ("true", "false")
    )
    assert seen_by_adapted[1][0, -20:].mean() > seen_by_fixed[1][0, -20:].mean()


def test_score_without_a_model_is_refused():
    search = SEARCHERS.build("cowboys").search(Problem(torch.zeros(1, 1, 2)))
    with pytest.raises(UsageError, match="looks at decoded samples"):
        next(search)


@pytest.mark.parametrize(
    ("kernel", "data", "says"),
    [
        (
            "tanimoto",
            "glyphs",
            "wants samples that are molecules, and these are images; say one of kernel=auto, kernel=pixels",
        ),
        ("string", "glyphs", "wants samples that are molecules or texts, and these are images"),
        ("tanimoto", "expressions", "wants samples that are molecules, and these are texts; say one of kernel=auto, k"),
        ("pixels", "expressions", "wants samples that are images or vectors, and these are texts"),
        ("pixels", "zinc250k", "and these are molecules; say one of kernel=auto, kernel=tanimoto, kernel=string"),
    ],
)
def test_kernel_of_other_samples_is_refused(kernel, data, says):
    with pytest.raises(UsageError, match=says):
        SEARCHERS.build(f"cowboys:kernel={kernel}").check_data(data)


def test_kernel_of_other_samples_is_refused_before_a_run(checkpoint):
    grid = Grid(["vae"], ["glyphs50:instances=3"], searchers=["cowboys:kernel=string"], latent=4)
    with pytest.raises(UsageError, match="kernel=string wants samples that are molecules or texts"):
        plan(grid, Protocol())


@pytest.mark.parametrize("missing", ["rdkit", "selfies"])
def test_fingerprints_without_their_package_are_refused_with_what_to_install(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(PluginError, match=rf"package {missing} .*pip install 'lso-bench\[molecules\]'"):
        SEARCHERS.build("cowboys").check_data("zinc250k")
    SEARCHERS.build("cowboys:kernel=string").check_data("zinc250k")
