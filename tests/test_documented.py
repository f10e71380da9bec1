"""Every command in README and docs is one: its options are there, its names mean something, and the cheap ones run.

A command that stands in several pages runs once. Links lead somewhere.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torch import nn

import lso_bench
from lso_bench.cli import app
from lso_bench.commands.options import names
from lso_bench.commands.run import _study_from_options as of_options
from lso_bench.errors import LsoBenchError
from lso_bench.plugins.discovery import module_at
from lso_bench.store.archive import pack
from lso_bench.study import file
from lso_bench.study.grid import plan
from lso_bench.study.lookup import named_model
from lso_bench.testing import examine_model
from lso_bench.vae import external_model
from lso_bench.vae.data import load
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.text_samples import TextSamples
from lso_bench.vae.trained_model import SHIPPED, Model

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / n for n in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "results/README.md")]
PAGES += sorted((ROOT / "docs").glob("**/*.md"))
STAND_FOR = {"NAME": "vae", "TASK": "ink", "S": "0", "DIR": "figures", "study.toml": "results/studies/structure.toml"}
STAND_FOR |= dict.fromkeys(("results/", "one"), "results/reference")
RUN = (
    "list",
    "new-task",
    "new-model",
    "check-task",
    "export",
    "archive",
    "status",
    "doctor",
    "report",
    "reproduce",
)  # the last dry
STUDIED = (
    "collapse",
    "collapse-regions",
    "collapse-small",
    "penalties",
    "regions",
    "searchers",
    "sequences",
    "steps",
    "trainings",
)  # folders of which some runs are compared
FEW = ("--where", "lr=0.1", "--where", "seed.train=0")  # rows of a comparison of which every command is typed
WRAPPED = {
    "OptunaSampler": "optuna",
    "NevergradOptimizer": "nevergrad",
    "SkoptOptimizer": "skopt",
    "ScipyEvolution": "scipy",
}  # packages they need
PROGRAM = r"(?:\.venv/bin/)?lso-bench"


def commands(text):
    """The commands of a page: lines of its code blocks, and code within its sentences."""
    whole = re.sub(r"\\\n\s*", "", text)
    fenced = "\n".join(re.findall(r"```\w*\n(.*?)```", whole, re.S))
    lines = re.findall(rf"^(?: {{4}}(?:\$ )?|\$ )({PROGRAM} [^\n]+|make \w+)", whole, re.M)
    lines += re.findall(rf"^\s*(?:\$ )?({PROGRAM} [^\n]+|make \w+)", fenced, re.M)
    lines += re.findall(r"(?:^ {4}|`)(python benchmarks/[^\n`]+)", whole, re.M)
    inline = re.findall(rf"`({PROGRAM} [^`]+|make \w+)`", whole)
    texts = [re.split(" [#&|] ?", line)[0].strip() for line in lines] + [" ".join(c.split()) for c in inline]
    return [*dict.fromkeys(texts)]


def documented():
    page_of = {c: p for p in reversed(PAGES) for c in commands(p.read_text())}
    return [pytest.param(c, id=f"{p.name}: {c[:60]}") for c, p in page_of.items()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the commands can be typed: results, and the examples of CONTRIBUTING as files."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(ROOT / "tests" / "schemas" / "2", folder / "results")
    for name in ("reference", "studies"):
        shutil.copytree(ROOT / "results" / name, folder / "results" / name)
    for name in STUDIED:
        copy_some(ROOT / "results" / name, folder / "results" / name)
    for path in folder.glob("results/reference/runs/*/*/result.json"):
        spec = json.loads(path.read_text())["spec"]
        if spec["model"]["name"] not in ("vae", "nevae_se") or not re.match("adam:lr=0.1|cmaes", spec["searcher"]):
            shutil.rmtree(path.parent)  # what remains is soon read
    pack(folder / "results" / "reference", folder / "reference.tar.zst")
    code = (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / "docs" / "bring-your-own.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", code, re.S)
    for name in (
        "Autoencoder",
        "SeededAutoencoder",
        "Generator",
        "TextVae",
        "MyTask",
        "Simulated",
        "NoisyInk",
        "Balanced",
        "Sparse",
        "Blobs",
        "Shrinking",
        "SepCma",
        "SignDescent",
        "MLP",
        *WRAPPED,
    ):
        (text,) = (b for b in blocks if f"class {name}(" in b)
        (folder / file_of(name)).write_text(text)
    write_weights(folder)
    for name in ("my.smi", "my.txt"):
        (folder / name).write_text("".join(f"{n:07b}\n" for n in range(128)).translate({48: "C", 49: "O"}))
    (folder / "my_images").mkdir()
    Image.new("L", (28, 28)).save(folder / "my_images" / "1.png")
    np.save(folder / "vectors.npy", np.random.default_rng(0).normal(size=(1000, 12)))
    shutil.copy(ROOT / "benchmarks" / "les.py", folder)
    for published in module_at(ROOT / "benchmarks" / "les.py").MODELS.values():
        torch.save(weights_of_its_shapes(published), folder / published.file)
    return folder


def write_weights(folder):
    """Write weights of the documented models."""
    networks = nn.ModuleDict(
        {
            "encoder": nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 16)),
            "decoder": nn.Sequential(nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 784), nn.Sigmoid()),
        }
    )
    torch.save(networks.state_dict(), folder / "autoencoder.pt")
    torch.save(networks["decoder"].state_dict(), folder / "generator.pt")
    for seed in range(3):
        linear = nn.ModuleDict({"encoder": nn.Linear(784, 16), "decoder": nn.Linear(16, 784)})
        torch.save(linear.state_dict(), folder / f"seeded-{seed}.pt")
    torch.save(principal_components(), folder / "text_vae.pt")


def copy_some(source, target):
    """Copy a results folder, of its runs a few: of one seed and two models, by CMA-ES where it ran."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("runs"))
    searcher = "cmaes" if source.name in ("collapse", "collapse-small", "penalties", "searchers", "sequences") else ""
    for path in source.glob("runs/*/*/result.json"):
        spec = json.loads(path.read_text())["spec"]
        is_of_them = spec["searcher"].startswith(searcher) and re.match("omniglot50|expression", spec["task"])
        if (
            is_of_them
            and spec["seeds"]["init"] == 0
            and spec["model"]["name"] in ("vae", "beta_vae_0.5", "beta_vae_0.9")
        ):
            shutil.copytree(path.parent, target / path.parent.relative_to(source))


