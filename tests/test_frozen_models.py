"""Frozen models from outside: searched like trained ones, named by file and weights, and refused in one line."""

import io
import json
import math
import pickle
import re
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import NOISE, messages
from made import SPEC, Disk, measures, one, searched
from torch import nn
from torch.distributions import Normal

import lso_bench
from lso_bench.analysis.caveats import caveats
from lso_bench.analysis.conditions import verdict
from lso_bench.analysis.united import united
from lso_bench.errors import PluginError, UnusableError, UsageError
from lso_bench.executors.ray_cluster import _sources
from lso_bench.models import measurements
from lso_bench.models.measurements import Measured
from lso_bench.report import tables
from lso_bench.report.export import as_csv, as_json
from lso_bench.report.frames import export
from lso_bench.report.measurements import dimensions_table, metrics_table
from lso_bench.report.summary import summary
from lso_bench.runner.diagnostics import diagnose
from lso_bench.runner.run import run
from lso_bench.search.space import Space
from lso_bench.store.store import Store
from lso_bench.study import command
from lso_bench.study.grid import Grid, PlannedRun, Protocol, plan
from lso_bench.study.lookup import find_checkpoint, named_model
from lso_bench.tasks.ink import Ink
from lso_bench.testing import check_model, examine_model, template
from lso_bench.vae import external_model
from lso_bench.vae.data_path import is_same_path
from lso_bench.vae.evaluation import SampleSizes, evaluate
from lso_bench.vae.loading import fingerprint, load
from lso_bench.vae.metrics import Metrics
from lso_bench.vae.trained_model import EXTERNAL, Model

MINE = template.MODEL.replace("Example", "Mine").replace('data = "glyphs"', 'data = "noise.py"')
WEIGHED = MINE.replace("files = ()", 'files = ("weights.pt",)').replace(
    "        nn.init.orthogonal_(network.weight, generator=torch.Generator().manual_seed(0))\n",
    '        network.load_state_dict(self.tensors(folder / "weights.pt"))\n',
)
TASK = template.TASK.replace("Example", "Ink").replace('data = "glyphs"', 'data = "noise.py"')


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model, its weights, a task and a small data set."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    return tmp_path


def lay_out(folder, model=WEIGHED):
    """Write a model, its weights, a task and a small data set."""
    (folder / "noise.py").write_text(NOISE)
    (folder / "mine.py").write_text(model)
    (folder / "ink.py").write_text(TASK)
    weigh(folder / "weights.pt", 0)


def weigh(path, seed, latent=16):
    """Write weights of the model."""
    generator = torch.Generator().manual_seed(seed)
    torch.save({"weight": torch.linalg.qr(torch.randn(784, latent, generator=generator))[0].T.contiguous()}, path)


def planned(*models, **how):
    return plan(Grid(models or ("mine.py",), ["ink.py"]), Protocol(max_steps=3, **how))


def test_frozen_model_is_searched_and_named_by_its_file(here):
    (p,) = planned()
    record = run(p.spec, p.checkpoint)
    assert (record.status, record.spec.model.name, record.spec.model.latent) == ("ok", "./mine.py", 16)
    assert record.tensors["z"].shape == (1, 16) and record.tensors["decoded"].shape == (1, 1, 28, 28)
    assert record.members[0].loss < record.members[0].first_loss


def test_result_of_a_frozen_model_is_read_again(here):
    (p,) = planned()
    store = Store(here / "results")
    store.add(run(p.spec, p.checkpoint))
    assert Store(here / "results").get(p.spec).spec == p.spec


def test_run_of_other_weights_or_of_edited_code_is_another_run(here):
    keys = {planned()[0].spec.key}
    weigh(here / "weights.pt", 1)
    keys |= {planned()[0].spec.key}
    (here / "mine.py").write_text(WEIGHED + "# edited\n")
    keys |= {planned()[0].spec.key}
    assert len(keys) == 3


def test_run_refuses_weights_that_changed_since_it_was_planned(here):
    (p,) = planned()
    weigh(here / "weights.pt", 1)
    with pytest.raises(PluginError, match=r"mine\.py, or its weights, changed since the run was planned"):
        run(p.spec, p.checkpoint)


def test_networks_are_in_evaluation_mode_and_frozen(here):
    model = external_model.load("mine.py")
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_gradient_of_a_decoded_sample_reaches_the_latent(here):
    space = Space(external_model.load("mine.py"), "mean")
    z = torch.zeros(2, 1, 16, requires_grad=True)
    space.decode(z).sum().backward()
    assert z.grad is not None and z.grad.any()


def test_double_precision_search_of_a_frozen_model_decodes_in_double_precision(here):
    space = Space(external_model.load("mine.py"), "mean", dtype=torch.float64)
    assert space.decode(torch.zeros(1, 1, 16, dtype=torch.float64)).dtype == torch.float64


LOW = {
    "half, cast by the user": ("network.half()", ".half()", torch.float16),
    "half, not cast": ("network.half()", "", torch.float16),
    "bfloat16, cast by the user": ("network.bfloat16()", ".bfloat16()", torch.bfloat16),
    "double, not cast": ("network.double()", "", torch.float64),
}


def of_low_precision(case):
    """Return code of a model whose weights are of another precision than a run's."""
    network, cast, dtype = LOW[case]
    code = WEIGHED.replace("return network\n", f"return {network}\n")
    return code.replace("network(x.flatten(1) - 0.1)", f"network(x{cast}.flatten(1) - 0.1)").replace(
        "(z @ network", f"(z{cast} @ network"
    ), dtype


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize("case", LOW)
def test_model_of_another_precision_is_searched_with_and_without_a_gradient(here, case, precision):
    code, dtype = of_low_precision(case)
    (here / "mine.py").write_text(code)
    for searcher in ("adam", "sobol"):
        (p,) = plan(Grid(("mine.py",), ["ink.py"], [searcher]), Protocol(max_steps=3, precision=precision))
        record = run(p.spec, p.checkpoint)
        assert record.status == "ok" and record.tensors["z"].isfinite().all()
    assert {w.dtype for w in external_model.load("mine.py").weights()} == {dtype}


