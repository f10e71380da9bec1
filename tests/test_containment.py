"""Code of a plugin leaves the process as it was, whatever it does; and the check of a plugin says what it changed."""

import ctypes
import json
import locale
import logging
import os
import random
import signal
import sys
import tempfile
import warnings
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from conftest import squares
from examples import INK, SHRINKING

from lso_bench.plugins import code_version
from lso_bench.plugins.containment import ExitError, contained, place
from lso_bench.plugins.process_state import PARTS
from lso_bench.plugins.random_numbers import Stream
from lso_bench.runner.run import run
from lso_bench.search import SEARCHERS
from lso_bench.spec import Spec
from lso_bench.task import TASKS
from lso_bench.testing import examine, examine_searcher
from lso_bench.vae.checkpoint import sha256
from lso_bench.vae.trained_model import Model

SIDE_EFFECTS = {  # a line of a plugin, and what is said of it
    "torch.set_default_dtype(torch.float64)": "the default dtype (now torch.float64)",
    "torch.set_default_device('meta')": "the default device (now meta)",
    "torch.set_grad_enabled(False)": "the gradient mode (now False)",
    "torch.set_num_threads(torch.get_num_threads() + 1)": "the number of threads",
    "torch.use_deterministic_algorithms(True, warn_only=True)": "deterministic algorithms",
    "torch.set_float32_matmul_precision('medium')": "the precision of products (now medium)",
    "torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark": "cuDNN's settings",
    "torch.autocast('cpu').__enter__()": "autocast",
    "torch.autograd.set_detect_anomaly(True, check_nan=False)": "anomaly detection",
    "torch.set_flush_denormal(True)": "the flushing of denormal numbers",
    "np.seterr(all='raise')": "NumPy's error handling",
    "os.chdir('/')": "the working directory (now /)",
    "os.environ['OMP_NUM_THREADS'] = '77'": "the environment variable OMP_NUM_THREADS",
    "os.environ.pop('PATH', None)": "the environment variable PATH",
    "sys.path.insert(0, '/nowhere')": "sys.path",
    "warnings.simplefilter('ignore')": "warning filters",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)": "signal handlers",
    "signal.alarm(600)": "a pending alarm",
    "signal.setitimer(signal.ITIMER_REAL, 600, 7)": "a pending alarm",
    "logging.basicConfig(level=0, force=True)": "the root logger",
    "logging.getLogger().addHandler(logging.NullHandler())": "the root logger",
    "tempfile.tempdir = '/nowhere'": "the folder of temporary files",
    "locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')": "the locale",
    "__import__('matplotlib').use('svg')": "matplotlib's backend (now svg)",
    "sys.setrecursionlimit(7777)": "the recursion limit (now 7777)",
    "torch.manual_seed(5)": "torch's seed",
}
NAMES = {m.__name__: m for m in (torch, os, sys, warnings, signal, locale, random, ctypes, logging, tempfile)} | {
    "np": np
}


@pytest.fixture
def no_alarm():
    """No alarm of the test's own limit of time."""
    signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.parametrize("line", SIDE_EFFECTS)
def test_side_effect_is_named_and_put_back(line, no_alarm):
    before = [part.read() for part in PARTS]
    with contained() as changed:
        exec(line, NAMES)
    assert [part.read() for part in PARTS] == before
    assert any(name.startswith(SIDE_EFFECTS[line]) for name in changed)


def test_every_part_has_a_side_effect_here():
    assert all(any(said.startswith(part.name) for said in SIDE_EFFECTS.values()) for part in PARTS)


@pytest.mark.parametrize("line", SIDE_EFFECTS)
def test_side_effect_is_put_back_where_the_code_raises(line):
    before = [part.read() for part in PARTS]
    with pytest.raises(ZeroDivisionError), contained():
        exec(f"{line}; 1 / 0", NAMES)
    assert [part.read() for part in PARTS] == before


def test_autocast_that_is_left_on_keeps_no_weights_that_others_change():
    layer, x = torch.nn.Linear(3, 3), torch.ones(1, 3)
    with contained() as changed:
        torch.autocast("cpu").__enter__()
        layer(x)
    assert changed == ["autocast"] and layer(x).dtype == torch.float32
    with torch.autocast("cpu"):
        layer(x)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    with torch.autocast("cpu"):
        assert not layer(x).any()


def test_code_that_changes_nothing_is_said_nothing_of():
    with contained() as changed:
        assert torch.rand(3).sum() > 0
    assert changed == []


def draws():
    return torch.rand(()).item(), np.random.rand()  # the checks of types while tests run draw from Python's


def seed(number):
    torch.manual_seed(number)
    np.random.seed(number)


def test_random_numbers_go_on_as_if_no_plugin_had_run():
    seed(1)
    alone = [draws(), draws()]
    seed(1)
    first = draws()
    with contained():
        seed(9)
        draws()
    with contained(Stream(4).drawn):
        seed(9)
        draws()
    assert [first, draws()] == alone


