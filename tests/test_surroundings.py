"""Surroundings of the program (variables, settings of other programs, folders of systems) do not reach in."""

import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import matplotlib
import pytest
import torch
from conftest import SHORT, fails
from examples import INK

from lso_bench import process
from lso_bench.cli import COMMANDS
from lso_bench.commands.options import outside
from lso_bench.doctor.results import findings
from lso_bench.errors import UnusableError, UsageError
from lso_bench.files.paths import cache_folder, data_folder, from_outside, own_folder
from lso_bench.plotting import images
from lso_bench.plotting.activity import activity
from lso_bench.plotting.style import SIZES, CaptionedFigure, save, style_context
from lso_bench.plugins.notation import with_home_folder
from lso_bench.store.store import Store
from lso_bench.study.file import read as read_study

ROOT = Path(__file__).parents[1]
USERS = {  # settings of matplotlib that people have
    "text.usetex": True,
    "savefig.bbox": "tight",
    "axes.formatter.use_locale": True,
    "figure.dpi": 30,
    "savefig.dpi": 20,
    "lines.linewidth": 9,
    "axes.facecolor": "red",
    "savefig.facecolor": "green",
    "image.cmap": "jet",
    "image.origin": "lower",
    "image.interpolation": "bicubic",
    "axes.grid": True,
    "font.family": "serif",
    "font.size": 30,
    "axes.prop_cycle": matplotlib.cycler(color=["k"]),
    "figure.autolayout": True,
    "xtick.direction": "in",
    "axes.titlecolor": "blue",
    "path.sketch": (1, 100, 2),
    "legend.fontsize": 40,
}


def drawn_all(folder: Path) -> dict[str, bytes]:
    """Every kind of picture, by its name."""
    image = torch.linspace(0, 1, 28 * 28).reshape(1, 28, 28)
    history = [{"epoch": e, "nelbo": 90.0 - e, "kl": 2.0, "au": 3} for e in (1, 2)]
    lines = images.pd.DataFrame({"vae": [1.0, 0.5], "nevae_se": [0.9, 0.2]}, index=[1, 2])
    images.best_images(folder / "found.png", "best", {("vae", "adam"): (image, 1234.5)})
    images.sheet(folder / "sheet.png", "walk", ["0"], [image[None].repeat(3, 1, 1, 1)])
    images.learning_curve(folder / "curve.png", "vae", history)
    images.over_training(folder / "training.png", lines, "error")
    images.activity(folder / "activity.png", [("vae", [0.5, 0.001]), ("rae", [1.0, 0.3])])
    for ending in ("svg", "pdf"):
        with style_context(SIZES["column"]):
            figure = activity([("vae", [0.5, 0.001])], "Activity", SIZES["column"])
            save(CaptionedFigure("a", figure.figure, "t", "c"), folder / f"a.{ending}")
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_backend_of_the_users_matplotlib_changes_no_picture(tmp_path):
    usual, backend = drawn_all(tmp_path / "usual"), matplotlib.get_backend()
    try:
        matplotlib.use("svg" if backend != "svg" else "agg")
        assert drawn_all(tmp_path / "other") == usual
    finally:
        matplotlib.use(backend)


def test_settings_of_the_users_matplotlib_change_no_picture(tmp_path):
    usual = drawn_all(tmp_path / "usual")
    with matplotlib.rc_context(USERS):
        changed = drawn_all(tmp_path / "changed")
        assert matplotlib.rcParams["text.usetex"]  # and stay as they were for others
    assert len(usual) == 7 and [n for n in usual if usual[n] != changed[n]] == []


