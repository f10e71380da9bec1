"""Penalties: closed forms of each, what searchers get of them, and what is recorded all the same."""

import math
from dataclasses import dataclass, fields, make_dataclass, replace
from typing import get_args, get_type_hints

import pytest
import torch
from scipy.stats import chi
from torch.distributions import MultivariateNormal
from torch.nn.functional import one_hot

from lso_bench import Study
from lso_bench.errors import PluginError, UsageError
from lso_bench.runner.penalised import Cost
from lso_bench.search import SEARCHERS, Problem, Searcher, check_penalty, penalty_of
from lso_bench.search.ask_tell import AskTell
from lso_bench.search.controls import CONTROLS
from lso_bench.search.local_volume import elements, local_volume, with_constant
from lso_bench.search.penalties import PENALTIES, beyond_shell, penalty
from lso_bench.search.space import Space
from lso_bench.study.grid import Grid, plan
from lso_bench.testing import template
from lso_bench.testing.linear_model import LinearModel, WithoutGradient, example_model
from lso_bench.vae.architectures.conv import Conv
from lso_bench.vae.architectures.gru import GRU
from lso_bench.vae.architectures.paper import Paper
from lso_bench.vae.architectures.parallel import Parallel
from lso_bench.vae.architectures.transformer import Transformer
from lso_bench.vae.model import VAE

D, K, N = 3, 2, 4
KINDS = [kind for kind in PENALTIES if kind != "none"]
TEXTS = {"shape": (7, 5), "latent": D, "likelihood": "categorical:vocabulary=5"}
MODELS = {
    "conv": lambda: VAE(Conv(latent=D, encoder=8, channels=8)),
    "pixels": lambda: VAE(Paper(latent=D, encoder=4, hidden=8, channels=4, kernels=(7, 5, 3), skips=False)),
    "gru": lambda: VAE(GRU(**TEXTS, hidden=8)),
    "transformer": lambda: VAE(Transformer(**TEXTS, width=8, heads=2, hidden=8, layers=1)),
    "parallel": lambda: VAE(Parallel(**TEXTS)),
    "linear": lambda: example_model(D),
    "normal": lambda: example_model(D, normal=True),
}


def latents(n: int = N, d: int = D) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def space_of(name: str, dtype: torch.dtype = torch.float32) -> Space:
    torch.manual_seed(0)
    model = MODELS[name]()
    return Space(model, "greedy" if model.autoregressive else "mean", dtype=dtype)


@pytest.mark.parametrize("d", [1, 2, 32])
def test_prior_is_the_fall_of_the_chi_density_beyond_its_mode(d):
    mode = math.sqrt(d - 1)
    z = torch.linspace(0.01, 3 * mode + 3, 50, dtype=torch.float64)[:, None] * torch.eye(d, dtype=torch.float64)[0]
    radius = z.norm(dim=-1).numpy()
    expected = torch.from_numpy(chi.logpdf(max(mode, 1e-300), d) - chi.logpdf(radius.clip(max(mode, 1e-300)), d))
    torch.testing.assert_close(beyond_shell(z), expected)


def test_prior_has_a_finite_gradient_at_the_origin():
    for d in (1, 4):
        z = torch.zeros(2, d, requires_grad=True)
        beyond_shell(z).sum().backward()
        assert torch.equal(z.grad, torch.zeros(2, d))


def test_local_volume_of_a_linear_decoder_is_that_of_its_weight():
    model, z = example_model(D, normal=True), latents()
    expected = torch.linalg.slogdet(model.weight.T @ model.weight).logabsdet / 2
    torch.testing.assert_close(local_volume(model, z, model.mean(z)), expected.double().expand(N))


def test_les_of_an_invertible_linear_decoder_is_the_density_of_its_samples():
    model = example_model(D, n=D, normal=True)
    z = latents()
    x = model.mean(z)
    pushed = MultivariateNormal(model.bias, model.weight @ model.weight.T)
    torch.testing.assert_close(penalty("les", Space(model, "mean"), z, x), -pushed.log_prob(x), rtol=1e-4, atol=1e-4)


def test_local_volume_of_probabilities_follows_the_chain_rule():
    """The Jacobian of sigmoid(W z + b) is diag(p (1 - p)) W."""
    model, z = example_model(D), latents()
    p = model.mean(z)
    jacobian = (p * (1 - p))[..., None] * model.weight
    expected = torch.linalg.svdvals(jacobian.double()).log().sum(-1)
    torch.testing.assert_close(local_volume(model, z, p.round()), expected)


