"""Frozen models of texts: texts in and out, whatever the data's tokens can write, and each fault in one line."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from conftest import messages, random_vae
from hypothesis import given
from hypothesis import strategies as st

from lso_bench import expression_scores
from lso_bench.errors import PluginError, UsageError
from lso_bench.models import measurements, text_sheets
from lso_bench.runner.run import run
from lso_bench.store.store import Store
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.study.lookup import named_model
from lso_bench.tasks.expression import Expression
from lso_bench.testing import check_model, examine_model, template
from lso_bench.testing.text_model_promises import distances
from lso_bench.vae import external_model
from lso_bench.vae.architectures import architecture
from lso_bench.vae.code_use import exact
from lso_bench.vae.data import load
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.evaluation import SampleSizes, evaluate
from lso_bench.vae.text_samples import CUT, TextSamples

DATA = "expressions:count=500"  # at most 13 tokens of 12
TASK = f"expression:data={DATA}"
SAMPLES = TextSamples(DATASETS.build(DATA))
MINE = (
    template.TEXT_MODEL.replace("Example", "Mine")
    .replace('data = "expressions"', f'data = "{DATA}"')
    .replace('", 20  #', '", 32  #')
)
EXACT = MINE.replace("latent = 64", "latent = 480")  # a rotation of all characters
LIKELY = """
    def log_prob(self, network, texts, z):
        rows = [[SYMBOLS.find(c) for c in text[:LENGTH].ljust(LENGTH)] for text in texts]
        logits = (z @ network.weight).unflatten(1, (LENGTH, len(SYMBOLS))).mul(5).log_softmax(-1)
        return logits.gather(-1, torch.tensor(rows).clamp(min=0)[..., None]).sum((-2, -1))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(EXACT)
    return tmp_path


def decoding(here, answer):
    """Write a model whose `decode` returns the value of an expression."""
    start = EXACT.index("        tokens = (z @ network.weight)")
    (here / "mine.py").write_text(EXACT[:start] + f"        return {answer}\n")


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=5))
def test_every_text_that_a_sample_can_hold_survives_it(texts):
    x = SAMPLES.samples(texts)
    assert x.shape == (len(texts), *DATASETS.build(DATA).shape)
    assert SAMPLES.texts(x) == SAMPLES.texts(x.double().clone()) == texts


def test_text_of_the_data_is_the_sample_that_its_tokens_are():
    x = load(DATA).test
    assert torch.equal(SAMPLES.samples(SAMPLES.texts(x)), x)
    assert all(map(SAMPLES.writes, SAMPLES.texts(x))) and not SAMPLES.writes("x-1")


def test_text_that_a_sample_cannot_hold_is_cut_and_says_so():
    (text,) = SAMPLES.texts(SAMPLES.samples(["x" * 1000]))
    room = (SAMPLES.source.length - 1) * (1 + len(SAMPLES.source.symbols))
    assert text == "x" * (room - 1) + CUT and expression_scores([text]) == [None]


def test_spelled_text_is_empty_to_a_reader_of_tokens():
    assert SAMPLES.source.texts(SAMPLES.samples(["x-1"]).argmax(-1).numpy()) == [""]


def test_task_scores_the_text_itself_where_tokens_cannot_write_it():
    texts = ["1+1+1+1+1+1+1+1", "x-1", "x", "1/3+x+sin(x*x)"]
    assert [SAMPLES.writes(t) for t in texts] == [False, False, True, True]
    task, x = Expression(data=DATA), SAMPLES.samples(texts)[None]
    assert task.texts(x) == texts
    assert task.score(x)[0, 3] == 0.0 and task.score(x)[0, 1] == pytest.approx(task.invalid_score)
    assert task.beside(x)["valid"].tolist() == [[1, 0, 1, 1]]


def test_search_in_a_model_of_texts_counts_invalid_texts_and_goes_on(here):
    decoding(here, "['x' if row[0] > 0 else 'x-' for row in z]")
    (p,) = plan(Grid(["mine.py"], [TASK], ["sobol"]), Protocol(budget=16, starts=("random",)))
    record = run(p.spec, p.checkpoint)
    assert (record.status, record.spec.decoding, record.spec.space) == ("ok", "greedy", "standard")
    assert record.counts["distinct_texts"] == 2 and 0 < record.counts["invalid_texts"] < 16
    (score,) = expression_scores(["x"])
    assert record.members[0].best == pytest.approx(-score)