def file_of(name):
    """The file in which a documented class stands."""
    return f"{re.sub('(?<=[a-z])(?=[A-Z])', '_', name).lower()}.py"


def weights_of_its_shapes(published, hidden=100, width=2):
    """Weights of no meaning for a published model of texts, in the shapes that its file has."""
    symbols, codes = len(published.symbols), 2 * (published.length - 3 * (width - 1))
    recurrent = published.recurrent(hidden, hidden, num_layers=3)
    encoder = {f"conv{i}": nn.Conv1d(symbols if i == 1 else 2, 2, width) for i in (1, 2, 3)}
    encoder |= {f"batch_norm{i}": nn.BatchNorm1d(2) for i in (1, 2, 3)} | {"linear": nn.Linear(codes, hidden)}
    encoder |= {name: nn.Linear(hidden, published.latent) for name in ("mu", "sigma")}
    decoder = {"gru": recurrent, "project": nn.Linear(published.latent, hidden), "out": nn.Linear(2 * hidden, symbols)}
    decoder |= {"output_projection": nn.Linear(symbols, hidden)}
    parts = {"encoder": nn.ModuleDict(encoder), "decoder": nn.ModuleDict(decoder)}
    return nn.ModuleDict(parts).state_dict()


def principal_components(symbols=" x123+*/()sinep", length=32, latent=24):
    """Weights of the documented model of texts: it encodes the leading principal components of characters."""
    data = load("expressions:count=2000")
    texts = TextSamples(DATASETS.build("expressions:count=2000")).texts(data.valid)
    rows = torch.tensor([[symbols.index(c) for c in text.ljust(length)] for text in texts])
    x = nn.functional.one_hot(rows, len(symbols)).flatten(1).float()
    axes = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][:latent]
    return {
        "encoder.weight": torch.cat([axes, torch.zeros_like(axes)]),
        "encoder.bias": torch.cat([-axes @ x.mean(0), torch.full((latent,), -9.0)]),
        "decoder.weight": 8 * axes.T,
        "decoder.bias": 8 * x.mean(0),
    }