def test_pythons_random_numbers_are_a_stream_too():
    seen = []
    for seed in (1, 2):
        random.seed(seed)
        with contained(Stream(4).drawn):
            seen.append(random.random())
    assert seen[0] == seen[1]


def test_each_stream_goes_on_where_it_stood_whatever_others_draw():
    def stretch(stream):
        with contained(stream.drawn):
            return draws()

    alone, whole = Stream(4), Stream(4)
    expected = [stretch(alone) for _ in range(3)]
    second_stream = Stream(5)
    got = []
    for _ in range(3):
        stretch(second_stream)
        draws()
        got.append(stretch(whole))
    assert got == expected and len(set(expected)) == 3


PRINTS = {
    "print": "print('from a plugin')",
    "write": "os.write(1, b'from a plugin')",
    "C": "ctypes.CDLL(None).puts(b'from a plugin')",
    "kept stream": "sys.stdout.write('from a plugin')",
    "child": "os.system('echo from a plugin')",
}


@pytest.mark.parametrize("how", PRINTS)
def test_what_a_plugin_prints_goes_to_stderr(how, capfd):
    with contained():
        exec(PRINTS[how], NAMES)
    print("data", flush=True)
    out, err = capfd.readouterr()
    assert out == "data\n" and "from a plugin" in err


def test_closed_stdout_stays_closed(capfd):
    kept = os.dup(1)
    os.close(1)
    try:
        with contained():
            os.write(1, b"from a plugin")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(1)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert "from a plugin" in capfd.readouterr().err


class Unusual(BaseException):
    """Error that is no Exception."""


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit("why"), Unusual("why"), KeyboardInterrupt()])
def test_what_would_end_the_program_is_an_error_that_names_it(error, monkeypatch):
    before = signal.signal(signal.SIGINT, lambda *_: None)  # as in the program, whose Ctrl-C raises no such thing
    try:
        with pytest.raises(ExitError, match=type(error).__name__), contained():
            raise error
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_what_a_plugin_does():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs do not have
    try:
        with pytest.raises(KeyboardInterrupt), contained():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


# Tasks and searchers with all of that in every method.

LEFT_OUT = "detect_anomaly", "meta", "use_determ", "matplotlib"  # slow, or of no use afterwards
WICKED = "\n".join(f"    {line}" for line in SIDE_EFFECTS if not any(word in line for word in LEFT_OUT))
WICKED_HEAD = f"""import ctypes, locale, logging, os, random, signal, sys, tempfile, warnings
import numpy as np
import torch


def spoil():
{WICKED}
    random.seed(0)
    np.random.seed(0)
    print("from a plugin")
    os.write(1, b"from a plugin")
    ctypes.CDLL(None).puts(b"from a plugin")


"""


def wicked_task():
    methods = """
    def bind(self, test):
        spoil()
        return self

    def at(self, instances):
        spoil()
        return self

    def beside(self, x):
        spoil()
        return {"ink": x.mean(dim=(-3, -2, -1)).half()}
"""
    late = "        y = -(x.mean(dim=(-3, -2, -1)) - self.target).abs().double()\n        spoil()\n        return y\n"
    head, _ = INK.split("        return")
    return WICKED_HEAD + "spoil()\n" + head + late + methods


def wicked_searcher():
    return WICKED_HEAD + "spoil()\n" + SHRINKING.replace("y = yield z", "spoil(); y = yield z; spoil()")


def test_check_of_a_task_says_what_each_method_changes(tmp_path, capfd, no_alarm):
    (tmp_path / "wicked.py").write_text(wicked_task())
    missing = {f.promise: f.missing for f in examine(tmp_path / "wicked.py", squares(40)) if f.state == "missing"}
    said = missing["side effects"]
    for method in ("its import", "bind", "at", "score", "beside"):
        (part,) = [part for part in said.split(";") if f"{method} changes" in part]
        expected = {p.name for p in PARTS} - {
            "the default device",
            "anomaly detection",
            "deterministic algorithms",
            "matplotlib's backend",
        }
        assert all(name in part for name in [*expected, "torch's seed", "stdout, by printing"]), part
    assert missing.keys() == {"side effects"}
    assert "from a plugin" not in capfd.readouterr().out


def test_check_of_a_searcher_says_what_its_search_changes(tmp_path, capfd, no_alarm):
    (tmp_path / "wicked.py").write_text(wicked_searcher())
    missing = {f.promise: f.missing for f in examine_searcher(tmp_path / "wicked.py", 4) if f.state == "missing"}
    said = missing["side effects"]
    assert "its import changes the default dtype" in said and "search changes the default dtype" in said
    assert "seed" not in said.partition("search changes")[2]  # of its own stream
    assert "from a plugin" not in capfd.readouterr().out


