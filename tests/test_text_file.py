"""A user's file of texts as a data set: texts, symbols, what is left out or refused, training and search."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import islice, product
from pathlib import Path

import pytest
import torch
from conftest import as_another_user, messages

from lso_bench.errors import UnusableError, UsageError
from lso_bench.runner.cache import Loaded
from lso_bench.study.lookup import named_model
from lso_bench.vae import data, text_file
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.selfies_texts import kept_selfies
from lso_bench.vae.trained_model import Model

WORDS = ["".join(letters) for letters in islice(product("abc", repeat=5), 200)]
MOLECULES = ["C[C@H](N)C(=O)O", "c1ccccc1Br", "O=[N+]([O-])c1ccc(Cl)cc1"] + ["C" * n for n in range(1, 120)]
ARCH = "gru:hidden=8,embedding=3"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """200 words of five letters."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text("\n".join(WORDS) + "\n")
    return tmp_path / "my.txt"


def texts(name):
    source = DATASETS.build(str(name))
    return source.texts(source.samples(source.path))


def test_each_line_is_a_text_of_characters(file):
    source, loaded = DATASETS.build("./my.txt"), data.load("./my.txt")
    assert texts("./my.txt") == WORDS and source.symbols == ("a", "b", "c") and source.length == 5
    assert (len(loaded.train), len(loaded.valid), len(loaded.test)) == (160, 20, 20)
    assert loaded.likelihood == "categorical:vocabulary=4" and loaded.test.shape[1:] == (5, 4)
    dealt = [
        *source.texts(loaded.train.numpy()),
        *(t for part in (loaded.valid, loaded.test) for t in shown(source, part)),
    ]
    assert sorted(dealt) == WORDS


def shown(source, part):
    return source.texts(part.argmax(-1).numpy())


def test_first_word_of_a_line_of_molecules_is_read_by_atoms(tmp_path):
    (tmp_path / "my.SMI").write_text("\n".join(f"{m} name-{i}" for i, m in enumerate(MOLECULES)))
    source = DATASETS.build(f"{tmp_path}/my.SMI")
    assert texts(f"{tmp_path}/my.SMI") == MOLECULES
    assert {"[C@H]", "Br", "Cl", "[N+]", "[O-]"} < set(source.symbols) and "B" not in source.symbols


def test_molecules_are_turned_into_selfies(tmp_path):
    decoder = pytest.importorskip("selfies").decoder
    chem = pytest.importorskip("rdkit.Chem")
    (tmp_path / "my.smi").write_text("\n".join(MOLECULES))
    read = texts(f"{tmp_path}/my.smi:tokenizer=selfies")
    assert [chem.CanonSmiles(decoder(t)) for t in read] == [*map(chem.CanonSmiles, MOLECULES)]


def test_file_of_selfies_needs_no_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "selfies", None)
    lines = ["[C][=O]" + "[N]" * n for n in range(110)]
    (tmp_path / "my.txt").write_text("\n".join(lines))
    assert texts(f"{tmp_path}/my.txt:tokenizer=selfies") == lines
    assert DATASETS.build(f"{tmp_path}/my.txt:tokenizer=selfies").symbols == ("[=O]", "[C]", "[N]")


def test_words_keep_the_space_before_them(file):
    lines = [" ".join(pair) for pair in product(WORDS[:11], repeat=2)]
    file.write_text("\n".join(lines).replace(" ", "  "))
    source = DATASETS.build("./my.txt:tokenizer=words")
    assert texts("./my.txt:tokenizer=words") == lines and source.length == 2 and len(source.symbols) == 22


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n\n  \n", b" \n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_blank_lines_and_a_byte_order_mark_change_nothing(file, capsys, end, mark):
    file.write_bytes(mark + end.join(w.encode() for w in WORDS) + end)
    assert texts("./my.txt") == WORDS and capsys.readouterr().err == ""