def test_result_of_a_model_of_texts_is_read_again(here):
    (p,) = plan(Grid(["mine.py"], [TASK], ["sobol"]), Protocol(budget=4, starts=("data",)))
    Store(here / "results").add(run(p.spec, p.checkpoint))
    assert Store(here / "results").get(p.spec).spec == p.spec


def test_models_of_texts_and_ours_decode_alike_in_one_study(here):
    runs = plan(Grid(["mine.py"], [TASK], ["cmaes"]), Protocol(decoding="greedy", budget=40))
    assert [p.spec.decoding for p in runs] == ["greedy"]
    with pytest.raises(UsageError, match=r"'sample' is not for model './mine.py', which decodes by itself"):
        plan(Grid(["mine.py"], [TASK], ["cmaes"]), Protocol(decoding="sample", budget=40))


def test_gradient_search_is_refused_in_a_model_of_texts(here):
    with pytest.raises(UsageError, match=r"adam.* needs gradients"):
        plan(Grid(["mine.py"], [TASK], ["adam"]), Protocol(budget=10))
    with pytest.raises(UsageError, match=r"model './mine.py' gives none; choose cmaes, bo, turbo or sobol\.$"):
        plan(Grid(["mine.py"], [f"expression_match50:data={DATA}"], ["adam"]), Protocol(budget=10))