@pytest.mark.parametrize("case", LOW)
def test_model_of_another_precision_keeps_its_promises_and_is_measured(here, case):
    (here / "mine.py").write_text(of_low_precision(case)[0])
    assert not [f for f in examine_model("mine.py") if f.state == "missing"]
    images = torch.rand(60, 1, 28, 28)
    assert evaluate(external_model.load("mine.py"), images, SampleSizes(0, 0, 20))[0].retrieval is not None


@pytest.mark.parametrize("method", ["half", "bfloat16"])
def test_two_modules_of_low_precision_are_a_model(here, method):
    encoder, decoder = (getattr(module, method)() for module in (Encoder(), Decoder()))
    mine = lso_bench.model(encoder, decoder, latent=3, data="noise.py")
    (record,) = lso_bench.Study(mine, "./ink.py", max_steps=2).run(here / "results", quiet=True).records
    assert record.status == "ok"


def test_model_that_casts_to_single_precision_is_said_to_take_no_other(here):
    (here / "mine.py").write_text(WEIGHED.replace("(z @ network", "(z.float() @ network"))
    (finding,) = (f for f in examine_model("mine.py") if f.promise == "precision")
    assert finding.state == "ok" and "--precision fp64 ends in an error" in finding.says


def test_pictures_of_other_weights_have_other_names(here, call):
    (here / "other.py").write_text(MINE)
    drawn = set()
    for seed in (0, 1):
        weigh(here / "weights.pt", seed)
        models = ("--model", "mine.py,other.py", "--task", "ink.py", "--searcher", "sobol", "--budget", 20, "--quiet")
        for words in (
            ("run", *models, "--results", f"r{seed}"),
            ("evaluate", "--model", "mine.py", "--codes", 0, "--results", f"r{seed}"),
            ("traverse", "--model", "mine.py", "--steps", 2, "--results", f"r{seed}"),
        ):
            assert call(*words).returncode == 0
        names = {f.name for part in ("pictures", "traversals") for f in (here / f"r{seed}" / part).iterdir()}
        assert names and not names & drawn
        drawn |= names


def test_settings_of_a_frozen_model_follow_its_name(here):
    (here / "mine.py").write_text(WEIGHED.replace("    data =", "    offset: float = 0.1\n    data =", 1))
    assert named_model("mine.py", None, "", 1, 0).name == "./mine.py:offset=0.1"
    assert named_model("mine.py:offset=0.2", None, "", 1, 0).name == "./mine.py:offset=0.2"


@pytest.mark.parametrize("searcher", ["adam", "lbfgs"])
def test_decoder_that_gives_no_gradient_is_named_where_a_searcher_follows_it(here, searcher):
    (here / "mine.py").write_text(WEIGHED.replace("(z @ network.weight", "(z.round().detach() @ network.weight"))
    (p,) = plan(Grid(("mine.py",), ["ink.py"], searchers=[searcher]), Protocol(budget=3))
    says = r"model \./mine\.py: its decoder gives no gradient, .*`differentiable = False` in the model, .*cmaes, bo"
    with pytest.raises(PluginError, match=says):
        run(p.spec, p.checkpoint)


SCALED = (
    MINE.replace("    def load", "    scale: float = 1.0\n\n    def load")
    .replace("x.flatten(1) - 0.1)", "x.flatten(1) - 0.1) * self.scale")
    .replace("(z @", "(z / self.scale @")
)


def scaled_runs(here, *scales, **how):
    """Runs of one model with latents of these scales; powers of 2 leave the rest the same to the last bit."""
    (here / "scaled.py").write_text(SCALED)
    models = tuple(f"scaled.py:scale={s!r}" for s in scales)
    grid = Grid(models, ["ink.py"], seeds=(0, 1))
    return [run(p.spec, p.checkpoint) for p in plan(grid, Protocol(max_steps=40, starts=("random",), **how))]


@pytest.mark.parametrize("space", ["standard", "pca:3", "examples:3"])
def test_distances_and_basins_do_not_depend_on_the_scale_of_the_latents(here, space):
    records = scaled_runs(here, 1.0, 2**-6, space=space)
    norms = {r.tensors["z"].norm().item() for r in records}
    assert max(norms) > 50 * min(norms)
    rows = measures(*records).measures
    for measure in ("distance", "basin", "gap", "norm u"):
        first, second = (r for _, r in rows[rows.measure == measure].groupby("model"))
        columns = ["threshold", "estimate", "median", "n"]
        pd.testing.assert_frame_equal(*(r[columns].reset_index(drop=True) for r in (first, second)))


def test_result_that_lacks_coordinates_has_no_distances_and_says_so(here):
    """Results of earlier versions have the latents z alone."""
    records = scaled_runs(here, 1.0)
    assert {"u", "u_met"} <= records[0].tensors.keys()
    old = [replace(r, tensors={k: t for k, t in r.tensors.items() if k not in ("u", "u_met")}) for r in records]
    compared, whole = measures(*old), measures(*records)
    names = {*compared.measures.measure}
    assert "gap" in names and not names & {"distance", "basin"}
    (note,) = (n for n in compared.notes if n not in whole.notes)
    assert "2 runs" in note and "an earlier version did not store u" in note
    assert "Between two starts" in tables.markdown(compared) and "u in the others" in tables.markdown(whole)
    assert "u in the others" not in tables.markdown(compared)


@pytest.mark.parametrize(("likelihood", "distinct"), [("bernoulli", 1), ("gaussian", 2)])
def test_dark_images_are_the_same_only_where_the_data_are_binary(here, likelihood, distinct):
    (here / "noise.py").write_text(NOISE.replace("bernoulli", likelihood))
    x = torch.tensor([0.1, 0.3]).view(2, 1, 1, 1).expand(-1, 1, 28, 28)
    diagnoses = diagnose(Space(external_model.load("mine.py"), "mean"), Ink(), torch.zeros(2, 16), x)
    assert len({d["image"] for d in diagnoses}) == distinct


def test_search_in_the_space_of_the_prior_keeps_its_latents_alone(here):
    (record, _) = scaled_runs(here, 1.0, space="prior")
    assert {*record.tensors} == {"z", "z_met", "decoded"}
    assert "u in the others" not in tables.markdown(measures(record))


