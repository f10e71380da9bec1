"""A stream that is closed, full, broken or gone ends no command, loses no run and changes no status."""

import fcntl
import io
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from conftest import SHORT, become_the_program
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

import lso_bench.analysis.comparison
import lso_bench.commands.run
import lso_bench.executors.serial
import lso_bench.report.figure_files
import lso_bench.report.frames
import lso_bench.report.tables  # noqa: F401  so that each fork has its imports behind it
from lso_bench import progress
from lso_bench.progress import progress_display

SCHEMA = Path(__file__).parent / "schemas" / "2"
LOST = "Cannot write to standard output: No space left on device"
FAULTS = ("closed", "broken", "hung up", "full")
COMMANDS = {
    "status": ("status", "r"),
    "JSON": ("status", "r", "--json"),
    "list": ("list", "searchers"),
    "plugin": ("new-task", "mine"),
    "help": ("compare", "--help"),
    "no such word": ("list", "modles"),
    "no such option": ("compare", "r", "--jsonn"),
    "no results": ("compare", "nowhere"),
}
DEAR = {  # which take a second or more
    "table": ("compare", "r", "--no-traces"),
    "conclusion": ("compare", "r", "--no-traces", "--json", "--fail-if", "vae.loss > 0"),
    "file": ("export", "r", "-o", "out.csv"),
    "dry run": ("run", "--model", "vae", *SHORT, "--dry-run"),
}
STATUS = {"no such word": 2, "no such option": 2, "no results": 4, "conclusion": 5}


@dataclass(frozen=True)
class Streams:
    """Streams at descriptors 1 and 2 when the program begins: a fault, or a file."""

    stdout: str = ""
    stderr: str = ""


def put(fault: str, number: int, path: Path) -> None:
    """Bring this process's stream into that state."""
    name = {1: "stdout", 2: "stderr"}[number]
    opened = {
        "": lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        "full": lambda: os.open("/dev/full", os.O_WRONLY),
        "broken": lambda: ended(*reversed(os.pipe())),
        "hung up": lambda: ended(*reversed(os.openpty())),
    }
    if fault == "closed":
        os.close(number)
        setattr(sys, name, None)
    else:
        os.dup2(opened[fault](), number)
        setattr(sys, name, os.fdopen(number, "w", closefd=False))


def ended(kept: int, closed: int) -> int:
    """The end of a pipe or terminal whose other end is gone."""
    os.close(closed)
    return kept


@pytest.fixture
def called(tmp_path):
    """Run the program in a folder with results, its streams as given, in a fork of this process."""
    shutil.copytree(SCHEMA, tmp_path / "r", dirs_exist_ok=True)

    def run(arguments, streams=Streams(), **environment):
        texts = [tmp_path.parent / f"{tmp_path.name}.{name}" for name in ("stdout", "stderr")]
        for text in texts:
            text.write_text("")
        child = os.fork()
        if not child:
            os.environ |= environment
            for number, fault in ((1, streams.stdout), (2, streams.stderr)):
                put(fault, number, texts[number - 1])
            become_the_program(tmp_path, [*map(str, arguments)])
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return CompletedProcess(arguments, status, *(t.read_text() for t in texts))

    return run


@pytest.mark.parametrize("what", [*COMMANDS, *DEAR])
def test_a_command_ends_as_ever_whatever_its_streams_do(called, checkpoint, tmp_path, what):
    arguments, written = (COMMANDS | DEAR)[what], [tmp_path / "out.csv", tmp_path / "mine.py"]

    def outcome(streams):
        done = called(arguments, streams)
        files = {p.name: p.read_bytes() for p in written if p.exists()}
        for path in written:
            path.unlink(missing_ok=True)
        return done, files

    usual, files = outcome(Streams())
    assert usual.returncode == STATUS.get(what, 0), usual.stderr
    for fault in FAULTS if what in COMMANDS else FAULTS[3:]:
        done, contents = outcome(Streams(stderr=fault))
        assert (done.returncode, done.stdout, contents) == (usual.returncode, usual.stdout, files), fault
        done, contents = outcome(Streams(stdout=fault))
        lost = LOST if fault == "full" and usual.stdout else ""
        assert done.returncode == (usual.returncode or 4 * bool(lost)), done.stderr
        assert done.stderr.splitlines()[: len(usual.stderr.splitlines())] == usual.stderr.splitlines()
        assert (LOST in done.stderr) == bool(lost) and contents == files
    both, contents = outcome(Streams("closed", "closed"))
    assert (both.returncode, contents) == (usual.returncode, files)


@pytest.mark.parametrize("streams", [Streams("broken", "broken"), Streams("closed", "closed"), Streams("full", "full")])
def test_a_study_with_broken_streams_has_all_its_results(called, checkpoint, tmp_path, streams):
    arguments = ("run", "--model", "vae", "--searcher", "sobol", "--budget", "8", *SHORT[:-4], *SHORT[-2:])
    done = called(arguments, streams)
    assert done.returncode == (4 if streams.stdout == "full" else 0)
    (result,) = tmp_path.glob("results/runs/*/*/result.json")
    assert json.loads(result.read_text())["status"] == "ok"
    assert len([*tmp_path.glob("results/pictures/*.png")]) >= 3 and not [*tmp_path.glob("results/tmp/*")]


def test_names_that_an_encoding_lacks_are_escaped_and_end_nothing(called, tmp_path):
    shutil.copytree(SCHEMA, tmp_path / "größer-日本")
    for encoding in ("ascii", "latin-1", "utf-8"):
        done = called(("status", "größer-日本"), PYTHONIOENCODING=encoding, LC_ALL="C")
        assert done.returncode == 0 and "ok" in done.stdout


def test_a_dry_run_in_json_has_all_that_it_would_do_on_stdout(called, checkpoint):
    done = called(("run", "--model", "vae", "--seed", "0,1", *SHORT, "--dry-run", "--json"))
    rows = json.loads(done.stdout)
    assert [r["state"] for r in rows] == ["to do", "to do"] and len({r["key"] for r in rows}) == 2
    assert all(r["checkpoint"].endswith(".safetensors") and r["title"] for r in rows) and "2 runs" in done.stderr


def test_a_pipe_that_another_program_made_non_blocking_gets_all_the_text(called, tmp_path):
    arguments = "compare", "r", "--json", "--no-traces"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)  # bytes that the pipe holds
    child = os.fork()
    if not child:
        os.close(reader)
        os.dup2(writer, 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        become_the_program(tmp_path, [*arguments])
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert text == called(arguments).stdout and len(text) > 2 * size


def test_a_progress_display_that_cannot_be_drawn_ends_nothing(monkeypatch):
    def fails(*_):
        raise ValueError("no such style")

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    for column in (BarColumn, TextColumn, MofNCompleteColumn):
        monkeypatch.setattr(column, "render", fails)
    with progress_display(quiet=False) as show:
        show("vae on glyphs", 1, 2, "epoch 1")
        show("vae on glyphs", 2, 2, "epoch 2")
    assert sys.stderr is terminal and "Traceback" not in terminal.getvalue()


def test_what_takes_more_than_a_moment_is_announced_and_what_is_quick_is_not(monkeypatch, capsys):
    monkeypatch.setattr(progress, "MOMENT", 0.2)
    with progress.announced("Counting"):
        pass
    assert not capsys.readouterr().err
    with progress.announced("Counting"):
        time.sleep(1.0)
    assert capsys.readouterr().err == "Counting ...\n"
