"""The command line as a user meets it: real processes, their output and exit status."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from conftest import SHORT, TINY, fails, preset

from lso_bench.errors import UsageError
from lso_bench.models import training
from lso_bench.vae.architectures.paper import Paper
from lso_bench.vae.checkpoint import load_model, read, save_model
from lso_bench.vae.trained_model import Model


def test_run_compare_and_run_again(call, checkpoint, tmp_path):
    first = call("run", "--model", "vae", *SHORT)
    assert first.returncode == 0, first.stderr
    assert "glyphs50" in first.stdout and "random" in first.stdout and "encoder" in first.stdout
    pictures = [Path(line.removeprefix("picture: ")) for line in first.stderr.splitlines() if "picture" in line]
    assert {p.name.split("-")[0] for p in pictures} >= {"images", "curves"} and all(
        (tmp_path / p).read_bytes().startswith(b"\x89PNG") for p in pictures
    )

    files = {p: p.stat().st_mtime_ns for p in tmp_path.glob("results/runs/*/*/*")}
    again = call("run", "--model", "vae", *SHORT)
    assert "1 of 1 runs are done already" in again.stderr
    assert files == {p: p.stat().st_mtime_ns for p in tmp_path.glob("results/runs/*/*/*")}
    assert again.stdout == first.stdout

    rows = json.loads(call("compare", "results", "--json").stdout)["measures"]
    table = list(csv.DictReader(io.StringIO(call("compare", "results", "--csv").stdout)))
    assert len(rows) == len(table) and {r["measure"] for r in rows} >= {"loss", "iterations", "gap", "distance"}
    assert all(r["n"] == 50 for r in rows if r["measure"] in ("loss", "gap", "iterations"))
    assert call("compare", "results").stdout == first.stdout
    assert call("status", "results").stdout == "results: 1 ok\n"
    dry = call("run", "--model", "vae", "--seed", "0,1", *SHORT, "--dry-run")
    assert dry.stdout.count("done") == dry.stdout.count("to do") == 1
    assert "About " in dry.stderr and "1 of them" in dry.stderr


def test_grid_of_seeds_and_dry_run(call, checkpoint, tmp_path):
    dry = call("run", "--model", "vae", "--seed", "0,1,2", *SHORT, "--dry-run")
    assert dry.returncode == 0 and dry.stdout.count("to do") == 3
    assert "No run like 3 of them was measured yet" in dry.stderr and "About" not in dry.stderr
    assert not (tmp_path / "results").exists()


def test_grid_of_searchers_regions_and_search_seeds(call, checkpoint, tmp_path):
    options = ("--searcher", "cmaes,sobol", "--region", "box:1,box:10", "--search-seed", "0,1", "--budget", "10")
    where = ("--starts", "random,data", "--decoding", "greedy", "--joint", "--no-pictures", "--protocol", "paper")
    where += ("--isolation", "none")
    done = call("run", "--model", "vae", "--task", "glyphs50:instances=3", "--latent", "4", *options, *where)
    assert done.returncode == 0, done.stderr
    assert "Region box:10 leaves the prior far behind" in done.stderr and "box:1 leaves" not in done.stderr
    assert "--joint: of no effect on cmaes, sobol" in done.stderr  # and nothing of thresholds, which nobody typed
    assert "--thresholds" not in done.stderr
    results = [json.loads(p.read_text()) for p in tmp_path.glob("results/runs/*/*/result.json")]
    assert {
        (r["spec"]["searcher"].split(":")[0], r["spec"]["region"], r["spec"]["seeds"]["search"]) for r in results
    } == {(s, box, seed) for s in ("cmaes", "sobol") for box in ("box:1", "box:10") for seed in (0, 1)}
    for r in results:
        assert r["counts"]["evaluations"] == 6 * 10 and {m["stopped"] for m in r["members"]} == {"budget"}
        assert r["versions"]["device"] == "cpu" and {"propose", "decode", "score", "total"} <= set(r["seconds"])
        assert r["counts"]["decodes"] >= 6 * 10 and r["spec"]["seeds"]["init"] == 0


def test_lists(call):
    assert "nevae_se" in call("list", "models").stdout
    assert "omniglot50" in call("list", "tasks").stdout
    assert "adam" in call("list", "searchers").stdout
    assert "shapes" in call("list", "data").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--model", "nevae", "--task", "glyphs50"), ["No model 'nevae'", "Did you mean 'nevae_se'?"]),
        (("run", "--model", "vae", "--task", "omniglot51"), ["No task", "Did you mean 'omniglot50'?"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--searcher", "adm"), ["Did you mean 'adam'?"]),
        (("run", "--model", "vae:x=1", "--task", "glyphs50"), ["no setting 'x'"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--arch", "smal"), ["Did you mean 'small'?"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--seed", "one"), ["whole numbers"]),
        (("run", "--model", "vae,", "--task", "glyphs50"), ["names separated by commas"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--protocol", "papr"), ["Did you mean 'paper'?"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--device", "gpu"), ["No device 'gpu'"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--region", "bx:3"), ["No region 'bx:3'; wanted none, box:"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--starts", "here"), ["No start 'here'; wanted random"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--decoding", "greedi"), ["Did you mean 'greedy'?"]),
        (
            ("run", "--model", "vae", "--task", "glyphs50", "--searcher", "adam:lrr=1"),
            ["no setting 'lrr'; there are lr"],
        ),
        (("run", "--model", "vae", "--task", "glyphs50", "--decoding", "sample"), ["needs gradients", "choose cmaes"]),
        (
            ("run", "--model", "vae", "--task", "glyphs50", "--searcher", "cmaes", "--budget", "3"),
            ["begins with 8 evaluations; --budget 3"],
        ),
        (("run", "--model", "vae", "--task", "glyphs50", "--isolation", "rum"), ["Did you mean 'run'?"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--shard", "3/2"), ["a part like 3/16", "'3/2'"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--exclude", "model=rae"), ["No run is meant by `exclude"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--override", "budget=3"), ["wanted which runs are meant"]),
        (("train", "--model", "vae", "--data", "omniglott"), ["Did you mean 'omniglot'?"]),
        (("train", "--model", "vae", "--data", "glyphs", "--precision", "fp16"), ["fp32 or bf16"]),
        (("train", "--model", "vae", "--data", "glyphs", "--capture", "--device", "cpu"), ["wants a CUDA device"]),
        (("train", "--model", "./none.py", "--data", "glyphs"), ["No file 'none.py'"]),
        (("evaluate", "--model", "vae", "--data", "glyphs", "--codes", "1"), ["want 2 or more"]),
        (("reproduce", "table1", "--data", "omniglott", "--dry-run"), ["Did you mean 'omniglot'?"]),
        (("train", "--model", "cyclical:share=0", "--data", "glyphs"), ["share above 0"]),
        (("train", "--model", "vae", "--data", "glyphs", "--arch", "small:channels=0"), ["from 1 to 1024"]),
        (("train", "--model", "vae", "--data", "glyphs", "--arch", "small:latent=8"), ["option of its own"]),
        (("reproduce", "table3"), ["Did you mean 'table"]),
        (("reproduce", "table2", "--models", "vae,rae"), ["No model of table2 'rae'"]),
        (("reproduce", "search", "--searcher", "sobol"), ["steps of a descent", "'sobol'"]),
        (("reproduce", "search", "--data", "shapes", "--dry-run"), ["No task 'shapes50'"]),
        (
            ("run", "--model", "vae", "--task", "glyphs50", "--thresholds", "0.1,-1"),
            ["finite numbers from 0 on", "0.1,-1"],
        ),
        (("reproduce", "table1", "--capture", "--device", "cpu"), ["wants a CUDA device"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--capture", "--device", "cpu"), ["wants a CUDA device"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--region", ""), ["--region wants names", "''"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--search-seed", ""), ["wants whole numbers", "''"]),
        (("run", "--model", "vae", "--task", "glyphs50", "--decoding", ""), ["No decoding ''"]),
        (("reproduce", "table1", "--precision", "fp16", "--dry-run"), ["fp32 or bf16"]),
        (("reproduce", "fig1", "--train-seed", "0,1"), ["belongs to table1, table2 and search"]),
        (("reproduce", "table1", "--train-seed", "-1"), ["numbers from 0", "'-1'"]),
        (("reproduce", "table1", "--seed", "3"), ["belong to `reproduce search`"]),
        (("train-judge", "density", "--data", "shapes"), ["28 pixels", "(1, 64, 64)"]),
        (("reproduce", "search", "--models", "vae_noanneal"), ["No model of search 'vae_noanneal'", "'vae'"]),
        (("traverse", "--model", "vae", "--data", "glyphs", "--dimensions", "32"), ["from 0 to 31"]),
        (("list", "modles"), ["Did you mean 'models'?"]),
        (("check-task", "glyphs5"), ["No task 'glyphs5'", "Did you mean 'glyphs50'?"]),
        (("check-searcher", "sobel"), ["No searcher 'sobel'", "Did you mean 'sobol'?"]),
        (("check-searcher", "sobol:batch=0"), ["batch: wanted 1 or more, got 0"]),
        (("new-task", "my-task"), ["No task can be called 'my-task'"]),
    ],
)
def test_unknown_words_end_with_status_2(call, checkpoint, arguments, says, tmp_path):
    if "glyphs50" in arguments:
        arguments = (*arguments, "--latent", "4")
    fails(call(*arguments), 2, *says)
    assert not (tmp_path / "results").exists()


def test_missing_checkpoint_names_the_training_command(call):
    done = call("run", "--model", "nevae_lp_7", "--task", "omniglot50", "--latent", "16")
    fails(done, 4, "lso-bench train --model nevae_lp_7.0 --data omniglot --arch small --latent 16", "hour")


def test_damaged_checkpoint_ends_with_status_4(call, checkpoint, tmp_path):
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    fails(call("run", "--model", "vae", *SHORT), 4, "damaged", checkpoint.name)
    assert not list(tmp_path.glob("results/runs/*/*"))


def test_missing_data_ends_with_status_4(call, checkpoint, tmp_path, monkeypatch):
    vae, header = load_model(checkpoint)
    save_model(checkpoint.parent / Model("vae", "mnist", "small", 4).file, vae, header)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    arguments = ("run", "--model", "vae", "--task", "mnist50", "--latent", "4", "--data-dir", tmp_path / "none")
    done = call(*arguments)
    assert done.returncode == 4 and "glyphs50 needs no download" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_folder_without_results_ends_with_status_4(call, tmp_path):
    fails(call("compare", tmp_path), 4, "no results folder")
    fails(call("compare", tmp_path / "nowhere"), 4, "no results folder")


def test_folder_without_runs_of_its_own_stands_for_the_results_folders_below_it(call, tmp_path):
    shutil.copytree(Path(__file__).parent / "schemas" / "2", tmp_path / "above" / "below")
    done, below = (call("compare", folder) for folder in ("above", "above/below"))
    assert done.returncode == 0 and "final loss" in done.stdout
    assert done.stdout.splitlines()[:-1] == below.stdout.splitlines()[:-1]  # the last line names the folder
    assert done.stderr == f"above has no runs of its own; reading above/below.\n{below.stderr}"


def test_results_into_a_foreign_folder_are_refused(call, checkpoint, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.txt").write_text("mine")
    fails(call("run", "--model", "vae", *SHORT, "--results", "thesis"), 4, "no results folder and not empty")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("often", [False, True])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_it_with_its_status_and_how_to_go_on(start, checkpoint, tmp_path, number, status, often):
    child, stderr = start("run", "--model", "vae", "--task", "glyphs50", "--latent", "4", "--protocol", "paper")
    first = next(line for line in stderr if not line.startswith("Planning: "))
    assert "0/100000" in first  # its first line of progress: the search has begun
    time.sleep(0.2)
    os.kill(child.pid, number)
    errors = next(line for line in stderr if "finished runs" in line) if often else ""
    while often and child.is_alive():
        time.sleep(0.02)
        os.kill(child.pid, number)
    errors += stderr.read()
    child.join()
    assert child.exitcode == status and "The same command goes on from there" in errors
    assert "Traceback" not in errors and not list(tmp_path.glob("results/runs/*/*"))


COMMANDS = [
    "run",
    "status",
    "train",
    "train-judge",
    "evaluate",
    "compare",
    "export",
    "archive",
    "reproduce",
    "traverse",
    "import-checkpoint",
    "list",
    "doctor",
    "new-task",
    "check-task",
    "check-searcher",
]


@pytest.mark.parametrize("command", [(), *((c,) for c in COMMANDS)])
def test_every_command_has_help(call, command):
    done = call(*command, "-h")
    assert done.returncode == 0 and "Usage" in done.stdout


CHEAP = ("--nll-images", "2", "--nll-samples", "3", "--codes", "4")


def test_evaluate_measures_once_and_keeps_it(call, model_of_noise, tmp_path):
    arguments = ("evaluate", "--model", "vae", "--data", "noise.py", "--latent", "4", *CHEAP)
    first = call(*arguments)
    assert first.returncode == 0, first.stderr
    assert "Seed of the draws: 0." in re.sub(r"\s+", " ", call(*arguments).stdout)
    assert "log n = 3.40" in first.stdout and first.stdout.count("+-") == 16  # 15 means, and the title
    (kept,) = (tmp_path / "results" / "metrics").glob("*.json")
    assert call(*arguments).stdout == first.stdout
    raw = json.loads(kept.read_text())
    raw["metrics"]["nelbo"] = 123.0
    kept.write_text(json.dumps(raw))
    assert "123.000" in call(*arguments).stdout  # read, not measured again
    for damaged in ("{", "null"):
        kept.write_text(damaged)
        assert call(*arguments).stdout == first.stdout  # measured again
    assert "each latent dimension" in call(*arguments, "--each").stdout.lower()
    assert json.loads(call(*arguments, "--json").stdout)[0]["metrics"]["kl_each"]
    for weights in (tmp_path / "checkpoints").glob("*"):
        weights.unlink()
    stored = call(*arguments)
    assert stored.stdout == first.stdout and "its weights are not here; these are its measures in" in stored.stderr


def test_train_stops_at_a_signal_says_how_to_go_on_and_does(start, tmp_path):
    arch = ("--arch", "conv:channels=2,encoder=2", "--latent", "4")
    rest = ("--epochs", "9", "--device", "cpu", "--data-dir", str(tmp_path / "my data"))

    def stop(*arguments) -> str:
        child, stderr = start(*arguments)
        assert "glyphs: 23,000 images to train with" in stderr.readline()
        assert " of 9," in stderr.readline()
        os.kill(child.pid, signal.SIGTERM)
        errors = stderr.read()
        child.join()
        assert child.exitcode == 143 and "Traceback" not in errors
        return errors

    (command,) = re.findall(
        "To go on: lso-bench (.*)", stop("train", "--model", "rae", "--data", "glyphs", *arch, *rest)
    )
    (state,) = (tmp_path / "checkpoints").glob("*.state.safetensors")
    before = read(state)[1]
    stop(*shlex.split(command))
    after = read(state)[1]
    assert (len(after["history"]), after["batches"]) > (len(before["history"]), before["batches"]) > (0, 0)


def test_trained_model_has_its_learning_curve_beside_it(square_data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "load", lambda *_: square_data)
    monkeypatch.setattr(Paper, "variants", {"paper": {}, "tiny": preset(TINY)})
    path = training.train(training.plan(Model("vae", "omniglot", "tiny", 4), 2), None, "cpu", quiet=True)
    rows = list(csv.DictReader(io.StringIO(path.with_suffix(".csv").read_text())))
    assert [r["epoch"] for r in rows] == ["1", "2"] and {"nelbo", "kl", "mi", "au", "reencoding_mean"} <= set(rows[0])
    assert all(float(r["nelbo_se"]) > 0 and float(r["kl_se"]) >= 0 for r in rows) and "au_se" not in rows[0]
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_learning_curve_of_a_training_that_began_without_standard_errors_is_written(tmp_path):
    rows = [{"epoch": 1, "nelbo": 9.0}, {"epoch": 2, "nelbo": 8.0, "nelbo_se": 0.5}]
    with training._curves(tmp_path / "m.safetensors", None) as draw:
        draw(rows)
    assert (tmp_path / "m.csv").read_text().split() == ["epoch,nelbo,nelbo_se", "1,9.0,", "2,8.0,0.5"]


def test_tensorboard_without_its_package_is_one_line(square_data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "load", lambda *_: square_data)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"lso-bench\[tensorboard\]"):
        training.train(training.plan(Model("vae", "omniglot", "conv", 4), 1), None, "cpu", True, tmp_path)


def test_traverse_draws_sheets_and_one_page(call, checkpoint, tmp_path):
    arguments = ("traverse", "--model", "vae", "--data", "glyphs", "--latent", "4", "--steps", "12")
    done = call(*arguments, "--dimensions", "0,3", "--active", "0")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "traversals"
    names = {p.name.split("-s0-")[-1] for p in folder.glob("*.png")}
    assert names == {"all.png", "dim0.png", "dim3.png", "random.png"}
    assert "No walk of vae without active dimensions" in done.stderr
    (page,) = folder.glob("*.html")
    assert page.read_text().count("data:image/png;base64,") == len(names) and "http" not in page.read_text()
    done = call(*arguments, "--active", "9")
    assert "passive.png" in done.stderr and "No walk" not in done.stderr