def test_models_of_several_defaults_have_distances_in_the_coordinates_of_each(here):
    (here / "scaled.py").write_text(SCALED)
    outside = scaled_runs(here, 2**-6)
    like = {k: getattr(outside[0].spec, k) for k in ("task", "decoding")}
    ours = [searched({"random": [[9.0, 5.0]]}, init=i, **like) for i in (0, 1)]
    records = united([*outside, *ours])
    assert {r.spec.space for r in records} == {"by model"}
    (name,) = {r.spec.model.name for r in records if r.spec.model.external}
    rows, alone = measures(*records).measures, measures(*outside)
    (row,) = rows[(rows.measure == "distance") & (rows.model == name) & rows.threshold.isna()].to_dict("records")
    assert row["median"] == one(alone, "distance")["median"]


def test_results_of_a_model_whose_file_is_gone_are_compared_as_before(here):
    (here / "scaled.py").write_text(SCALED)
    outside = scaled_runs(here, 2**-6)
    like = {k: getattr(outside[0].spec, k) for k in ("task", "decoding")}
    runs = [*outside, *(searched({"random": [[9.0, 5.0]]}, init=i, **like) for i in (0, 1))]
    before = tables.markdown(measures(*united(runs)))
    assert "--space" not in command.command(outside[0].spec)
    (here / "scaled.py").unlink()
    assert tables.markdown(measures(*united(runs))) == before
    assert "--space standard" in command.command(outside[0].spec)  # what it would have by default is not known any more


def test_gradient_search_needs_a_differentiable_decoder(here):
    (here / "mine.py").write_text(WEIGHED + "\n    differentiable = False\n")
    with pytest.raises(UsageError, match=r"adam.* needs gradients, and model './mine.py' gives none"):
        planned()


def test_model_of_another_data_set_is_refused_when_planned(here):
    with pytest.raises(UsageError, match=r"scores glyphs, and model './mine.py' is of ./noise.py"):
        plan(Grid(["mine.py"], ["ink"]))


def test_decoding_of_our_networks_is_refused(here):
    with pytest.raises(UsageError, match=r"'greedy' is not for model './mine.py', which decodes by itself"):
        planned(decoding="greedy")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            ("class Mine(FrozenModel)", "class Mine"),
            r"wanted one subclass of FrozenModel .* or of Objective .*, got none",
        ),
        (("import torch\n", "import torch\nimport nothing_of_this_name\n"), "does not import: ModuleNotFoundError"),
        (('data = "noise.py"', 'data = ""'), "names no data set"),
        (('data = "noise.py"', 'data = "omniglott"'), "Did you mean 'omniglot'"),
        (("latent = 16", "latent = 0"), "wanted latent, a whole number from 1, got 0"),
        (
            ("latent = 16", "latent = (4, 2, 2)"),
            r"got \(4, 2, 2\); .* say latent = 16, end encode with .flatten\(1\), .* z.unflatten\(1, \(4, 2, 2\)\)",
        ),
        (('files = ("weights.pt",)', "files = 7"), "wanted files, a tuple of names, got 7"),
        (("def decode", "def decod"), "abstract; write its decode"),
    ],
)
def test_file_that_is_no_frozen_model_is_refused_when_planned(here, change, match):
    (here / "mine.py").write_text(WEIGHED.replace(*change, 1))
    with pytest.raises(UsageError, match=match):
        planned()


def test_file_with_two_frozen_models_names_both(here):
    (here / "mine.py").write_text(WEIGHED + WEIGHED.replace("Mine", "Yours"))
    with pytest.raises(UsageError, match=r"wanted one subclass of FrozenModel, got 2 \(Mine, Yours\)"):
        planned()


def test_missing_weights_are_named_when_planned(here):
    (here / "weights.pt").unlink()
    with pytest.raises(UnusableError, match=r"its weights .*weights.pt cannot be read: No such file"):
        planned()


BROKEN_CODE = {
    "encoder's shape": (
        ("return network(x.flatten(1) - 0.1)", "return network(x.flatten(1))[:, :3]"),
        "wanted latents of shape",
    ),
    "no tensor": (
        ("return network(x.flatten(1) - 0.1)", "return [1]"),
        r"wanted latents of shape \(2, 16\).* got list",
    ),
    "latents with axes": (
        ("return network(x.flatten(1) - 0.1)", "return network(x.flatten(1)).unflatten(1, (4, 2, 2))"),
        r"got \(2, 4, 2, 2\); latents with axes are flattened: say latent = 16, end encode with",
    ),
    "codes": (
        ("return network(x.flatten(1) - 0.1)", "return network(x.flatten(1)).long()"),
        "got torch.int64; give the continuous vectors before quantization",
    ),
    "weights alone": (
        ("return network\n", "return {'state_dict': network.state_dict()}\n"),
        "wanted a torch.nn.Module from load, got dict; build the network, call its load_state_dict, .*Lightning",
    ),
    "decoder's shape": ((".unflatten(1, (1, 28, 28))", ""), r"wanted samples of shape \(2, 1, 28, 28\) .*got .*784"),
    "whole numbers": ((".unflatten(1, (1, 28, 28))", ".unflatten(1, (1, 28, 28)).long()"), "got torch.int64"),
    "no module": (("return network\n", "return 5\n"), "wanted a torch.nn.Module from load, got int"),
    "raises": (
        ("return (z @", "raise ZeroDivisionError('no')\n        return (z @"),
        r"decode raised ZeroDivisionError: no \(mine\.py, line \d+\)",
    ),
    "ends the program": (("return (z @", "raise SystemExit(0)\n        return (z @"), "decode raised SystemExit: 0"),
    "latents of another size": (("latent = 16", "latent = 8"), "load raised RuntimeError: .*size mismatch"),
}


@pytest.mark.parametrize("change", BROKEN_CODE)
def test_broken_contract_is_one_line_with_the_model_and_method(here, change):
    edit, match = BROKEN_CODE[change]
    (here / "mine.py").write_text(WEIGHED.replace(*edit, 1))
    with pytest.raises(PluginError, match=f"^model mine.py: .*({match})"):
        external_model.load("mine.py")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", pickle.dumps({"weight": 1})])
