"""Output goes where it was sent: pipes and devices are written to, links stay, and a folder is named in a line."""

import os
import stat
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest
from conftest import fails
from made import searched

from lso_bench.errors import UnusableError
from lso_bench.files.atomic_write import write_atomic, write_out
from lso_bench.plotting import html_page
from lso_bench.plotting.images import over_training
from lso_bench.plotting.style import SIZES, CaptionedFigure, style_context
from lso_bench.plotting.style import save as save_drawn
from lso_bench.report import frames
from lso_bench.store import archive
from lso_bench.store.store import Store

COMMANDS = {
    "export": ("export", "r", "-o"),
    "archive": ("archive", "r", "-o"),
    "report": ("report", "r", "-o"),
}
FOLDERS = {"compare": ("compare", "r", "--figures"), "plot": ("plot", "r", "--to")}


@pytest.fixture
def store(tmp_path):
    results = Store(tmp_path / "r")
    results.add(searched({"random": [[9.0, 5.0, 3.0], [8.0, 6.0, 4.0]]}))
    return results


WRITERS = {
    "text": lambda path, _: write_out(path, b"whole"),
    "export": lambda path, store: frames.export([*store], lambda _: store, "runs", "csv", path),
    "archive": lambda path, store: archive.pack(store.folder, path),
}
writers = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def device(path: Path) -> Path:
    """A null device of our own."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        path.write_bytes(b"")
    except OSError as error:
        pytest.skip(f"needs the right to make and use a device ({error.strerror})")
    return path


@writers
def test_device_is_written_to_and_stays_one(tmp_path, store, write):
    null = device(tmp_path / "null")
    write(null, store)
    assert null.is_char_device() and not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@writers
@pytest.mark.parametrize("linked", [False, True])
def test_pipe_is_written_to_and_stays_one(tmp_path, store, write, linked):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        (tmp_path / "link").symlink_to(pipe)
    got: list[bytes] = []
    reader = Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(tmp_path / "link" if linked else pipe, store)
    reader.join(30)
    write(tmp_path / "plain", store)
    assert got == [(tmp_path / "plain").read_bytes()] and pipe.is_fifo()


@writers
@pytest.mark.parametrize("way", ["whole", "relative", "of a link", "to nothing yet"])
def test_link_stays_and_the_file_that_it_leads_to_is_replaced(tmp_path, store, write, way):
    real, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    real.parent.mkdir()
    if way != "to nothing yet":
        real.write_bytes(b"old")
    (tmp_path / "second").symlink_to(real)
    link.symlink_to({"relative": "elsewhere/real", "of a link": "second"}.get(way, real))
    write(link, store)
    write(tmp_path / "plain", store)
    assert link.is_symlink() and real.read_bytes() == (tmp_path / "plain").read_bytes()
    assert [p.name for p in real.parent.iterdir()] == ["real"]


@writers
def test_rights_of_a_file_that_is_replaced_stay(tmp_path, store, write):
    (tmp_path / "out").write_text("old")
    (tmp_path / "out").chmod(0o600)
    write(tmp_path / "out", store)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600


def loop(path: Path) -> None:
    path.symlink_to(path)


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("a file")


REFUSED = {
    "Is a directory": Path.mkdir,
    "symbolic links": loop,
    "File exists": below_a_file,
}


@writers
@pytest.mark.parametrize("why", REFUSED)
def test_target_that_cannot_be_written_is_named_and_left_alone(tmp_path, store, write, why):
    path = tmp_path / "to" / "out"
    path.parent.mkdir()
    REFUSED[why](path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnusableError, match=rf"Cannot write .*/out: .*{why}"):
        write(path, store)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_sent_to_standard_output_follows_what_is_there(tmp_path, capfd):
    print("before", flush=True)
    for name in ("/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"):
        write_out(Path(name), b"x")
    (tmp_path / "link").symlink_to("/dev/stdout")
    write_out(tmp_path / "link", b"y\n")
    assert capfd.readouterr().out == "before\nxxxy\n"


def test_closed_descriptor_is_named():
    with pytest.raises(UnusableError, match="Bad file descriptor"):
        write_out(Path("/dev/fd/987"), b"x")


DRAWERS = {
    "file": lambda path: write_atomic(path, b"new"),
    "page": lambda path: html_page.page(path, "title", []),
    "picture": lambda path: over_training(path, frame(), "label"),
    "figure": lambda path: drawn(path),
}


def frame():
    import pandas as pd

    return pd.DataFrame({"vae": [1.0, 2.0]})


def drawn(path):
    from matplotlib.figure import Figure

    with style_context(SIZES["column"]):
        save_drawn(CaptionedFigure("name", Figure(), "title", "caption"), path)


@pytest.mark.parametrize("draw", DRAWERS.values(), ids=DRAWERS)
@pytest.mark.parametrize("at", ["link", "pipe"])
def test_what_lies_in_a_results_folder_leads_no_output_out_of_it(tmp_path, draw, at):
    victim, path = tmp_path / "victim", tmp_path / "r.png"
    victim.write_text("mine")
    path.symlink_to(victim) if at == "link" else os.mkfifo(path)
    draw(path)
    assert victim.read_text() == "mine" and path.is_file() and not path.is_symlink() and path.stat().st_size


@pytest.mark.parametrize("command", [*COMMANDS, *FOLDERS])
def test_command_says_in_one_line_that_its_target_is_of_the_wrong_kind(call, tmp_path, store, command):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    if command in COMMANDS:
        fails(call(*COMMANDS[command], "folder"), 4, "Cannot write folder: Is a directory")
    else:
        fails(call(*FOLDERS[command], "file"), 2, f"{FOLDERS[command][-1]} wants a folder, and 'file' is none")
    assert (tmp_path / "file").read_text() == "mine" and [*(tmp_path / "folder").iterdir()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_replaces_a_file_of_another_kind_without_force(call, tmp_path, store, command):
    (tmp_path / "mine").write_text("my,own\n1,2\n")
    (tmp_path / "link").symlink_to("mine")
    (tmp_path / "empty").touch()
    for name in ("mine", "link"):
        fails(call(*COMMANDS[command], name), 2, f"{name} is there and is no ", "give another --output, or --force")
    assert (tmp_path / "mine").read_text() == "my,own\n1,2\n"
    for arguments in (["empty"], ["link", "--force"], ["link"]):  # the last time it is of the command itself
        assert call(*COMMANDS[command], *arguments).returncode == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "mine").stat().st_size > 100


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("way", ["plain", "link", "new"])
def test_no_command_writes_among_the_results_of_a_folder(call, tmp_path, store, command, way):
    (result,) = tmp_path.glob("r/runs/*/*/result.json")
    before = sorted(tmp_path.rglob("*"))
    output = {"plain": "r/lso-bench.json", "link": "link", "new": f"{result.parent}/new"}[way]
    if way == "link":
        (tmp_path / "link").symlink_to(result)
        before.append(tmp_path / "link")
    fails(call(*COMMANDS[command], output, "--force"), 2, "lies among the results in", "give a place outside of it")
    assert sorted(tmp_path.rglob("*")) == sorted(before) and [*Store(tmp_path / "r")]


def test_what_a_command_wrote_before_is_replaced_after_more_runs(tmp_path, store):
    for kind in frames.READERS:
        frames.export([*store], lambda _: store, "runs", kind, tmp_path / f"t.{kind}")
    archive.pack(store.folder, tmp_path / "a")
    store.add(searched({"random": [[9.0, 5.0]]}, init=1))
    columns: list[str] = []
    frames.export([*store], lambda _: store, "runs", "csv", tmp_path / "new", columns.extend)
    assert all(frames.begins_so(tmp_path / f"t.{kind}", kind, columns) for kind in frames.READERS)
    assert not frames.begins_so(tmp_path / "t.csv", "csv", ["model", *columns])
    second = Store(tmp_path / "other")
    assert archive.holds(store.folder, tmp_path / "a") and not archive.holds(second.folder, tmp_path / "a")


def test_archive_of_a_folder_with_damaged_runs_names_them_and_ends_with_status_4(call, tmp_path, store):
    store.add(searched({"random": [[9.0, 5.0]]}, init=1))
    first, second = sorted(tmp_path.glob("r/runs/*/*"))
    (first / "trace.csv").unlink()
    (first / "trace.csv").mkdir()
    (second / "result.json").write_text("{")
    done = call("archive", "r", "-o", "a b.tar.zst")
    assert done.returncode == 4 and "`lso-bench compare 'a b.tar.zst'` reads it" in done.stderr
    assert all(f"damaged, and packed so: {run.name}: " in done.stderr for run in (first, second))


def test_archive_that_went_to_a_device_is_not_said_to_be_read_from_it(call, tmp_path, store):
    done = call("archive", "r", "-o", "/dev/null")
    assert done.returncode == 0 and done.stderr.startswith("written: /dev/null, ") and "reads it" not in done.stderr


@pytest.mark.parametrize("command", [("export", "r", "-o", "t.csv"), ("report", "r"), ("plot", "r", "--format", "svg")])
def test_strict_command_says_by_its_status_that_a_run_was_skipped(call, tmp_path, store, command):
    assert call(*command, "--strict").returncode == 0
    store.add(searched({"random": [[9.0, 5.0]]}, init=1))
    sorted(tmp_path.glob("r/runs/*/*/result.json"))[0].write_text("{")
    assert [call(*command, *options).returncode for options in ([], ["--strict"])] == [0, 3]


def test_page_figures_and_table_are_of_the_runs_that_where_selects(call, tmp_path, store):
    store.add(searched({"random": [[9.0, 5.0, 3.0]]}, task="ink"))
    (task,) = {r.spec.task for r in store} - {"ink"}
    for command in ("report", "plot", "export"):
        fails(call(command, "r", "--where", "task=rae"), 2, "No run has task=rae")
        assert call(command, "r", "--where", "task=ink").returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert "ink" in page and task not in page and {*pd.read_csv(tmp_path / "measures.csv").task} == {"ink"}
    figures = [p.name for p in tmp_path.glob("figures/*.pdf")]
    assert figures and all("-ink-" in name for name in figures)


def test_report_replaces_no_file_that_is_none_but_writes_to_a_pipe(call, tmp_path, store):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("mine")
    for name in ("mine", "link"):
        fails(call("report", "r", "-o", name), 2, "is no report")
    null = device(tmp_path / "null")
    done = call("report", "r", "-o", "null")
    assert done.returncode == 0 and "written: null" in done.stderr and null.is_char_device()