def test_backend_of_a_notebook_is_not_asked_for(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    process.settle_figures()
    assert os.environ["MPLBACKEND"] == "agg"


@pytest.mark.parametrize("home", ["/proc", "/dev/null"])
def test_home_that_takes_no_files_costs_matplotlib_no_word(home, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MPL"))}
    environment |= {"HOME": home, "LSO_BENCH_CACHE": str(tmp_path / "cache")}
    code = (
        "from lso_bench.process import settle_figures; settle_figures(); import os; print(os.environ['MPLCONFIGDIR']);"
        "import matplotlib as m; m.get_cachedir(), m.get_configdir()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.strip() == str(tmp_path / "cache" / "matplotlib")


HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_tilde_is_the_home_folder_in_every_path_from_outside(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert from_outside("~/x") == tmp_path / "x" and from_outside("a/~/x") == Path("a/~/x")
    assert with_home_folder("~/t.py:a=~/b") == f"{tmp_path}/t.py:a=~/b" and with_home_folder("ink:a=1") == "ink:a=1"
    name = pwd.getpwuid(os.getuid()).pw_name
    assert from_outside(f"~{name}/x") == HOME / "x"
    for variable, folder in {"CACHE": cache_folder, "DATA": data_folder, "CHECKPOINTS": own_folder}.items():
        monkeypatch.setenv(f"LSO_BENCH_{variable}", "~/y")
        assert folder() == tmp_path / "y"
        monkeypatch.setenv(f"LSO_BENCH_{variable}", "~nosuchuser/y")
        with pytest.raises(UnusableError, match="no user 'nosuchuser' is known here; write the path in full"):
            folder()


def test_every_path_that_a_command_takes_goes_through_one_function():
    seen = 0
    for command in COMMANDS.values():
        for name, kind in get_type_hints(command, include_extras=True).items():
            if "pathlib.Path" in str(get_args(kind)[:1]):
                assert get_args(kind)[1].parser is outside, f"{command.__name__}: {name}"
                seen += 1
    assert seen > 20


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "~nosuchuser/r"),
        ("run", "--model", "vae", *SHORT, "--results=~nosuchuser/r"),
        ("run", "--model", "vae", *SHORT, "--data-dir=~nosuchuser/r"),
        ("run", "--model", "vae", "--task=~nosuchuser/t.py"),
        ("run", "--model", "~nosuchuser/m.py", *SHORT),
        ("train", "--model=vae", "--data=~nosuchuser/t.py"),
        ("check-task", "~nosuchuser/t.py"),
        ("report", "r", "-o", "~nosuchuser/t.html"),
        ("run", "~nosuchuser/study.toml"),
    ],
)
def test_home_of_nobody_is_one_line(call, arguments, tmp_path):
    fails(call(*arguments), 2, "no user 'nosuchuser' is known here")
    assert not [p for p in tmp_path.iterdir() if "~" in p.name]


def test_tilde_in_options_and_variables_is_expanded(call, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    shutil.copytree(ROOT / "tests" / "schemas" / "2", tmp_path / "home" / "r2")
    done = call("status", "~/r2")
    assert done.returncode == 0 and done.stdout == f"{tmp_path}/home/r2: 2 ok\n"
    monkeypatch.setenv("LSO_BENCH_RESULTS", "~nosuchuser/r")
    fails(call("run", "--model", "vae", "--task", "glyphs50", "--dry-run"), 2, "nosuchuser")
    study = tmp_path / "study.toml"
    study.write_text('models = ["vae"]\ntasks = ["~nosuchuser/t.py"]\n')
    with pytest.raises(UsageError, match=r"a path without `~`.*nosuchuser"):
        read_study(study)


FRESH = ["lost+found/", ".DS_Store", ".gitkeep", ".nfs000012", ".Trash-1000/", ".ipynb_checkpoints/", ".gitignore"]


@pytest.mark.parametrize("name", [*FRESH, ".snapshot/", ".git/", ".stfolder/", ".directory"])
def test_fresh_volume_with_what_a_system_puts_there_takes_results(tmp_path, name):
    place = tmp_path / name
    place.mkdir() if name.endswith("/") else place.touch()
    assert list(Store(tmp_path)) == [] and place.exists()


@pytest.mark.parametrize("name", ["thesis.tex", "lost", "run", "lost+found.txt"])
def test_folder_with_anything_else_in_it_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(UnusableError, match=rf"not empty \({re.escape(name)}\)"):
        Store(tmp_path)


def test_results_folder_of_a_clone_takes_runs(tmp_path):
    shipped = [line.rpartition("/results/")[2] for line in (ROOT / ".gitignore").read_text().split() if line[:1] == "!"]
    assert {"reference/", "searchers/", "README.md"} <= {*shipped}
    for name in shipped:
        for path in (ROOT / "results" / name, ROOT / "results" / name / "lso-bench.json"):
            place = tmp_path / path.relative_to(ROOT / "results")
            if path.is_file():
                shutil.copy(path, place)
            elif path.is_dir():
                place.mkdir()
    Store(tmp_path)
    assert not [f for f in findings([tmp_path]) if "not ours" in f.message]


STUDY = 'models = ["vae"]\ntasks = ["glyphs50"]\nseeds = [3]\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_study_file_of_another_editor_is_read(tmp_path, encoding, end):
    (tmp_path / "s.toml").write_bytes(STUDY.replace("\n", end).encode(encoding))
    assert read_study(tmp_path / "s.toml")[0].seeds == [3]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (STUDY.encode("utf-16"), "it is in UTF-16; save it in UTF-8"),
        (b"\xfe\xff" + STUDY.encode("utf-16-be"), "it is in UTF-16; save it in UTF-8"),
        (STUDY.encode() + "# größer".encode("latin-1"), "byte .* is not UTF-8; save it in UTF-8"),
    ],
)
def test_study_file_in_another_encoding_is_named(tmp_path, content, says):
    (tmp_path / "s.toml").write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read_study(tmp_path / "s.toml")


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="no clone of the repository")
def test_clone_with_autocrlf_has_the_same_bytes_and_whole_results(tmp_path):
    def git(*arguments: str, **options) -> str:
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True, **options).stdout

    git("clone", "-q", "-c", "core.autocrlf=true", "--no-checkout", str(ROOT), str(tmp_path / "clone"))
    parts = ["results", "tests/schemas", "tasks", ".gitattributes", "lso_bench/report/template"]
    git("checkout", "-q", "HEAD", "--", *parts, cwd=tmp_path / "clone")
    listed = [line.split(None, 3) for line in git("ls-tree", "-r", "HEAD", *parts, cwd=tmp_path / "clone").splitlines()]
    expected = {path: sha for _, _, sha, path in listed}
    hashes = git("hash-object", "--no-filters", "--stdin-paths", input="\n".join(expected), cwd=tmp_path / "clone")
    assert dict(zip(expected, hashes.split(), strict=True)) == expected and len(expected) > 300
    states = [f.state for f in findings([tmp_path / "clone" / "results" / "reference"])]
    assert states and set(states) == {"ok"}