def test_damaged_weights_fail_their_runs_and_the_study_goes_on(here, call, content):
    (here / "weights.pt").write_bytes(content)
    (here / "other.py").write_text(MINE)
    answer = call(
        "run", "--model", "mine.py,other.py", "--task", "ink.py", "--max-steps", 2, "--no-pictures", "--quiet"
    )
    states = {r.spec.model.name: (r.status, r.error) for r in Store(here / "results")}
    assert states["./other.py"][0] == "ok" and states["./mine.py"][0] == "failed"
    assert "model ./mine.py:" in states["./mine.py"][1] and "load raised" in states["./mine.py"][1]
    assert answer.returncode == 3 and "Traceback" not in answer.stderr


def test_weights_that_hold_code_are_not_executed(here):
    class Evil:
        def __reduce__(self):
            return (open, (str(here / "evil"), "w"))

    torch.save({"weight": Evil()}, here / "weights.pt")
    with pytest.raises(
        PluginError, match=r"load raised ValueError: weights\.pt is damaged, or holds more than tensors"
    ):
        external_model.load("mine.py")
    assert not (here / "evil").exists()


def test_latents_of_a_deterministic_encoder_have_no_variance(here):
    model = external_model.load("mine.py")
    assert model.deterministic and not model.encode(torch.rand(3, 1, 28, 28)).stddev.any()


def test_distribution_of_the_encoder_is_used(here):
    (here / "mine.py").write_text(
        WEIGHED.replace(
            "return network(x.flatten(1) - 0.1)", "return torch.distributions.Normal(network(x.flatten(1)), 2.0)"
        )
    )
    model = external_model.load("mine.py")
    q = model.encode(torch.rand(3, 1, 28, 28))
    assert not model.deterministic and q.event_shape == (16,) and (q.stddev == 2).all()


def test_space_of_a_frozen_model_decodes_and_encodes_by_hand(here):
    space = lso_bench.space("mine.py")
    x = space.decode(torch.zeros(1, 2, 16))
    assert x.shape == (1, 2, 1, 28, 28) and torch.allclose(x, torch.full_like(x, 0.1))
    assert space.means(x[0]).shape == (2, 16)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(784, 3)

    def forward(self, x):
        return Normal(self.linear(x.flatten(1)), 0.5)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.dropout = nn.Linear(3, 784), nn.Dropout(0.5)

    def forward(self, z):
        return self.dropout(self.linear(z)).sigmoid().unflatten(1, (1, 28, 28))


def test_two_modules_are_a_model_in_python(here):
    encoder, decoder = Encoder(), Decoder()
    mine = lso_bench.model(encoder, decoder, latent=3, data="noise.py", name="pair")
    results = lso_bench.Study(mine, "./ink.py", max_steps=2).run(here / "results", quiet=True)
    (record,) = results.records
    assert record.status == "ok" and record.spec.model.name.startswith("pair@")
    assert decoder.training and all(p.requires_grad for p in decoder.parameters()), "the user's own stay as they were"


def test_two_modules_have_a_space_and_can_be_checked(here):
    mine = lso_bench.model(Encoder(), nn.Sequential(Decoder()), latent=3, data="noise.py")
    assert lso_bench.space(mine).decode(torch.zeros(1, 2, 3)).shape == (1, 2, 1, 28, 28)
    states = {f.promise: f.state for f in examine_model(mine)}
    assert states["samples"] == "ok" and states["settings"] == "not made"
    assert states["worker"] == "not made"  # it stays in this process, where its class may be one of a notebook
    assert len(str(mine)) < 80  # no networks


@pytest.mark.parametrize(
    ("points", "got"), [(torch.zeros(2, 3), r"\(2, 3\)"), (torch.zeros(1, 2, 4), r"\(1, 2, 4\)"), ([[0.0]], "list")]
)
def test_points_of_another_shape_are_answered_with_the_one_that_is_wanted(here, unchecked, points, got):
    space = lso_bench.space(lso_bench.model(Encoder(), Decoder(), latent=3, data="noise.py"))
    with pytest.raises(ValueError, match=rf"of shape \(problems, points, 3\), got {got}; .* z\[None\]"):
        space.decode(points)


def test_model_without_a_density_says_so(here):
    space = lso_bench.space(lso_bench.model(Encoder(), Decoder(), latent=3, data="noise.py"))
    with pytest.raises(PluginError, match=r"has no log p\(x\|z\); write a method `log_prob`"):
        space.log_prob(torch.zeros(1, 1, 28, 28), torch.zeros(1, 3))


def test_model_of_two_modules_is_displayed_under_another_name_without_its_hash(here):
    mine = lso_bench.model(Encoder(), Decoder(), latent=3, data="noise.py", name="pair")
    compared = lso_bench.Study(mine, "./ink.py", max_steps=2).run(here / "results", quiet=True).compare()
    text = compared.latex("final", labels={"pair": "Our pair"})
    assert "Our pair" in text and "pair@" not in text.partition("\\begin{tabular}")[2]
    with pytest.raises(UsageError, match="No model, searcher, task or start 'par'"):
        compared.latex("final", labels={"par": "Our pair"})


def test_two_modules_may_say_that_they_have_no_gradient(here):
    mine = lso_bench.model(Encoder(), Decoder(), latent=3, data="noise.py", differentiable=False)
    with pytest.raises(UsageError, match="needs gradients"):
        lso_bench.Study(mine, "./ink.py", "adam").plan()
    assert lso_bench.Study(mine, "./ink.py", "cmaes").plan()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"latent": 0}, "wanted latent, a whole number from 1, got 0"),
        ({"data": "glyfs"}, "Did you mean 'glyphs'"),
        ({"encoder": len}, "encoder"),
        ({"data": torch.zeros(2, 1, 28, 28)}, "data: wanted the name of a data set, .* got Tensor"),
    ],
)
def test_modules_that_are_no_model_are_refused_at_once(unchecked, arguments, match):
    right = {"encoder": Encoder(), "decoder": Decoder(), "latent": 3, "data": "glyphs"}
    with pytest.raises((UsageError, TypeError), match=match):
        lso_bench.model(**right | arguments)