BROKEN = {
    "wrong count": ("['x']", r"wanted a list of 2 texts from decode, got 1"),
    "no list": ("'xx'", r"wanted a list of 2 texts from decode, got str"),
    "None": ("['x', None]", r"wanted texts, str in Unicode, from decode, got None"),
    "bytes": ("[b'x', 'x']", r"wanted texts, str in Unicode, from decode, got b'x'"),
    "tensor": ("[torch.ones(2), 'x']", r"wanted texts, str in Unicode, from decode, got tensor\(\[1\., 1\.\]\)"),
    "lone surrogate": ("['x', '\\ud800']", r"wanted texts, str in Unicode, from decode"),
    "raises": ("1 / 0", r"decode raised ZeroDivisionError"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_decode_is_one_line_with_the_model(here, fault):
    answer, match = BROKEN[fault]
    decoding(here, answer)
    with pytest.raises(PluginError, match=f"^model mine.py: {match}") as refused:
        external_model.load("mine.py")
    assert "\n" not in str(refused.value)


def test_latent_that_is_not_finite_is_named_with_its_text(here):
    (here / "mine.py").write_text(EXACT.replace("return network(one_hot(", "return float('nan') * network(one_hot("))
    with pytest.raises(PluginError, match=r"wanted finite latents from encode, got others for "):
        external_model.load("mine.py")


def test_latents_of_another_count_are_refused(here):
    (here / "mine.py").write_text(EXACT.replace(".to(network.weight))", ".to(network.weight))[:1]"))
    with pytest.raises(PluginError, match=r"wanted latents of shape \(2, 480\) from encode, .*got \(1, 480\)"):
        external_model.load("mine.py")


def test_model_of_texts_of_images_is_refused_when_planned(here):
    (here / "mine.py").write_text(EXACT.replace(f'data = "{DATA}"', 'data = "glyphs"'))
    with pytest.raises(UsageError, match=r"wanted a data set of texts, as expressions, got 'glyphs'"):
        plan(Grid(["mine.py"], ["ink"], ["sobol"]))


def test_bad_output_in_the_middle_of_a_search_names_the_model(here):
    decoding(here, "['x'] * len(z) if len(z) == 2 else None")
    (p,) = plan(Grid(["mine.py"], [TASK], ["sobol"]), Protocol(budget=4, starts=("random",)))
    with pytest.raises(PluginError, match=r"^model ./mine.py: wanted a list of \d+ texts from decode, got NoneType"):
        run(p.spec, p.checkpoint)


def measured(*, sizes=None):
    return evaluate(external_model.load("mine.py"), load(DATA).test, sizes or SampleSizes(50, 4, 20))[0]


def test_rotation_of_all_characters_reconstructs_every_text(here):
    metrics = measured()
    assert metrics.exact == metrics.retrieval == 1.0 and metrics.squared_error == 0
    assert metrics.reencoding_draw == pytest.approx(0, abs=1e-10), "a decoded text is encoded as the text was"


def test_measures_that_a_deterministic_model_of_texts_lacks_are_none_and_never_zero(here):
    m = measured()
    assert [m.nelbo, m.kl, m.mi, m.decoder_use, m.au_relative, m.nll, m.distortion] == [None] * 7
    m = measured(sizes=SampleSizes(images=0, codes=0))
    assert m.exact is m.reencoding_draw is m.retrieval is None


def test_all_measures_of_a_model_of_texts_with_noise_and_a_density(here):
    noisy = EXACT.replace("return network(one_hot(", "return torch.distributions.Normal(network(one_hot(")
    (here / "mine.py").write_text(noisy.replace(".to(network.weight))", ".to(network.weight)), 0.01)") + LIKELY)
    m = measured()
    assert m.exact == 1.0 and m.decoder_use > 0 and 0 < m.mi <= math.log(50) + 1e-6
    assert m.nelbo == pytest.approx(m.distortion + m.kl) and m.nll is not None
    activity = load(DATA).test
    assert m.au_relative == sum(a > 1e-4 for a in m.activity) and len(activity) == m.n


def test_exact_reconstruction_is_measured_of_our_own_models_of_texts_alone():
    source = DATASETS.build(DATA)
    ours = random_vae(architecture("gru:hidden=8,embedding=4", 2, source.shape, source.likelihood))
    x = load(DATA).test
    reconstructed = exact(ours, x)
    assert reconstructed.shape == (len(x),) and set(reconstructed.tolist()) <= {0.0, 1.0}
    assert evaluate(ours, x, SampleSizes(2, 0, 20))[0].exact is not None


def test_example_of_a_model_of_texts_keeps_all_its_promises(here):
    (here / "mine.py").write_text(MINE)
    check_model("mine.py")
    (here / "mine.py").write_text(MINE + LIKELY)
    check_model("mine.py")


LINE = "        tokens = (z @ network.weight)"
PROMISES = {
    "dropout": (
        LINE,
        f"        z = nn.functional.dropout(z, 0.5)\n{LINE}",
        {"determinism", "batch independence", "worker"},
    ),
    "batch statistics": (LINE, f"        z = z - z.mean(0) + z.mean()\n{LINE}", {"batch independence"}),
    "another decoder": (LINE, f"        z = z.flip(1)\n{LINE}", {"reconstruction"}),
    "one text for all": (
        "for row in tokens.tolist()]",
        "for row in [tokens.tolist()[0]] * len(z)]",
        {"reconstruction", "batch independence"},
    ),
    "no empty text": ("        rows = [[", "        assert all(texts), 'empty'\n        rows = [[", {"loading"}),
    "not what it decodes": (
        "        rows = [[",
        "        assert max(map(len, texts)) <= 28, 'too long'\n        rows = [[",
        {"re-encoding"},
    ),
    "wrong sign": ("", LIKELY.replace(".sum((-2, -1))", ".sum((-2, -1)).neg()"), {"density"}),
    "no docstring": (
        '    """Projection of the characters of an expression to a random plane; put your own networks here."""\n',
        "",
        {"description"},
    ),
    "prints": (LINE, f"        print('z')\n{LINE}", {"side effects"}),
    "wrong count": ("for row in tokens.tolist()]", "for row in tokens.tolist()[:1]]", {"loading"}),
}


@pytest.mark.parametrize("fault", PROMISES)
def test_each_broken_promise_of_a_model_of_texts_is_named(here, fault):
    before, after, promises = PROMISES[fault]
    assert before in MINE
    (here / "mine.py").write_text(MINE.replace(before, after, 1) if before else MINE + after)
    assert {f.promise for f in examine_model("mine.py") if f.state == "missing"} == promises


def test_standard_deviation_of_zero_is_named(here):
    text = MINE.replace("return network(one_hot(", "return torch.distributions.Normal(network(one_hot(")
    (here / "mine.py").write_text(
        text.replace(".to(network.weight))", ".to(network.weight)), 0.0, validate_args=False)")
    )
    (finding,) = (f for f in examine_model("mine.py") if f.state == "missing")
    assert finding.promise == "latents" and "positive standard deviations" in finding.missing


POOLED = '''
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import one_hot

from lso_bench import FrozenTextModel

SYMBOLS, LENGTH = " x123+*/()sinep", 32


@dataclass(frozen=True)
class Pooled(FrozenTextModel):
    """Encoder and decoder of a sequence of states, of which the decoder attends to that of its place."""

    data = "DATA"
    latent = LATENT

    def load(self, folder):
        return nn.Identity()

    def states(self, texts):
        """Return a state of each place: its symbol and its place."""
        rows = torch.tensor([[SYMBOLS.index(c) for c in text[:LENGTH].ljust(LENGTH)] for text in texts])
        places = torch.eye(LENGTH).expand(len(texts), -1, -1)
        return torch.cat([one_hot(rows, len(SYMBOLS)).float(), places], -1)

    def encode(self, network, texts):
        return self.states(texts).POOL

    def decode(self, network, z):
        states = z.UNPOOL
        values, keys = states.split([len(SYMBOLS), LENGTH], -1)
        attention = (100 * torch.eye(LENGTH) @ keys.transpose(1, 2)).softmax(-1)
        rows = (attention @ values).argmax(-1).tolist()
        return ["".join(SYMBOLS[i] for i in row).partition(" ")[0] for row in rows]
'''.replace("DATA", DATA)


def test_pooled_state_that_cannot_be_decoded_is_said_in_one_line(here):
    states = 15 + 32
    whole = POOLED.replace("LATENT", str(32 * states)).replace(".POOL", ".flatten(1)")
    (here / "mine.py").write_text(whole.replace(".UNPOOL", f".unflatten(1, (LENGTH, {states}))"))
    assert not [f for f in examine_model("mine.py") if f.state == "missing"], "its networks belong together"
    pooled = POOLED.replace("LATENT", str(states)).replace(".POOL", ".mean(1)").replace(".UNPOOL", "[:, None]")
    (here / "mine.py").write_text(pooled)
    (finding,) = (f for f in examine_model("mine.py") if f.state == "missing")
    assert finding.promise == "reconstruction" and "\n" not in str(finding)
    assert "encoder and decoder do not belong together (a pooled state cannot be decoded)" in finding.missing
    assert f"    {finding}\n" in (Path(__file__).parents[1] / "docs" / "bring-your-own.md").read_text()


def test_check_says_the_noise_the_spread_and_what_tokens_cannot_write(here):
    text = MINE.replace("return network(one_hot(", "return torch.distributions.Normal(0.01 * network(one_hot(")
    text = text.replace(".to(network.weight))", ".to(network.weight)), 1e-4)").replace(
        "(z @ network.weight)", "(100 * z @ network.weight)"
    )
    (here / "mine.py").write_text(text)
    says = {f.promise: f.says for f in examine_model("mine.py")}
    assert "constant noise of 0.0001" in says["latents"] and "dimensions vary more" in says["latents"]
    assert "root mean squares of a dimension; --space standard" in says["spread"]
    assert re.search(r"can write \d+ of 100 decoded texts; tasks score the others as they are", says["texts"])


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_edit_distance_is_a_metric_with_the_length_as_distance_from_nothing(a, b):
    forth, back, itself, nothing = distances([a, b, a, a], [b, a, a, ""]).tolist()
    assert forth == back >= abs(len(a) - len(b)) and itself == 0 and nothing == len(a)
    assert (forth == 0) == (a == b)


def test_edit_distance_of_the_textbook():
    assert distances(["kitten"], ["sitting"]).tolist() == [3]


def test_commands_write_check_and_walk_a_model_of_texts(here, call):
    assert call("new-model", "first", "--kind", "text").returncode == 0
    (here / "first.py").write_text((here / "first.py").read_text().replace('data = "expressions"', f'data = "{DATA}"'))
    checked = call("check-model", "first.py", "--json")
    assert checked.returncode == 0 and {f["state"] for f in json.loads(checked.stdout)} == {"ok", "not made"}
    walked = call("traverse", "--model", "first.py", "--steps", 5, "--dimensions", 0)
    assert walked.returncode == 0 and not messages(walked.stderr)[0].startswith("Error"), walked.stderr
    written = [*(here / "results" / "traversals").glob("*.txt")]
    assert len(written) >= 3 and all(line in walked.stdout for line in written[0].read_text().splitlines())


def test_equal_neighbours_of_a_walk_stand_once(tmp_path):
    path = text_sheets.write(tmp_path / "walk.txt", "walk", ["step 1"], [["x", "x", "", "x\n1"]])
    assert path.read_text().splitlines() == ["walk", "  step 1", "    x  (2 times)", "    (the empty text)", "    x 1"]


def test_measurement_of_an_older_version_gets_the_exact_reconstruction(here):
    model, results, effort = named_model("mine.py", None, "", 1, 0), here / "results", SampleSizes(2, 0, 20)
    (first,) = measurements.measured([model], results, effort=effort)
    (file,) = results.glob("metrics/*.json")
    raw = json.loads(file.read_text())
    for name in ("exact", "token_accuracy"):  # which came together
        del raw["metrics"][name], raw["metrics"]["se"][name]
    file.write_text(json.dumps(raw))
    assert measurements.load_all(results)[0].metrics.exact is None
    (again,) = measurements.measured([model], results, effort=effort)
    assert again.metrics == first.metrics and again.metrics.exact == 1.0