def typed(command):
    """Parse a command as the command line does: its name, its arguments as they stand for, its context.

    Raises:
        AssertionError: there is no such command, option or argument.
    """
    name, *arguments = (STAND_FOR.get(w, w) for w in shlex.split(command)[1:])
    known = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    assert name in known, f"no command {name!r}: {command}"
    if not arguments:
        return name, arguments, None  # only the name of a command
    try:
        return name, arguments, known[name].make_context(name, [*arguments])
    except Exception as error:  # click's, of which typer brings its own
        raise AssertionError(f"{command}: {getattr(error, 'format_message', error.__str__)()}") from error


def check(command):
    """Type it: in full where that is cheap, else as far as the names that it gives.

    Raises:
        AssertionError: it would not work.
    """
    name, arguments, context = typed(command)
    try:
        if context and name == "compare":
            options = [] if "--figures" in arguments else ["--no-traces"]
            of_a_study = {f"results/{name}" for name in STUDIED} & {*arguments}
            few = () if of_a_study or "searcher=cmaes" in arguments else FEW
            app([name, *arguments, *options, *few], standalone_mode=False)
        elif context and name in RUN:
            app([name, *arguments, *["--dry-run"] * (name == "reproduce")], standalone_mode=False)
        elif context and name == "run":
            plan(*(file.read(context.params["study"]) if arguments[0][0] != "-" else of_options(**context.params)))
        elif context and {"model", "data", "arch"} <= context.params.keys():
            p = context.params
            for model in [p["model"]] if name in ("train", "import-checkpoint") else names("model", p["model"]):
                named_model(model, p["data"], p["arch"], p["latent"], p["seed"])
    except LsoBenchError as error:
        trained = not str(error).startswith("No checkpoint of")  # not every model ships
        quoted = any(f"{command}\n    {error}\n" in p.read_text() for p in PAGES)  # the document says that it fails
        assert quoted or not trained, f"{command}: {error}"