class Conditional(nn.Module):
    """A decoder that wants a label, too."""

    def forward(self, z, y, scale: float = 1.0):
        return (z * scale + y).mean(-1)[:, None, None, None].expand(-1, 1, 28, 28)


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("scripted", [False, True])
def test_decoder_that_wants_more_than_latents_is_answered_with_what_to_write(scripted):
    decoder = torch.jit.script(Conditional()) if scripted else Conditional()
    with pytest.raises(TypeError, match=r"decoder: .*one argument, got forward\(z, y\); wrap it .* with a field `y`"):
        lso_bench.model(Encoder(), decoder, latent=3, data="glyphs")


class Scripted(nn.Module):
    """Networks for TorchScript, with an attribute that is no tensor."""

    def __init__(self, k: float = 0.5):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, 784, generator=generator) / 28)
        self.k = k

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.k * x @ self.weight).sigmoid().unflatten(1, [1, 28, 28])


class ScriptedEncoder(Scripted):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.weight.T * self.k


def saved(module):
    """The module as another process loads it from its file."""
    return torch.jit.load(io.BytesIO(module.save_to_buffer()))


SCRIPTED = (
    MINE.replace("files = ()", 'files = ("whole.pt",)')
    .replace("latent = 16", "latent = 3")
    .replace("network = nn.Linear(28 * 28, self.latent, bias=False)", 'return LOAD(str(folder / "whole.pt"))')
    .replace("network(x.flatten(1) - 0.1)", "network.encoder(x)")
    .replace("(z @ network.weight + 0.1).clamp(0, 1).unflatten(1, (1, 28, 28))", "network.decoder(z)")
)