def test_a_decoder_without_forward_derivatives_is_refused_in_one_line():
    lstm = torch.nn.LSTM(D, 4, batch_first=True).requires_grad_(False)

    class Recurrent(LinearModel):
        """A decoder with the LSTM of oneDNN, which has none."""

        def mean(self, z):
            return lstm(z[:, None])[0][:, 0]

    with pytest.raises(PluginError, match=r"^Penalty 'les' needs forward derivatives, .* or consistency\.$"):
        local_volume(Recurrent(torch.eye(D), torch.zeros(D)), latents(), latents())


def test_a_decoder_of_fewer_numbers_than_dimensions_has_no_local_volume():
    model, z = example_model(D, n=D - 1, normal=True), latents()
    with pytest.raises(
        PluginError, match=r"^Penalty 'les' wants a decoder of at least .* dimensions, 3, and .* has 2;"
    ):
        local_volume(model, z, model.mean(z))


def test_local_volume_of_logits_is_that_of_the_published_formula():
    """The authors' Jacobian of a softmax and of 1 over the sum of exponentiated logits, written out."""
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    blocks = []
    for row in logits:
        p = row.softmax(0)
        constant = -row.exp() / row.exp().sum() ** 2
        blocks.append(torch.cat([torch.diag(p) - torch.outer(p, p), constant[None]]))
    ours = torch.func.jacfwd(lambda flat: with_constant(flat.view(1, 7, 5)).flatten())(logits.flatten())
    torch.testing.assert_close(ours, torch.block_diag(*blocks))


@pytest.mark.parametrize("name", MODELS)
def test_local_volume_agrees_with_finite_differences(name):
    space = space_of(name, torch.float64)
    model, z = space.vae, latents().double()
    x = space.discrete_of(model.mean(z)[None])[0] if not model.autoregressive else one_hot_or_ink(model)
    step = 1e-5
    columns = [elements(model, z + step * e, x) - elements(model, z - step * e, x) for e in torch.eye(D).double()]
    jacobian = torch.stack(columns, -1).detach() / (2 * step)
    expected = torch.linalg.svdvals(jacobian).log().sum(-1)
    torch.testing.assert_close(local_volume(model, z, x).detach(), expected, rtol=1e-4, atol=1e-4)