BAD = {  # bytes of a bad line: the remark on it
    b"\xff\xfe": "not in UTF-8",
    b"a" * 121: "of more than 120 symbols",
    b"a" * 200_000: "longer than 100,000 bytes",
    b"ab\x07c": "with control characters",
    b"\xc2\x85a\x1b[31m": "with control characters",
    WORDS[0].encode(): "that stand twice",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_lines_are_counted_and_the_first_is_named(file, capsys, line):
    file.write_bytes(file.read_bytes() + line + b"\r\n" + line)
    assert texts("./my.txt") == WORDS
    assert capsys.readouterr().err == f"my.txt: 2 of 202 lines are left out: 2 {BAD[line]} (first: line 201).\n"


def test_bad_lines_of_several_kinds_are_one_remark(file, capsys):
    file.write_bytes(b"\xff\n" + file.read_bytes() + b"\n".join(BAD))
    texts("./my.txt")
    said = capsys.readouterr().err
    assert said.startswith("my.txt: 7 of 207 lines are left out: 2 not in UTF-8 (first: line 1), ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("tokenizer", "bad", "says"),
    [
        ("smiles", "CC}", "not of the symbols of smiles"),
        ("selfies", "CC(", "that SELFIES cannot write"),
        ("selfies", "CQ", "that SELFIES cannot write"),
    ],
)
def test_what_is_no_molecule_is_named(tmp_path, capsys, tokenizer, bad, says):
    pytest.importorskip("selfies")
    (tmp_path / "my.smi").write_text("\n".join([bad, *MOLECULES]))
    assert len(texts(f"{tmp_path}/my.smi:tokenizer={tokenizer}")) == len(MOLECULES)
    assert f"my.smi: 1 of 123 lines are left out: 1 {says} (first: line 1).\n" in capsys.readouterr().err


def test_selfies_are_written_once(tmp_path, monkeypatch):
    pytest.importorskip("selfies")
    monkeypatch.setenv("LSO_BENCH_CACHE", str(tmp_path))
    written = kept_selfies(MOLECULES)
    monkeypatch.setitem(sys.modules, "selfies", None)
    assert kept_selfies(MOLECULES) == written and kept_selfies([]) == []
    with pytest.raises(UnusableError, match=r"^SELFIES need the package selfies: pip install"):
        kept_selfies(MOLECULES[1:])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"my.txt: wanted at least 100 texts, one a line, got 0\."),
        (b"\n" * 500, r"wanted at least 100 texts, one a line, got 0\."),
        (b"ab\n" * 500, r"got 1; 499 of 500 lines are left out: 499 that stand twice \(first: line 2\)\."),
        (bytes(range(256)), "my.txt is a binary file, or in UTF-16; wanted texts in UTF-8"),
        (b">pep0\nKKLL\n>pep1\nKLKA\n" * 100, r"my.txt is a FASTA file: line 1 is a name\. Of FASTA the sequences are"),
        ("\n".join(WORDS).encode("utf-16"), "or in UTF-16; wanted texts in UTF-8"),
        (
            "\n".join(map(chr, range(0x4E00, 0x4F00))).encode(),
            "wanted at most 255 different symbols, got 256 with token",
        ),
    ],
)
def test_file_that_is_no_data_set_is_refused_in_one_line(file, content, says):
    file.write_bytes(content)
    with pytest.raises(UnusableError, match=says) as caught:
        data.load("./my.txt")
    assert "\n" not in str(caught.value)


def test_vocabulary_of_255_symbols_and_an_end_fits(file):
    lines = [*map(chr, range(0x4E00, 0x4EFF))]
    file.write_text("\n".join(lines))
    assert texts("./my.txt") == lines and data.load("./my.txt").test.shape == (25, 1, 256)


