"""Searches in coordinates other than z: moments of the aggregate posterior, the maps, and what a run records."""

import json
import math
from dataclasses import replace

import pytest
import torch
from conftest import TINY, fails, random_vae, squares
from made import measures
from torch import nn

import lso_bench as lb
from lso_bench.errors import PluginError, UsageError
from lso_bench.report import export, tables
from lso_bench.runner import aggregate_posterior, starting_codes
from lso_bench.runner.cache import Loaded
from lso_bench.runner.run import run
from lso_bench.search import coordinates
from lso_bench.search.coordinates import SMALLEST, Moments, build, canonical
from lso_bench.search.space import Space
from lso_bench.store import index
from lso_bench.store.store import Store
from lso_bench.study import file
from lso_bench.study.command import command
from lso_bench.study.grid import Grid, Protocol, plan, plan_warnings
from lso_bench.study.lookup import find_checkpoint
from lso_bench.tasks.reconstruction import Reconstruction
from lso_bench.vae.checkpoint import save_model
from lso_bench.vae.data import Dataset, load
from lso_bench.vae.trained_model import Model

IMAGES = squares(2000, 1)
DATA = Dataset("glyphs", (IMAGES * 255).to(torch.uint8), squares(2), squares(30), "")  # binarised they stay
STD = torch.tensor([0.3, 0.1, 0.2, 0.4])
KNOWN = torch.tensor([9.0, 4.0, 1.0, 0.25], dtype=torch.double)  # variances along axes
GRID = Grid(["vae"], ["glyphs50:instances=3"], latent=4)