def one_hot_or_ink(model: VAE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    if model.of_texts:
        return one_hot(torch.tensor([[1, 2, 3, 4, 1, 0, 0]]), 5).double().expand(N, -1, -1)
    return torch.randint(2, (N, *model.shape), generator=generator).double()


def test_elements_of_texts_are_those_of_the_forward_pass():
    for name in ("gru", "transformer"):
        model = MODELS[name]()
        z, x = latents(), one_hot_or_ink(model).float()
        torch.testing.assert_close(elements(model, z, x), with_constant(model.decoder(z, x)).flatten(1))


def test_likelihood_is_that_of_the_decoder_and_consistency_that_of_the_encoder():
    model, z = example_model(D), latents()
    space = Space(model, "mean")
    x = space.discrete_of(model.mean(z)[None])[0]
    logits = z @ model.weight.T + model.bias
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    torch.testing.assert_close(penalty("likelihood", space, z, x), expected)
    torch.testing.assert_close(penalty("consistency", space, z, x), (model.encode(x).mean - z).norm(dim=-1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["conv", "pixels", "gru", "transformer", "linear"])
def test_gradients_agree_with_finite_differences(name, kind):
    space = space_of(name, torch.float64)
    z = (2 * latents(2)).double().requires_grad_()
    x = one_hot_or_ink(space.vae)[:2] if space.vae.autoregressive else space.vae.mean(z.detach()).round()
    values = penalty(kind, space, z, x)
    gradient = torch.autograd.grad(values.sum(), z)[0]
    step, direction = 1e-5, torch.linspace(-1, 1, D).double()
    with torch.no_grad():
        ends = [penalty(kind, space, z + sign * step * direction, x) for sign in (1, -1)]
    torch.testing.assert_close(gradient @ direction, (ends[0] - ends[1]) / (2 * step), rtol=1e-3, atol=1e-5)


def cost_of(searcher: Searcher, model=None) -> tuple[Cost, Problem]:
    space = Space(model or example_model(D), "mean")
    problem = Problem(torch.zeros(K, 1, D), space=space)
    return Cost(searcher, space, problem), problem


def test_a_searcher_gets_the_score_less_the_weighted_penalty_and_its_gradient():
    adam = replace(SEARCHERS.build("adam"), penalty="consistency", penalty_weight=3.0)
    cost, problem = cost_of(adam)
    z = latents(K * N).view(K, N, D).requires_grad_()
    z.grad = torch.ones_like(z)
    x = problem.space.decode(z).detach()
    lowered = cost(z, x, torch.arange(K))
    mean = problem.space.means(problem.space.discrete_of(x).flatten(0, 1)).view(K, N, D)
    torch.testing.assert_close(lowered, 3 * (mean - z).norm(dim=-1).detach())
    torch.testing.assert_close(z.grad, 1 + 3 * torch.nn.functional.normalize(z.detach() - mean, dim=-1))


def test_a_penalty_that_is_not_finite_costs_as_much_as_the_largest_and_is_counted():
    class Broken(LinearModel):
        def encode(self, x):
            q = super().encode(x)
            q.base_dist.loc = q.base_dist.loc.masked_fill(x[:, :1] > 0.5, math.nan)
            return q

    cost, problem = cost_of(
        replace(SEARCHERS.build("cmaes"), penalty="consistency"), Broken(torch.eye(D), torch.zeros(D))
    )
    x, z = torch.zeros(K, 3, D), torch.zeros(K, 3, D)
    z[0, 2], z[1, 0] = 2.0, 1.0
    x[:, 1, 0] = 1
    lowered = cost(z, x, torch.arange(K))
    assert torch.equal(lowered[:, 1], lowered.amax(1)) and lowered[0, 1] > lowered[1, 1] > 0
    assert problem.counts["penalty_fallbacks"] == 2 and problem.clock.seconds["penalty"] > 0
    x[:] = torch.eye(D)[0]
    assert torch.equal(cost(z, x, torch.arange(K)), lowered[:, 1:2].expand(K, 3))  # all lost: the largest so far


@pytest.mark.parametrize("searcher", ["adam", "cmaes"])
def test_a_density_in_double_precision_costs_what_that_of_the_search_does(searcher):
    class Double(LinearModel):
        def decode(self, z, teacher=None):
            decoded = super().decode(z)
            log_prob = decoded.log_prob
            decoded.log_prob = lambda x: log_prob(x).double()
            return decoded

    z, costs = latents(K * N).view(K, N, D).requires_grad_(), []
    for cls in (LinearModel, Double):
        penalised = replace(SEARCHERS.build(searcher), penalty="likelihood")
        cost, _ = cost_of(penalised, cls(torch.eye(D), torch.zeros(D)))
        costs.append(cost(z, torch.ones(K, N, D), torch.arange(K)))
    assert costs[1].dtype == z.dtype
    torch.testing.assert_close(*costs)


def test_a_penalty_without_a_gradient_is_refused_in_one_line():
    adam = replace(SEARCHERS.build("adam"), penalty="likelihood")
    cost, _ = cost_of(adam, WithoutGradient(torch.eye(D), torch.zeros(D)))
    with pytest.raises(PluginError, match=r"^Penalty 'likelihood' has no gradient in this model; choose cmaes"):
        cost(torch.zeros(K, 1, D, requires_grad=True), torch.ones(K, 1, D), torch.arange(K))


def test_gradients_and_decodes_of_a_penalty_are_counted():
    cost, problem = cost_of(replace(SEARCHERS.build("adam"), penalty="les"))
    z = latents(K * N).view(K, N, D).requires_grad_()
    cost(z, torch.ones(K, N, 8), torch.arange(K))
    assert problem.counts["gradients"] == K * N and problem.space.decodes == K * N * D


def test_every_control_refuses_a_penalty_and_every_guided_searcher_lists_it():
    for name, described in SEARCHERS.names().items():
        assert (name in CONTROLS or name == "sobol") != ("penalty=none, penalty_weight=1.0" in described)
    for name in (*CONTROLS, "sobol"):
        with pytest.raises(UsageError, match=r"penalty=prior is of no effect on a searcher that (does not|searches)"):
            SEARCHERS.build(f"{name}:penalty=prior")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cmaes:penalty=priors", "penalty is one of 'none', 'prior', 'likelihood', 'les', 'consistency', not 'priors'"),
        ("cmaes:penalty_weight=2", "penalty_weight=2.0 is of no effect without a penalty"),
        ("cmaes:penalty=les,penalty_weight=0", "penalty_weight: wanted a finite number above 0, got 0.0"),
        ("cmaes:penalty=les,penalty_weight=-1", "penalty_weight: wanted a finite number above 0, got -1.0"),
        ("cmaes:penalty=les,penalty_weight=inf", "penalty_weight: wanted a finite number above 0, got inf"),
        ("image_ga:penalty=prior", "of no effect on a searcher that searches samples"),
    ],
)
def test_a_penalty_that_makes_no_sense_is_refused(text, line):
    with pytest.raises(UsageError, match=line):
        SEARCHERS.build(text)