@pytest.mark.parametrize("odd", [os.mkfifo, lambda p: p.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_refused(tmp_path, odd):
    odd(tmp_path / "odd.txt")
    with pytest.raises(UnusableError, match=r"odd\.txt cannot be read: odd\.txt is no plain file"):
        data.load(f"{tmp_path}/odd.txt")


def test_file_that_may_not_be_read_is_named(file):
    file.chmod(0)
    with as_another_user(file.parent), pytest.raises(UnusableError, match=r"my\.txt cannot be read: Permission denied"):
        data.load("./my.txt")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./none.txt", r"No file or folder './none\.txt'"),
        ("none.smi", r"No file or folder 'none\.smi'"),
        (
            "./my.csv",
            r"ending; wanted a folder, or a file with one of \.py, \.npy, \.smi, .*, \.txt\. Of a table one column",
        ),
        (
            "./my.fasta",
            r"\.txt\. Of FASTA the sequences are wanted, one a line.*docs/bring-your-own\.md, A file of texts",
        ),
        ("glyphs,mnist", "^Wanted one data set, got a list: 'glyphs,mnist'"),
        ("./my.txt:tokenizer=bytes", "tokenizer is one of 'characters', 'words', 'smiles', 'selfies', not 'bytes'"),
        ("./my.txt:most=0", "most: wanted 1 or more"),
    ],
)
def test_unknown_file_or_setting_is_named(file, name, says):
    for ending in (".csv", ".fasta"):
        shutil.copy(file, file.with_suffix(ending))
    with pytest.raises(UsageError, match=says):
        named_model("vae", name, ARCH, 3, 0)


def test_list_where_one_model_is_wanted_is_called_a_list(file):
    with pytest.raises(UsageError, match=r"^Wanted one model, got a list: 'vae,beta_vae_0\.1'"):
        named_model("vae,beta_vae_0.1", "./my.txt", ARCH, 3, 0)


def test_texts_that_all_begin_as_a_name_of_fasta_are_texts(file):
    file.write_text("\n".join(f">{word}" for word in WORDS))
    assert data.load("./my.txt")


def test_documented_line_writes_the_texts_of_a_table_and_of_fasta(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.csv").write_text('name,sequence\na,"KK,L"\nb,\nc,LLA\n')
    Path("my.fasta").write_text(">a one\nKK\nLL\n\n>b\nKLA\n")
    page = (Path(__file__).parents[1] / "docs" / "bring-your-own.md").read_text()
    of_table, of_fasta = re.findall(r"^    (python -c .*)$", page.partition("### A file of texts")[2], re.M)[:2]
    for command, texts in ((of_table, ["KK,L", "LLA"]), (of_fasta, ["KKLL", "KLA"])):
        subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True)
        assert Path("my.txt").read_text().splitlines() == texts


def test_a_file_has_one_name(file):
    assert {DATASETS.canonical(n) for n in ("my.txt", ".//my.txt", "./my.txt:most=120,tokenizer=characters")} == {
        "./my.txt"
    }


def test_file_with_another_content_or_ending_is_another_model(file):
    before = Model("vae", "./my.txt").file
    assert before.startswith("my.txt+") and before.endswith("-small-d32-vae-s0.safetensors")
    shutil.copy(file, file.with_suffix(".smi"))
    assert Model("vae", "./my.smi").file != before
    file.write_text(file.read_text().replace("aaaaa", "aaaab"))
    assert Model("vae", "./my.txt").file != before


def test_same_texts_are_the_same_data_set_wherever_they_lie_and_others_are_not(file):
    loaded = data.load("./my.txt")
    shutil.copy(file, file.with_name("copy.txt"))
    file.with_name("others.txt").write_text(file.read_text().replace("c", "d"))  # the same tokens
    copy, another = data.load("./copy.txt"), data.load("./others.txt")
    assert copy.sha256 == loaded.sha256 != another.sha256
    assert torch.equal(copy.train, loaded.train) and torch.equal(another.train, loaded.train)


def test_file_that_changed_since_the_run_was_planned_is_refused(file):
    planned = data.file_name("./my.txt")
    assert len(Loaded().data("./my.txt", None, planned).train) == 160
    file.write_text("\n".join(WORDS[:150]))
    assert len(data.load("./my.txt").train) == 120
    with pytest.raises(UnusableError, match="has changed since the run was planned"):
        Loaded().data("./my.txt", None, planned)