SPEC = Spec(Model("vae", "glyphs", "small", 4), "", "ink", "adam", max_steps=4, thresholds=(), starts=("random",))


def test_run_with_plugins_that_change_everything_finds_what_it_finds_without(tmp_path, checkpoint, capfd):
    (tmp_path / "wicked.py").write_text(wicked_task())
    (tmp_path / "plain.py").write_text(INK)
    (tmp_path / "wicked_search.py").write_text(
        wicked_searcher().replace("np.random.seed(0)", "", 1).replace("torch.manual_seed(5)", "pass")
    )
    (tmp_path / "plain_search.py").write_text(SHRINKING)
    before, losses = [], []
    for kind in ("plain", "wicked"):
        task, searcher = (str(tmp_path / f"{kind}{end}.py") for end in ("", "_search"))
        spec = replace(
            SPEC,
            checkpoint=sha256(checkpoint),
            task=TASKS.canonical(task),
            searcher=SEARCHERS.canonical(searcher),
            source=code_version.source_hash(task, searcher),
            decoding="sample",
            region="box:3",
            budget=5,
        )
        record = run(spec, checkpoint)
        before = before or [part.read() for part in PARTS]
        assert record.status == "ok" and record.versions["threads"] == torch.get_num_threads()
        losses.append([m.loss for m in record.members])
    assert losses[0] == losses[1] and [part.read() for part in PARTS] == before
    assert capfd.readouterr().out == ""


BRIEF = ("--latent", "4", "--searcher", "sobol", "--budget", "3", "--decoding", "sample", "--device", "cpu")
BRIEF += ("--no-pictures",)
THREAD = "        threading.Thread(target=lambda: time.sleep(600)).start()\n        return"


def test_a_thread_that_a_plugin_leaves_is_said_and_keeps_nothing_from_its_end(call, checkpoint, tmp_path):
    text = "import threading\nimport time\n\n" + INK.replace("        return", THREAD)
    (tmp_path / "threads.py").write_text(text)
    checked = call("check-task", "./threads.py")
    assert checked.returncode == 2 and "score changes the threads that run" in checked.stdout
    assert "ok        worker" in checked.stdout
    done = call("run", "--model", "vae", "--task", "./threads.py", *BRIEF)
    assert done.returncode == 0, done.stderr  # and not at the limit of time of a test


def test_a_plugin_that_breaks_what_writes_results_fails_alone(call, checkpoint, tmp_path):
    breaks = "        import json\n        json.dumps = None\n        return"
    (tmp_path / "breaks.py").write_text(INK.replace("        return", breaks))
    done = call("run", "--model", "vae", "--task", "./breaks.py,ink", *BRIEF, "--jobs", "1", "--json")
    assert (
        done.returncode == 3 and "breaks.py · sobol · seed 0: failed, what the run gave cannot be kept" in done.stderr
    )
    assert [r["task"].partition(":")[0] for r in json.loads(done.stdout)["runs"]] == ["ink"]


ENDS = {
    "exits.py": "raise SystemExit(0)",
    "interrupts.py": "raise KeyboardInterrupt",
    "odd.py": "raise type('Odd', (BaseException,), {})('odd')",
}


def test_plugins_that_end_the_program_and_print_are_failed_runs_and_leave_json_whole(call, checkpoint, tmp_path):
    head, _ = INK.split("        return")
    for name, line in ENDS.items():
        (tmp_path / name).write_text(f"{head}        print('from a plugin')\n        {line}\n")
    done = call("run", "--model", "vae", "--task", ",".join(f"./{n}" for n in ENDS), "--json", "--quiet", *BRIEF)
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    json.loads(done.stdout)
    for name, what in {"exits": "SystemExit: 0", "interrupts": "KeyboardInterrupt", "odd": "Odd: odd"}.items():
        assert f"{name}.py · sobol · seed 0: failed, task Ink: {what}" in done.stderr
    alone = call("run", "--model", "vae", "--task", "./exits.py", "--json", "--quiet", "--seed", "7", *BRIEF)
    assert alone.returncode == 3 and "failed, task Ink: SystemExit: 0" in alone.stderr
    json.loads(alone.stdout)


def test_place_of_an_error_is_the_last_line_of_the_users_code(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # as in a notebook; pytest's own otherwise
    namespace = {"__name__": "__main__"}
    exec(compile("import json\ndef f():\n    return json.loads('{')", "<cell>", "exec"), namespace)
    with pytest.raises(ValueError, match="Expecting") as caught:
        namespace["f"]()
    assert place(caught.value) == " (a cell, line 3)"


def test_error_without_code_of_the_user_has_no_place():
    try:
        exec("raise ValueError", {"__name__": "lso_bench.made_up"})
    except ValueError as error:
        assert place(error.with_traceback(error.__traceback__.tb_next)) == ""