class Whole(nn.Module):
    """Encoder and decoder in one module, without a `forward`."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = ScriptedEncoder(), Scripted()


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("way", ["torch.jit.load", "__import__('copy').deepcopy(torch.jit.load)"])
@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_scripted_module_is_searched_from_its_file(here, way, precision):
    torch.jit.script(Whole()).save(here / "whole.pt")
    copied = SCRIPTED.replace("LOAD(str(", "__import__('copy').deepcopy(torch.jit.load(str(").replace(
        '"whole.pt"))\n', '"whole.pt")))\n'
    )
    (here / "mine.py").write_text(SCRIPTED.replace("LOAD", "torch.jit.load") if way == "torch.jit.load" else copied)
    (p,) = planned(precision=precision)
    record = run(p.spec, p.checkpoint)
    assert record.status == "ok" and record.members[0].loss < record.members[0].first_loss
    assert not any(w.requires_grad for w in external_model.load("mine.py").parameters())


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_two_scripted_modules_are_a_model_and_run_once(here):
    encoder, decoder = torch.jit.script(ScriptedEncoder()), torch.jit.script(Scripted())
    keys = set()
    for pair in ((encoder, decoder), (saved(encoder), saved(decoder))):
        mine = lso_bench.model(*pair, latent=3, data="noise.py", name="pair")
        (record,) = lso_bench.Study(mine, "./ink.py", max_steps=2).run(here / "results", quiet=True).records
        assert record.status == "ok"
        keys |= {record.spec.key}
    assert len(keys) == 1 and all(w.requires_grad for w in decoder.parameters()), "the user's own stay as they were"


def test_pair_of_modules_with_other_weights_has_another_name(here):
    encoder, decoder = Encoder(), Decoder()
    names = set()
    for _ in range(2):
        mine = lso_bench.model(encoder, decoder, latent=3, data="noise.py")
        names |= {lso_bench.Study(mine, "./ink.py").grid.models[0]}
        nn.init.zeros_(decoder.linear.bias)
    assert len(names) == 2


def test_example_keeps_all_its_promises(here):
    (here / "example.py").write_text(MINE)
    check_model("example.py")


PROMISES = {
    "dropout in training mode": (
        "return (z @",
        "z = nn.functional.dropout(z, 0.5, training=True)\n        return (z @",
        {"determinism", "batch independence", "worker"},
    ),
    "batch statistics": (
        "return network(x.flatten(1) - 0.1)",
        "z = network(x.flatten(1))\n        return (z - z.mean(0)) / (z.std(0, correction=0) + 1e-3)",
        {"batch independence"},
    ),
    "another decoder": ("return (z @ network.weight", "return (-z @ network.weight", {"reconstruction"}),
    "no gradient": ("return (z @", "z = z.detach()\n        return (z @", {"gradient"}),
    "not in the unit interval": (".clamp(0, 1)", ".mul(5)", {"samples"}),
    "not finite": ("+ 0.1).clamp(0, 1)", "+ 0.1).clamp(0, 1).log()", {"samples"}),
    "wrong sign of the density": (
        "    def encode",
        "    def log_prob(self, network, x, z):\n"
        "        return (x - self.decode(network, z)).square().flatten(1).sum(-1)\n\n"
        "    def encode",
        {"density"},
    ),
    "no docstring": (
        '    """Projection of a glyph to a random plane; put your own networks here."""\n',
        "",
        {"description"},
    ),
    "prints": ("return (z @", "print('z')\n        return (z @", {"side effects"}),
}


@pytest.mark.parametrize("fault", PROMISES)
def test_each_broken_promise_of_a_frozen_model_is_named(here, fault):
    before, after, promises = PROMISES[fault]
    assert before in MINE
    (here / "example.py").write_text(MINE.replace(before, after, 1))
    assert {f.promise for f in examine_model("example.py") if f.state == "missing"} == promises


UNUSABLE = {
    "logits": (".clamp(0, 1)", ".mul(5)", r"wanted images in \[0, 1\] from decode, got -"),
    "bytes": (".clamp(0, 1)", ".clamp(0, 1).mul(255)", r"wanted images in \[0, 1\] .* got 0 to"),
    "dropout": ("return (z @", "z = nn.functional.dropout(z)\n        return (z @", "the same from decode asked twice"),
    "noise of the encoder": (
        "return network(x.flatten(1) - 0.1)",
        "z = network(x.flatten(1) - 0.1)\n        return z + torch.randn_like(z)",
        "the same from encode asked twice",
    ),
    "not finite": (".clamp(0, 1)", ".clamp(0, 1).log()", "wanted finite samples from decode, got 8 of 8"),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_model_that_no_search_can_use_is_refused_by_every_use_and_by_check_model(here, fault):
    before, after, match = UNUSABLE[fault]
    (here / "mine.py").write_text(MINE.replace(before, after, 1))
    (p,) = planned()
    with pytest.raises(PluginError, match=f"^model ./mine.py: .*{match}"):
        run(p.spec, p.checkpoint)
    with pytest.raises(PluginError, match=match):
        lso_bench.space("./mine.py")
    with pytest.raises(PluginError, match=match):
        measurements.measured([p.spec.model], here)
    assert [f for f in examine_model("mine.py") if f.state == "missing"]


def test_two_modules_whose_decoder_gives_logits_fail_their_runs(here):
    decoder = nn.Sequential(nn.Linear(3, 784), nn.Unflatten(1, (1, 28, 28)))
    mine = lso_bench.model(Encoder(), decoder, latent=3, data="noise.py")
    with pytest.warns(UserWarning, match=r"wanted images in \[0, 1\]"):
        (record,) = lso_bench.Study(mine, "./ink.py", max_steps=2).run(here / "results", quiet=True).records
    assert record.status == "failed" and "end it in a sigmoid" in record.error


def test_unbounded_samples_of_a_model_may_leave_the_unit_interval(here):
    (here / "free.py").write_text(NOISE.replace('"bernoulli"', '"gaussian:bounded=false"'))
    edited = MINE.replace(".clamp(0, 1)", ".mul(5)").replace("noise.py", "free.py")
    (here / "mine.py").write_text(edited)
    assert lso_bench.space("./mine.py").decode(torch.ones(1, 2, 16)).min() < 0


SCALES = {
    "a log-variance": "torch.distributions.Normal(z, -z.abs() - 1)",
    "zero": "torch.distributions.Normal(z, 0 * z)",
    "negative and not validated": "torch.distributions.Normal(z, -z.abs() - 1, validate_args=False)",
    "infinite": "torch.distributions.Normal(z, z.abs() / 0, validate_args=False)",
}


@pytest.mark.parametrize("scale", SCALES)
def test_bad_standard_deviation_is_answered_with_how_to_write_it(here, scale):
    body = f"z = network(x.flatten(1) - 0.1)\n        return {SCALES[scale]}"
    (here / "mine.py").write_text(MINE.replace("return network(x.flatten(1) - 0.1)", body))
    with pytest.raises(PluginError, match=r"encode.*write Normal\(mean, \(logvar / 2\)\.exp\(\)\)") as refused:
        external_model.load("mine.py")
    assert "tensor(" not in str(refused.value) and "torch.Size" not in str(refused.value)


FAR = MINE.replace("return (z @", "z = z.where(z.norm(dim=1, keepdim=True) < 8, torch.nan)\n        return (z @")


def test_sample_that_is_not_finite_is_said_to_come_from_the_decoder(here):
    (here / "mine.py").write_text(FAR)
    model = external_model.load("mine.py")
    with pytest.raises(PluginError, match=r"mine.py: decode gave 1 of 2 samples that are not finite"):
        model.encode(model.mean(torch.cat([torch.zeros(1, 16), torch.full((1, 16), 5.0)])))


def test_searches_that_diverged_leave_those_that_did_not_their_consistency(here):
    (here / "mine.py").write_text(FAR)
    space = Space(external_model.load("mine.py"), "mean")
    z = torch.cat([torch.zeros(1, 16), torch.full((1, 16), 5.0)])
    noted = diagnose(space, Ink(), z, space.vae.mean(z))
    assert [math.isfinite(n["consistency"]) for n in noted] == [True, False]


def test_evaluate_and_traverse_go_on_with_the_other_models_and_name_the_bad_one(here, call):
    (here / "bad.py").write_text(MINE.replace(".clamp(0, 1)", ".mul(5)"))
    (here / "good.py").write_text(MINE)
    evaluated = call("evaluate", "--model", "bad.py,good.py", "--codes", 0)
    assert evaluated.returncode == 3 and "./good.py" in evaluated.stdout
    assert "Failed: ./bad.py: model ./bad.py: wanted images in [0, 1]" in evaluated.stderr
    walked = call("traverse", "--model", "bad.py,good.py", "--dimensions", 0, "--steps", 2)
    assert walked.returncode == 3 and "good" in walked.stderr and "Failed: ./bad.py" in walked.stderr
    assert call("evaluate", "--model", "bad.py", "--codes", 0).returncode == 2


def test_spread_of_narrow_codes_is_said_with_the_remedy(here):
    (here / "example.py").write_text(MINE.replace("x.flatten(1) - 0.1", "(x.flatten(1) - 0.1) / 1000"))
    (finding,) = (f for f in examine_model("example.py") if f.promise == "spread")
    assert "of the prior's shell 4" in finding.says and "--space standard" in finding.says


def test_spread_of_latents_that_are_all_the_same_is_no_spread(here):
    """A run in the default coordinates of such a model fails; in those of the prior it does not."""
    (here / "mine.py").write_text(
        MINE.replace("return network(x.flatten(1) - 0.1)", "return x.new_full((len(x), 16), 0.3)")
    )
    (finding,) = (f for f in examine_model("mine.py") if f.promise == "spread")
    assert finding.state == "missing" and "say --space prior" in finding.missing
    (p,) = planned()
    with pytest.raises(PluginError, match="finite spread"):
        run(p.spec, p.checkpoint)
    (p,) = planned(space="prior")
    assert run(p.spec, p.checkpoint).status == "ok"


def test_commands_write_check_list_and_walk_a_frozen_model(here, call):
    assert call("new-model", "first").returncode == 0
    (here / "first.py").write_text((here / "first.py").read_text().replace('data = "glyphs"', 'data = "noise.py"'))
    checked = call("check-model", "first.py", "--json")
    assert checked.returncode == 0 and {f["state"] for f in json.loads(checked.stdout)} == {"ok", "not made"}
    walked = call("traverse", "--model", "first.py", "--steps", 5, "--dimensions", 0)
    assert walked.returncode == 0, walked.stderr
    assert len([*(here / "results" / "traversals").glob("*.png")]) >= 2


def test_bad_model_file_is_one_line_in_every_command(here, call):
    (here / "mine.py").write_text("x = 1\n")
    for words in (["run", "--task", "ink.py"], ["evaluate"], ["traverse"], ["check-model"]):
        where = ["mine.py"] if words == ["check-model"] else ["--model", "mine.py"]
        answer = call(*words, *where)
        lines = messages(answer.stderr) or answer.stdout.splitlines()
        assert answer.returncode not in (0, 1) and len(lines) == 1 and "FrozenModel" in lines[0], lines


def test_models_of_several_architectures_share_a_section_where_one_is_from_outside(made_records):
    ours, mine, teacher = united(made_records)
    assert (ours.spec.model.name, mine.spec.model.name) == ("vae (conv)", "./mine.py")
    assert ours.spec.model.arch == mine.spec.model.arch == "several"
    assert teacher.spec.model.arch == "small", "it decodes in another way"
    assert [r.spec.key for r in (ours, mine, teacher)] == [r.spec.key for r in made_records]


def test_models_of_our_networks_alone_keep_their_sections(made_records):
    ours = [made_records[0], made_records[2]]
    assert united(ours) == ours


def dimensions_differ():
    """Searches in one of our models, and in one from outside of another size."""
    paths = {"random": [[5.0, 3.0], [6.0, 4.0]]}
    models = Model("vae", "omniglot", "conv"), Model("./mine.py", "omniglot", EXTERNAL, 16)
    return [searched(paths, model=model, decoding="mean") for model in models]


def test_models_that_decode_in_another_way_are_said_to_be_not_compared():
    teacher = searched({"random": [[5.0, 3.0], [6.0, 4.0]]}, model=Model("vae", "omniglot"), decoding="teacher")
    (line,) = [line for line in caveats(united([*dimensions_differ(), teacher])) if "not compared" in line]
    assert "./mine.py from the latent alone" in line and "--arch conv" in line


def test_settings_that_differ_within_a_united_section_are_flagged():
    ours, mine = dimensions_differ()
    records = [ours, replace(mine, spec=replace(mine.spec, region="box:3"))]
    assert [line for line in caveats(united(records)) if "differ in search regions" in line]


def test_trainings_are_compared_within_an_architecture():
    ours, mine = dimensions_differ()
    small = replace(ours, spec=replace(ours.spec, model=Model("vae", "omniglot", "small")), versions={"epochs": 90})
    records = [replace(ours, versions={"epochs": 20}), mine, small]
    assert not [line for line in caveats(united(records)) if "was trained for" in line]


def test_no_number_of_dimensions_is_given_where_models_differ_in_it():
    comparison = measures(*united(dimensions_differ()))
    assert {r["latent"] for r in json.loads(as_json(comparison))["measures"]} == {None}
    assert pd.read_csv(io.StringIO(as_csv(comparison))).latent.isna().all()
    shown = "\n".join([tables.markdown(comparison), *summary(comparison, [])])
    assert "several architectures" in shown and not re.search(r"\bd ?= ?0|shell 0", shown)


@pytest.mark.parametrize("name", ["vae", "vae (conv)"])
def test_condition_may_name_models_of_a_united_section(name):
    comparison = measures(*united(dimensions_differ()))
    condition = verdict(f"./mine.py@random.loss >= {name}/adam@random.loss", comparison)
    assert condition.holds and condition.left == condition.right == 3.5


def test_exported_measures_are_those_of_the_comparison(tmp_path):
    records = dimensions_differ()
    home = {r.spec.key: Disk(r) for r in records}
    export(records, lambda spec: home[spec.key], "measures", "csv", tmp_path / "m.csv")  # pyright: ignore
    assert {*pd.read_csv(tmp_path / "m.csv").model} == {"vae (conv)", "./mine.py"}


def measured(name, arch, d):
    """A measured latent space of d dimensions."""
    means = dict.fromkeys(("nelbo", "distortion", "kl", "mi", "mi_b50", "divergence", "reencoding_logp"))
    metrics = Metrics(
        100, squared_error=1.0, au=d, reencoding_mean=0.1, activity=[1.0] * d, kl_each=None, se={}, **means
    )
    what = {"effort": asdict(SampleSizes()), "seed": 0, "checkpoint": name}
    return Measured(Model(name, "omniglot", arch, d), what, {}, "", metrics, {})


def test_measurements_name_each_model_s_own_dimensions():
    spaces = [measured("vae", "conv", 32), measured("./mine.py", EXTERNAL, 16)]
    table = metrics_table(spaces)
    assert "vae conv, d = 32, ./mine.py external, d = 16" in table.title and "5.7 or 4.0 away" in table.caption
    assert len(dimensions_table(spaces).rows) == len(dimensions_table(spaces[::-1]).rows) == 32


def test_measurements_of_different_data_sets_are_refused(here, call):
    answer = call("evaluate", "--model", "mine.py,vae", "--data", "glyphs", "--arch", "conv")
    assert answer.returncode == 2 and "Wanted models of one data set" in answer.stderr


def test_measurement_on_another_data_set_is_refused(here, call):
    answer = call("evaluate", "--model", "mine.py", "--data", "glyphs")
    assert answer.returncode == 2 and "has samples of ./noise.py, not of glyphs" in answer.stderr


@pytest.mark.parametrize("command", [["train"], ["import-checkpoint", "weights.pt"]])
def test_frozen_model_is_not_trained(here, call, command):
    answer = call(*command, "--model", "mine.py", "--data", "omniglot")
    (line,) = messages(answer.stderr)
    assert answer.returncode == 2 and "lso-bench run --model mine.py" in line


@pytest.mark.parametrize("name", ["./weights.pt", "weights.pt", "./absent.pth", "folder/"])
@pytest.mark.parametrize("command", [("check-model",), ("evaluate", "--model"), ("run", "--task", "ink.py", "--model")])
def test_weights_in_place_of_a_model_are_answered_with_the_file_that_they_need(here, call, name, command):
    answer = call(*command, name)
    (line,) = messages(answer.stderr)
    assert answer.returncode == 2 and "lso-bench new-model" in line and "`files`" in line


@pytest.mark.parametrize("option", ["--task", "--searcher", "--arch"])
def test_path_that_is_not_in_python_is_answered_with_what_it_should_be(here, call, option):
    words = {"--model": "mine.py", "--task": "ink.py", "--searcher": "sobol"}
    words |= {option: "./thing.txt"} | ({"--model": "vae"} if option == "--arch" else {})
    answer = call("run", *(part for pair in words.items() for part in pair))
    assert answer.returncode == 2 and "file of Python (.py) with a" in answer.stderr


def test_data_of_a_model_and_of_a_task_lie_beside_their_files(here, monkeypatch, call):
    sub = here / "sub"
    sub.mkdir()
    for name in ("mine.py", "weights.pt", "ink.py", "noise.py"):
        (here / name).rename(sub / name)
    assert named_model("sub/mine.py", None, "", 1, 0).data == "./sub/noise.py"
    (p,) = plan(Grid(["sub/mine.py"], ["sub/ink.py"]), Protocol(max_steps=2))
    assert run(p.spec, p.checkpoint).status == "ok"
    assert call("check-model", "sub/mine.py").returncode == call("check-task", "sub/ink.py").returncode == 0
    (here / "noise.py").write_text(NOISE.replace("300", "200"))  # another data set of that name, where we work
    assert named_model("sub/mine.py", None, "", 1, 0).data == "./sub/noise.py"


def test_data_of_a_task_that_the_user_names_are_in_the_working_folder(here):
    (here / "sub").mkdir()
    (here / "ink.py").write_text(TASK.replace("    data =", "    data: str =", 1).replace('"noise.py"', '"glyphs"'))
    (here / "ink.py").rename(here / "sub" / "ink.py")
    (here / "sub" / "noise.py").write_text(NOISE)
    (p,) = plan(Grid(["mine.py"], ["sub/ink.py:data=noise.py"]), Protocol(max_steps=2))
    assert run(p.spec, p.checkpoint).status == "ok"


def test_data_may_be_named_by_two_spellings_of_its_path(here):
    (here / "ink.py").write_text(TASK.replace('"noise.py"', f'"{here}/noise.py"'))
    (p,) = plan(Grid(["mine.py"], ["ink.py"]), Protocol(max_steps=2))
    assert run(p.spec, p.checkpoint).status == "ok"
    (here / "other.py").write_text(NOISE)
    (here / "ink.py").write_text(TASK.replace('"noise.py"', f'"{here}/other.py"'))
    with pytest.raises(UsageError, match=r"other\.py, and model './mine\.py' is of \./noise\.py"):
        plan(Grid(["mine.py"], ["ink.py"]))


def test_folder_with_the_name_of_a_built_in_data_set_is_another_one(here):
    (here / "glyphs").mkdir()
    assert is_same_path("./glyphs", f"{here}/glyphs") and not is_same_path("glyphs", "./glyphs")


def test_task_of_other_data_is_answered_with_one_that_fits(here):
    with pytest.raises(UsageError, match=r"a task on ./noise.py, as 'omniglot50:data=./noise.py'"):
        plan(Grid(["mine.py"], ["ink"]))
    with pytest.raises(UsageError, match=r"a task on ./noise.py, as '(glyphs50:.*data=./noise.py.*)'") as refused:
        plan(Grid(["mine.py"], ["glyphs50"]))
    advised = re.search(r"as '(.*)'\.", str(refused.value))[1]
    assert plan(Grid(["mine.py"], [advised], ["sobol"]))


def test_name_that_no_model_has_is_answered_with_how_to_give_a_file(here, call):
    answer = call("check-model", "mine")
    assert answer.returncode == 2 and "./mine.py" in answer.stderr


def test_model_that_edits_its_input_changes_nothing_outside(here):
    edited = WEIGHED.replace("        return (z @", "        z += 1\n        return (z @").replace(
        "return network(x.flatten(1) - 0.1)", "return network(x.sub_(0.1).flatten(1))"
    )
    (here / "mine.py").write_text(edited)
    model, x, z = external_model.load("mine.py"), torch.rand(2, 1, 28, 28), torch.zeros(2, 16)
    model.encode(x0 := x.clone()), model.mean(z)
    assert torch.equal(x, x0) and not z.any()


def test_model_of_a_package_sends_no_files_to_a_cluster():
    spec = replace(SPEC, model=Model("published", "omniglot", EXTERNAL, 16))
    assert _sources([PlannedRun(spec, Path("published.py"))]) == {}


def test_error_of_many_lines_is_one_line(here):
    (here / "mine.py").write_text(
        WEIGHED.replace("return (z @", "raise ValueError('a\\n\\tb. ' * 999)\n        return (z @")
    )
    with pytest.raises(PluginError) as refused:
        external_model.load("mine.py")
    assert "\n" not in str(refused.value) and "\t" not in str(refused.value) and len(str(refused.value)) < 500


def test_module_saved_whole_is_named_with_the_mend(here):
    torch.save(nn.Linear(784, 16, bias=False), here / "weights.pt")
    with pytest.raises(PluginError, match=r"weights.pt .* holds more than tensors .*save network.state_dict\(\)"):
        external_model.load("mine.py")


def test_encoder_that_gives_mean_and_variance_is_answered_with_the_form(here):
    (here / "mine.py").write_text(
        WEIGHED.replace("return network(x.flatten(1) - 0.1)", "m = network(x.flatten(1))\n        return m, m")
    )
    with pytest.raises(PluginError, match=r"got tuple; return its mean, or Normal\(mean, standard deviation\)"):
        external_model.load("mine.py")


def test_training_mode_that_load_leaves_is_ended(here):
    (here / "mine.py").write_text(WEIGHED.replace("return network\n", "return network.train()\n"))
    assert not any(m.training for m in external_model.load("mine.py").modules())


@pytest.fixture
def made_records():
    from made import Record

    def record(model, decoding="mean"):
        return Record(replace(SPEC, model=model, decoding=decoding), "ok")

    return [
        record(Model("vae", "omniglot", "conv")),
        record(Model("./mine.py", "omniglot", "external", 16)),
        record(Model("vae", "omniglot", "small"), "teacher"),
    ]


def test_identity_of_a_frozen_model_does_not_depend_on_its_folder(here):
    first = fingerprint(named_model("mine.py", None, "", 1, 0), here)
    (here / "sub").mkdir()
    for name in ("mine.py", "weights.pt"):
        (here / "sub" / name).write_bytes((here / name).read_bytes())
    model = named_model("sub/mine.py", None, "", 1, 0)
    assert fingerprint(model, find_checkpoint(model)) == first and load(model, here)[0].latent == 16