def test_settings_of_every_searcher_offer_the_penalties_that_exist():
    assert get_args(get_type_hints(Searcher)["penalty"]) == tuple(PENALTIES)


def test_keys_of_runs_without_a_penalty_stay():
    assert SEARCHERS.canonical("cmaes") == "cmaes:sigma=0.5,population=0"
    with_penalty = SEARCHERS.canonical("cmaes:penalty=prior,penalty_weight=1")
    assert with_penalty == "cmaes:sigma=0.5,population=0,penalty=prior"


@dataclass(frozen=True)
class Mine(AskTell):
    """A searcher of a user."""

    width: float = 1.0


def test_ask_tell_optimizers_take_a_penalty():
    assert replace(Mine(), penalty="prior").penalty == "prior" and Mine(penalty="les", width=2.0).width == 2
    plain, penalised = AskTell(len, "mine"), AskTell(len, "mine", penalty="prior", penalty_weight=2.0)
    assert (plain.penalty, penalised.penalty, penalised.penalty_weight) == ("none", "prior", 2.0)
    with pytest.raises(ValueError, match="penalty is one of"):
        check_penalty(AskTell(len, penalty="priors"))


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("penalty", None, "penalty is one of none, prior, .* not None"),
        ("penalty", ["prior"], r"penalty is one of none, prior, .* not \['prior'\]"),
        ("penalty_weight", "much", "penalty_weight: wanted a finite number above 0, got 'much'"),
    ],
)
def test_a_penalty_of_another_type_is_refused(name, value, line):
    """Values as of a script, whose types nothing looks at."""
    searcher = AskTell(len, penalty="prior")
    object.__setattr__(searcher, name, value)
    with pytest.raises(ValueError, match=line):
        check_penalty(searcher)


def test_an_object_has_the_name_that_it_had_before_searchers_had_penalties():
    """Its hash is of what it holds, without settings that were added later and are at their default."""
    held = {k: v for k, v in vars(Mine()).items() if k in ("width",)}
    bare = Mine()
    for f in fields(bare):
        if f.name != "width":
            object.__delattr__(bare, f.name)
    assert vars(bare) == held
    assert SEARCHERS.add(Mine()) == SEARCHERS.add(bare) != SEARCHERS.add(Mine(penalty="prior"))


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("penalty", float, 0.1),
        ("penalty", str, "l2"),
        ("penalty", str, "prior"),
        ("penalty", tuple, ([],)),
        ("penalty_weight", float, 0.5),
    ],
)
def test_a_setting_of_a_user_may_have_the_name_of_a_penalty(name, kind, value):
    """A searcher that had such a setting before runs as it did."""
    old = make_dataclass("Old", [(name, kind, value)], bases=(Mine,), frozen=True)()
    check_penalty(old)
    assert penalty_of(old) == "none" and getattr(old, name) == value
    assert not Cost(old, Space(example_model(D), "mean"), Problem(torch.zeros(K, 1, D)))


def test_a_penalty_that_a_model_cannot_compute_in_a_run_leaves_other_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        template.MODEL.replace("latent = 16", "latent = 800").replace("orthogonal", "normal")
    )
    study = Study("./mine.py", "ink:data=glyphs", ["cmaes:penalty=les", "sobol"], starts=["random"], budget=40)
    with pytest.warns(UserWarning, match=r"Penalty 'les' wants a decoder of .* 800, and this one has 784"):
        results = study.run(tmp_path / "results", quiet=True, isolation="none")
    assert {r.spec.searcher_name: r.status for r in results.records} == {"cmaes": "failed", "sobol": "ok"}


def test_a_penalty_that_a_model_cannot_compute_is_refused_before_the_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(template.MODEL)
    (tmp_path / "flat.py").write_text(
        template.MODEL.replace("    latent = ", "    differentiable = False\n    latent = ", 1)
    )

    def planned(model: str, penalty: str):
        return plan(Grid((model,), ("ink:data=glyphs",), (f"cmaes:penalty={penalty}",)))

    with pytest.raises(UsageError, match=r"Penalty 'likelihood' needs log p\(x\|z\), and model './mine.py' has no log"):
        planned("./mine.py", "likelihood")
    with pytest.raises(UsageError, match=r"Penalty 'les' needs derivatives of the decoder, and model './flat.py'"):
        planned("./flat.py", "les")
    for model, kind in (("./mine.py", "les"), ("./flat.py", "consistency"), ("./flat.py", "prior")):
        planned(model, kind)