def test_long_texts_of_many_symbols_have_small_test_parts(monkeypatch, file):
    monkeypatch.setattr(text_file, "ROOM", 5 * 4 * 7)
    assert len(data.load("./my.txt").test) == 7 and len(data.load("./my.txt").train) == 186


def test_checkpoint_of_another_vocabulary_is_refused_in_one_line(call, file):
    assert call("train", "--model", "vae", "--data", "my.txt", "--arch", ARCH, "--epochs", 1).returncode == 0
    before = find_checkpoint_in(file, named_model("vae", "./my.txt", ARCH, 32, 0))
    file.write_text(file.read_text().replace("a", "d", 3))
    model = named_model("vae", "./my.txt", ARCH, 32, 0)
    words = "--data", "./my.txt", "--arch", ARCH
    asked = call("evaluate", "--model", "vae", *words)
    (line,) = messages(asked.stderr)
    assert asked.returncode and f"The data set ./my.txt has changed since {before.name} was trained" in line
    before.rename(before.with_name(model.file))
    renamed = call("evaluate", "--model", "vae", *words)
    *_, line = messages(renamed.stderr)  # after that about the progress
    assert renamed.returncode and "is of samples of shape (5, 4), and those of ./my.txt have (5, 5)" in line


def find_checkpoint_in(file, model):
    return file.parent / "checkpoints" / model.file


SHORT = '''"""How short a text is."""

from dataclasses import dataclass

from lso_bench import TextTask


@dataclass(frozen=True)
class Short(TextTask):
    """Minus the number of characters of a text."""

    data: str = "./my.txt"
    instances: int = 2
    invalid_score: float = -100.0

    def score_texts(self, texts):
        return [-float(len(text)) or None for text in texts]
'''


def test_model_of_a_file_is_trained_measured_and_searched(call, file):
    Path("short.py").write_text(SHORT)
    trained = call("train", "--model", "vae", "--data", "my.txt", "--arch", ARCH, "--epochs", 1)
    assert trained.returncode == 0, trained.stderr
    read = "my.txt: 160 texts to train with, 20 to validate, 20 to test; at most 5 symbols each, of these 3: a b c"
    assert read in trained.stderr
    assert call("evaluate", "--model", "vae", "--data", "./my.txt", "--arch", ARCH, "--codes", 0).returncode == 0
    searched = ["--searcher", "sobol", "--budget", 20, "--decoding", "greedy", "--starts", "random", "--arch", ARCH]
    ran = call("run", "--model", "vae", "--task", "./short.py", *searched)
    assert ran.returncode == 0, ran.stderr
    file.unlink()
    assert (
        call("report", "results").returncode == 0 and call("compare", "results").returncode == 0
    )  # results outlive the file


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No file or folder './my.txt'"),
        ("", "wanted at least 100 texts"),
        ("\0", "is a binary file"),
        ("\n".join(map(chr, range(300, 600))), "wanted at most 255 different symbols, got 300"),
    ],
)
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_bad_file_is_one_line_and_a_status_on_the_command_line(call, file, command, content, says):
    file.unlink() if content is None else file.write_text(content)
    done = call(command, "--model", "vae", "--data", "./my.txt", "--arch", ARCH)
    (line,) = messages(done.stderr)
    assert says in line and done.returncode == (2 if content is None else 4) and "Traceback" not in line


@pytest.mark.parametrize(("content", "says", "status"), [(None, "No file or folder", 2), ("\0", "is a binary file", 4)])
def test_bad_file_of_a_task_is_one_line_and_a_status(call, file, content, says, status):
    file.unlink() if content is None else file.write_text(content)
    searched = ["--searcher", "sobol", "--budget", 20, "--decoding", "greedy", "--arch", ARCH]
    done = call("run", "--model", "vae", "--task", "omniglot50:data=./my.txt", *searched)
    (line,) = messages(done.stderr)
    assert says in line and done.returncode == status and not Path("results").exists()