CODE = """
from lso_bench import Searcher, Task
from lso_bench.cli import main
from lso_bench.testing import check_task
check_task("ink")  # also in a worker process
main()
"""


def test_modules_of_the_users_with_names_of_ours_are_not_in_the_way(checkpoint, tmp_path):
    for name in ("vae", "tasks", "task", "search", "results", "store", "report"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    run = ["run", "--model", "vae", *SHORT, "--starts", "random", "--jobs", "1", "--no-pictures"]
    settings = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", CODE, *run], **settings)
    assert done.returncode == 0 and "executed" not in done.stderr, done.stderr
    assert [*tmp_path.glob("results/runs/*/*/result.json")]


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PATH", "/nonexistent", "(--compile) needs a C++ compiler"),
        ("TORCHINDUCTOR_CACHE_DIR", "/tmp/with a space", "set TORCHINDUCTOR_CACHE_DIR"),
    ],
)
@pytest.mark.parametrize("command", ["train --model vae --data glyphs", "run --model vae --task glyphs50"])
def test_compiling_where_it_cannot_work_is_refused_in_one_line(
    call, checkpoint, monkeypatch, command, variable, value, says
):
    monkeypatch.setenv(variable, value)
    if builder := sys.modules.get("torch._inductor.cpp_builder"):
        builder.cpp_compiler_search.cache_clear()  # an earlier test may have looked for a compiler
    done = call(*command.split(), "--latent", "4", "--device", "cpu", "--compile")
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "check-task"])
def test_processes_of_the_program_import_nothing_from_the_working_folder(checkpoint, tmp_path, command):
    for name in ("vae", "tasks", "lso_bench", "types", "logging", "signal", "random", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')")
    program = Path(sys.executable).with_name("lso-bench")
    words = {
        "run": ["--model", "vae", *SHORT, "--starts", "random", "--jobs", "1", "--no-pictures"],
        "check-task": ["ink"],
    }
    done = subprocess.run([program, command, *words[command]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "executed" not in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_working_folder_that_was_deleted_is_said_in_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os; os.rmdir(os.getcwd()); from lso_bench.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "status"], cwd=gone, capture_output=True, text=True)
    fails(done, 4, "The working folder is there no more: cd to another one.")


def test_warnings_that_are_errors_elsewhere_fail_no_run(checkpoint, tmp_path):
    warns = INK.replace(
        "        return", "        import warnings\n        warnings.warn('from a library')\n        return"
    )
    (tmp_path / "warns.py").write_text(warns)
    words = [
        "run",
        "--model",
        "vae",
        "--latent",
        "4",
        "--task",
        "./warns.py",
        "--searcher",
        "bo:initial=2,raw=8,restarts=1",
    ]
    options = ["--budget", "4", "--starts", "random", "--decoding", "sample", "--jobs", "1", "--quiet"]
    program, environment = (
        Path(sys.executable).with_name("lso-bench"),
        os.environ | {"PYTHONWARNINGS": "e::DeprecationWarning,error,ignore::ImportWarning"},
    )
    done = subprocess.run([program, *words, *options], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