@pytest.mark.parametrize("command", documented())
def test_command_in_the_documents_can_be_typed(command, place, monkeypatch):
    monkeypatch.chdir(place)
    if command.startswith("make "):
        assert f"\n{command.split()[1]}:" in (ROOT / "Makefile").read_text()
        return
    if command.startswith("python "):
        _, script, *words = command.split()
        options = [w for w in words if w.startswith("--")]
        assert all(f'"{o}"' in (ROOT / script).read_text() for o in options)
        return
    for name in (name for name in WRAPPED if file_of(name) in command):
        pytest.importorskip(WRAPPED[name], reason=f"{WRAPPED[name]} is not installed")
    for kind in ("task", "model"):
        (place / f"my_{kind}.py").unlink(missing_ok=True) if f"new-{kind}" in command else None
    check(command)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.S)
    linked = re.findall(r"\]\((?!https?:)([^)\s#]+)", text)
    assert [link for link in linked if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_navigation_of_the_site():
    listed = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    pages = {p.name for p in (ROOT / "docs").glob("*.md")}
    assert {*listed} == pages | {"CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
    assert len(listed) == len({*listed})


def test_every_command_of_the_program_is_documented_somewhere():
    named = {shlex.split(c)[1] for p in PAGES for c in commands(p.read_text()) if not c.startswith("make")}
    assert named >= {*typer.main.get_command(app).commands}  # pyright: ignore[reportAttributeAccessIssue]


WRONG = {
    "lso-bench run --modle vae --task ink": "No such option",
    "lso-bench run --model vea --task glyphs50": "Did you mean 'vae'",
    "lso-bench trian --model vae": "no command 'trian'",
    "lso-bench train --model vae": "Missing option",
    "lso-bench list modles": "Did you mean 'models'",
    "lso-bench compare": None,
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_command_would_be_found(command, place, monkeypatch):
    monkeypatch.chdir(place)
    assert commands(f"so:\n\n    {command}  # does it\n") == [command] == commands(f"type `{command}` now")
    if WRONG[command] is None:
        check(command)  # in a sentence, the name of a command alone
        return
    with pytest.raises(AssertionError, match=WRONG[command]):
        check(command)


def example(words):
    """The only example in Python of bring-your-own.md that has these words."""
    (text,) = (
        b
        for b in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "bring-your-own.md").read_text(), re.S)
        if words in b
    )
    return text


def test_documented_autoencoder_is_loaded_and_decodes(place, monkeypatch):
    monkeypatch.chdir(place)
    model = external_model.load("autoencoder.py")
    z = model.encode(torch.rand(3, 1, 28, 28)).mean
    assert z.shape == (3, 16) and model.mean(z).shape == (3, 1, 28, 28)


COLOUR_VAE = '''from dataclasses import dataclass
from lso_bench import FrozenModel
from torch import nn


@dataclass(frozen=True)
class Mean(FrozenModel):
    """The mean colour of an image."""

    data = "./colour.py"
    latent = 3

    def load(self, folder):
        return nn.Identity()

    def encode(self, network, x):
        return x.mean((2, 3)) * 2 - 1

    def decode(self, network, z):
        return ((z + 1) / 2).clamp(0, 1)[..., None, None].expand(-1, -1, 32, 32) * 1.0
'''


def test_documented_images_in_colour_are_searched_measured_and_drawn_in_colour(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for i in range(60):
        colour = tuple(int(c) for c in np.random.default_rng(i).integers(0, 256, 3))
        Image.new("RGB", (40, 30), colour).save(f"photos/{i:02}.png")
    Path("colour.py").write_text(example("class Colour(Source)"))
    Path("mean.py").write_text(COLOUR_VAE)
    task = "omniglot50:data=./colour.py,instances=5"
    for words in (
        ("run", "--model", "mean.py", "--task", task, "--searcher", "image_ga,sobol", "--budget", 30, "--quiet"),
        ("evaluate", "--model", "mean.py", "--codes", 0),
        ("traverse", "--model", "mean.py", "--steps", 3, "--reach", 3),
        ("report", "results"),
    ):
        assert (done := call(*words)).returncode == 0, done.stderr
    drawn = [*Path("results/pictures").glob("images-*.png"), *Path("results/traversals").glob("*.png")]
    assert len(drawn) > 2
    for path in drawn:
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        assert np.ptp(pixels, axis=2).max() > 100, f"{path} has no colour"
    (page,) = Path().glob("*.html")
    assert "shown as they are" in page.read_text("utf-8")


def test_documented_model_of_texts_keeps_its_promises(place, monkeypatch):
    monkeypatch.chdir(place)
    states = {f.promise: f.state for f in examine_model("text_vae.py")}
    assert {p for p, state in states.items() if state != "ok"} == {"gradient"}, "no gradient passes a text"


def test_documented_model_of_pythae_keeps_its_promises(tmp_path, monkeypatch):
    models = pytest.importorskip("pythae.models")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    models.VAE(models.VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce")).save("pythae_vae")
    Path("my_pythae.py").write_text(example("class Pythae("))
    unmet = {
        f.promise for f in examine_model("my_pythae.py", torch.rand(64, 1, 28, 28).round()) if f.state == "missing"
    }
    assert unmet <= {"reconstruction", "density"}, "these weights are not trained"


def test_documented_pair_of_modules_is_trained_and_searched(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = example("lb.model(")
    short = text.replace("range(300)", "range(3)").replace("budget=50", "budget=14")
    assert short.count("(3)") == 1 and short.count("budget=14") == 1
    exec(compile(short, "bring-your-own.md", "exec"), {})
    shown = capsys.readouterr().out
    assert "mine@" in shown and "vae (conv)" in shown
    assert lso_bench.load("results").records


@pytest.mark.parametrize("words", ["class Autoencoder(", "class Pythae(", "lb.model("])
def test_documented_model_is_a_short_file(words):
    lines = [line for line in example(words).splitlines() if line.strip() and not line.startswith('"""')]
    assert 12 <= len(lines) <= 25


def test_table_of_models_says_which_ship():
    rows = re.findall(
        r"^\| (`.+?) \| .* \| (?:yes|no) \| (yes|no) \|$", (ROOT / "docs" / "models.md").read_text(), re.M
    )
    said = {name: word == "yes" for models, word in rows for name in re.findall("`([^`]+)`", models)}
    assert len(said) > 20 and said == {name: (SHIPPED / Model(name, "omniglot").file).exists() for name in said}