class Linear(nn.Module):
    """An encoder whose mean is linear in x, and whose standard deviations are STD."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(0.1 * torch.randn(4, 28 * 28, generator=generator) + torch.rand(4, 1) / 50)
        self.bias = nn.Parameter(torch.tensor([1.0, -2.0, 0.0, 3.0]))

    def forward(self, x):
        mean = x.flatten(1) @ self.weight.T + self.bias
        return torch.cat([mean, (2 * STD.log()).expand_as(mean)], -1)


@pytest.fixture(scope="module")
def linear():
    """A model with a linear-Gaussian encoder."""
    vae = random_vae(TINY)
    vae.encoder = Linear()
    return vae


def no_examples(count):
    raise AssertionError("these coordinates need no examples")


def rotated():
    """Moments with the variances KNOWN along the columns of a rotation, and these columns as rows."""
    generator = torch.Generator().manual_seed(3)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.double)).Q
    return Moments(torch.arange(4.0).double(), rotation * KNOWN @ rotation.T), rotation.T


def collapsed(log_variance=0.0, deterministic=False):
    """A model whose encoder gives every image mean 0 and this log variance; with 0, q(z) = N(0, I)."""
    vae = random_vae(TINY)
    vae.deterministic = deterministic
    with torch.no_grad():
        vae.encoder.main[-1].weight.zero_()
        vae.encoder.main[-1].bias.zero_()
        vae.encoder.main[-1].bias[4:] = log_variance
    return vae


def test_moments_of_a_linear_gaussian_encoder_are_those_of_the_closed_form(linear):
    moments = aggregate_posterior.moments(linear, DATA)
    x, weight = IMAGES.flatten(1).double(), linear.encoder.weight.detach().double()
    covariance = weight @ x.T.cov(correction=0) @ weight.T + STD.double().square().diag()
    torch.testing.assert_close(moments.mean, weight @ x.mean(0) + linear.encoder.bias.detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(moments.covariance, covariance, rtol=1e-4, atol=1e-5)


def test_draws_of_the_aggregate_posterior_have_mean_0_and_covariance_1_in_these_coordinates(linear):
    moments = aggregate_posterior.moments(linear, DATA)
    whole, standard = (
        Space(linear, "greedy", coordinates=build(s, moments, no_examples)) for s in ("pca:4", "standard")
    )
    for space in (whole, standard):
        u = aggregate_posterior.draws(space, DATA)
        assert u.shape == (2000, 4) and u.mean(0).abs().max() < 4 / math.sqrt(2000)
        torch.testing.assert_close(u.var(0), torch.ones(4), rtol=0, atol=5 * math.sqrt(2 / 2000))
    covariance = aggregate_posterior.draws(whole, DATA).T.cov()
    torch.testing.assert_close(covariance, torch.eye(4), rtol=0, atol=5 * math.sqrt(2 / 2000))


def test_principal_axes_of_a_known_covariance_are_recovered_the_largest_first():
    moments, axes = rotated()
    map_ = build("pca:3", moments, no_examples)
    assert map_.axes is not None and map_.dimension == 3 and map_.raised == 0
    torch.testing.assert_close(map_.scale, KNOWN[:3].sqrt())
    torch.testing.assert_close((map_.axes @ axes.T).abs(), torch.eye(4).double()[:3], rtol=0, atol=1e-9)
    assert (map_.axes.gather(1, map_.axes.abs().argmax(1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("text", ["standard", "pca:4", "pca:2"])
def test_coordinates_become_latents_and_coordinates_again(text):
    map_ = build(text, rotated()[0], no_examples)
    u = torch.randn(7, 5, map_.dimension, dtype=torch.double)
    torch.testing.assert_close(map_.to_u(map_.to_z(u)), u)
    torch.testing.assert_close(map_.to_z(torch.zeros_like(u)), map_.mean.expand(7, 5, 4))


def test_latents_beyond_the_axes_have_the_coordinates_of_their_projection():
    (moments, axes), z = rotated(), torch.randn(6, 4, dtype=torch.double)
    map_ = build("pca:2", moments, no_examples)
    projection = moments.mean + (z - moments.mean) @ axes[:2].T @ axes[:2]
    torch.testing.assert_close(map_.to_z(map_.to_u(z)), projection)


def test_gradient_passes_through_the_map():
    map_, u = build("pca:2", rotated()[0], no_examples), torch.zeros(2, dtype=torch.double)
    assert map_.axes is not None
    jacobian = torch.autograd.functional.jacobian(map_.to_z, u)
    torch.testing.assert_close(jacobian, (map_.scale[:, None] * map_.axes).T)


def test_dimensions_of_nearly_no_spread_get_a_thousandth_of_the_largest():
    moments = Moments(torch.zeros(3).double(), torch.tensor([4.0, 0.0, 1e-9]).double().diag())
    for text in ("standard", "pca:3"):
        map_ = build(text, moments, no_examples)
        assert map_.scale.tolist() == [2.0, 2 * SMALLEST, 2 * SMALLEST] and map_.raised == 2


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("text", ["standard", "pca:2"])
def test_posterior_without_finite_spread_is_refused(text, value):
    with pytest.raises(PluginError, match="finite spread, and it has none; say prior"):
        build(text, Moments(torch.zeros(3).double(), torch.eye(3).double() * value), no_examples)


@pytest.mark.parametrize("text", ["pca:0", "pca:5", "pca", "pca:x", "pca:-1", "pca:1.5"])
def test_number_of_axes_that_cannot_be_is_refused_in_one_line(text, checkpoint):
    with pytest.raises(UsageError, match=rf"Space '{text}': wanted pca:K, .* from 1 to 4, .*; say pca:4\.$"):
        plan(GRID, Protocol(space=text))


@pytest.mark.parametrize("text", ["standrad", "standard:2", "prior:3", "Standard"])
def test_other_coordinates_are_refused_with_the_nearest(text, call):
    done = call("run", "--model", "vae", "--task", "ink", "--arch", "conv", "--space", text)
    fails(done, 2, f"No space '{text}'; there are 'examples:9', 'pca:8', 'prior', 'standard'.", "Did you mean")


def test_canonical_text_has_plain_digits():
    assert [canonical(t, 32) for t in ("pca:08", "standard", "prior")] == ["pca:8", "standard", "prior"]


@pytest.fixture
def search(tmp_path):
    """Plan and run a short search of three images in a model of these weights; return the record."""

    def record_of(vae, loaded=None, searcher="adam", region="none", **protocol):
        save_model(tmp_path / "checkpoints" / Model("vae", "glyphs", "small", 4).file, vae, {"made": "by a test"})
        grid = replace(GRID, searchers=[searcher], regions=[region])
        (planned,) = plan(grid, Protocol(max_steps=6, check_every=2, **protocol))
        return run(planned.spec, planned.checkpoint, loaded=loaded)

    return record_of


def test_search_where_the_aggregate_posterior_is_the_prior_equals_that_of_the_prior(search):
    plain, standard = (search(collapsed(), space=s) for s in (None, "standard"))
    assert plain.spec.space == "prior" and standard.spec.space == "standard" and plain.spec.key != standard.spec.key
    assert plain.members == standard.members and plain.counts == standard.counts
    assert all(torch.equal(v, standard.tensors[k]) for k, v in plain.tensors.items() if k != "z_met")
    assert plain.trace is not None and plain.trace.equals(standard.trace)
    assert all(m.norm_u == m.distance_to_prior for m in plain.members)


def test_moments_are_computed_once_a_checkpoint_and_never_for_the_prior(search):
    loaded, vae = Loaded(), random_vae(TINY)
    search(vae, loaded)
    assert not moments_in(loaded)
    search(vae, loaded, space="standard")
    (first,) = moments_in(loaded)
    path = find_checkpoint(Model("vae", "glyphs", "small", 4))
    assert loaded.moments(Model("vae", "glyphs", "small", 4), path, load("glyphs")) is first


def moments_in(loaded):
    return [value for key, value in loaded._cached.items() if key[0] == "moments"]


@pytest.mark.parametrize("space", ["standard", "pca:2"])
def test_record_has_latents_that_decode_to_its_images_and_both_norms(search, space):
    vae = random_vae(TINY)
    record = search(vae, space=space)
    z, task = record.tensors["z"], Reconstruction(data="glyphs", instances=3).bind(load("glyphs").test)
    x = Space(vae, "teacher", task.targets().repeat(2, 1, 1, 1)).decode(z.unsqueeze(1)).squeeze(1)
    assert z.shape == (6, 4) and ((x * 255).round() - record.tensors["decoded"]).abs().max() <= 1
    moments = aggregate_posterior.moments(vae, load("glyphs"))
    u = build(space, moments, no_examples).to_u(z.double())
    assert [m.distance_to_prior for m in record.members] == pytest.approx(z.norm(dim=-1).tolist(), rel=1e-5)
    assert [m.norm_u for m in record.members] == pytest.approx(u.norm(dim=-1).tolist(), rel=1e-3)


def test_norm_in_the_coordinates_survives_store_and_index_and_is_compared(search, tmp_path):
    records = [search(random_vae(TINY), space=s) for s in ("pca:2", None)]
    store = Store(tmp_path / "r")
    for record in records:
        store.add(record)
    norms = {r.spec.space: [m.norm_u for m in r.members] for r in records}
    for read in ([*store], index.records(store), index.records(store)):
        assert {r.spec.space: [m.norm_u for m in r.members] for r in read} == norms
    assert lb.load(tmp_path / "r").searches.set_index("key").norm_u.groupby(level=0).nunique().min() > 1
    compared = lb.load(tmp_path / "r").compare()
    assert any("differ in coordinates (space pca:2; space prior)" in note for note in compared.notes)
    assert set(compared.final_loss.searcher) == {"adam space pca:2", "adam space prior"}
    assert set(compared.measures[compared.measures.measure == "norm u"].space) == {"pca:2"}
    assert r"\|u\|" in tables.markdown(compared.comparison) and r"\|u\|" not in tables.markdown(measures(records[1]))
    rows = json.loads(export.as_json(compared.comparison))["measures"]
    assert [r["space"] for r in rows if r["measure"] == "norm u"] == ["pca:2"] * 2
    assert "norm u" in export.as_csv(compared.comparison)


def test_box_bounds_the_coordinates_and_not_the_latents(search):
    vae = random_vae(TINY)
    record = search(vae, searcher="sobol", region="box:0.01", space="pca:2", budget=8)
    moments = aggregate_posterior.moments(vae, load("glyphs"))
    u = build("pca:2", moments, no_examples).to_u(record.tensors["z"].double())
    assert u.abs().max() < 0.01 + 1e-4 and record.tensors["z"].abs().max() > 0.1


def space_of(text, vae, task=None):
    targets = None if task is None else task.targets()
    return Space(vae, "sample", targets, coordinates=build(text, aggregate_posterior.moments(vae, DATA), no_examples))


def test_starts_are_in_the_coordinates():
    vae, task = random_vae(TINY), Reconstruction(data="glyphs", instances=5).bind(squares(30))
    space = space_of("pca:2", vae)
    codes = {s: starting_codes.starting_latents(s, 0, task, space, DATA) for s in ("random", "encoder", "origin")}
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(codes["random"], torch.randn(5, 1, 2, generator=generator))
    assert torch.equal(codes["origin"], torch.zeros(5, 1, 2))
    torch.testing.assert_close(codes["encoder"][:, 0], space.to_u(vae.encode(task.targets()).mean))
    for start in ("encoder:3", "other:2", "data:2"):
        assert starting_codes.starting_latents(start, 0, task, space, DATA).shape == (5, int(start[-1]), 2)


def test_quantiles_are_those_of_the_coordinates():
    vae, z = random_vae(TINY), Space(random_vae(TINY), "sample")
    space = space_of("standard", vae)
    u = aggregate_posterior.draws(space, DATA)
    torch.testing.assert_close(space.to_z(u), aggregate_posterior.draws(z, DATA), rtol=1e-4, atol=1e-5)


def test_run_in_a_model_that_gives_all_images_one_code_fails_with_a_line(search):
    with pytest.raises(PluginError, match="finite spread"):
        search(collapsed(deterministic=True), space="standard")


def test_flat_dimensions_are_counted(search):
    vae = random_vae(TINY)
    vae.deterministic = True
    with torch.no_grad():
        vae.encoder.main[-1].weight[1] = 0
    record = search(vae, space="standard")
    assert record.status == "ok" and record.counts["flat_dimensions"] == 1
    assert "flat_dimensions" not in search(vae).counts


def test_coordinates_are_part_of_the_key_and_the_default_changes_none(checkpoint):
    keys = {s: plan(GRID, Protocol(space=s))[0].spec.key for s in (None, "prior", "standard", "pca:2", "pca:02")}
    assert keys[None] == keys["prior"] == plan(GRID)[0].spec.key and keys["pca:2"] == keys["pca:02"]
    assert len({*keys.values()}) == 3


def test_title_and_command_name_coordinates_that_are_not_the_default(checkpoint):
    plain, principal = (plan(GRID, Protocol(space=s))[0].spec for s in ("prior", "pca:2"))
    assert "space" not in plain.title and "--space" not in command(plain)
    assert "adam · space pca:2 · seed 0" in principal.title and "--space pca:2" in command(principal)
    assert coordinates.default(plain.model) == "prior"


def test_study_files_and_overrides_take_coordinates(checkpoint, tmp_path):
    study = tmp_path / "study.toml"
    head = 'models = ["vae"]\ntasks = ["glyphs50"]\nsearchers = ["adam", "sobol"]\nlatent = 4\nspace = "standard"\n'
    study.write_text(head + '[[override]]\nsearcher = "sobol"\nspace = "pca:3"\n')
    assert [p.spec.space for p in plan(*file.read(study))] == ["standard", "pca:3"]
    (planned,) = lb.Study("vae", "glyphs50", latent=4, space="pca:3").plan()
    assert planned.spec.space == "pca:3"


def test_design_of_a_searcher_and_warning_of_a_region_count_the_coordinates(checkpoint):
    grid = replace(GRID, searchers=["cmaes"], regions=["ball:3"])
    (warning,) = plan_warnings(plan(grid, Protocol(space="pca:1", budget=4)), Protocol())
    assert "aggregate posterior far behind; its shell is at sqrt(1)" in warning
    with pytest.raises(UsageError, match="begins with 8 evaluations"):
        plan(grid, Protocol(budget=4))
    assert not plan_warnings(plan(grid, Protocol()), Protocol())


def test_space_of_the_api_decodes_and_encodes_in_coordinates():
    plain, space = (lb.space("vae", data="glyphs", arch="conv", space=s) for s in ("prior", "pca:3"))
    u = torch.randn(2, 1, 3)
    assert space.latent == 3 and torch.equal(space.decode(u), plain.decode(space.to_z(u)))
    images = load("glyphs").test[:4]
    torch.testing.assert_close(space.means(images), space.to_u(plain.means(images)))
    with pytest.raises(UsageError, match="from 1 to 32"):
        lb.space("vae", data="glyphs", arch="conv", space="pca:33")
