"""benchmarks/gpu.py: its dry run on a CPU, killed and gone on with, and what it packs in half the bytes."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from conftest import preset, random_vae

from lso_bench.errors import UnusableError
from lso_bench.store.archive import open_results
from lso_bench.vae import checkpoint, training
from lso_bench.vae.architectures.paper import Paper
from lso_bench.vae.data import load
from lso_bench.vae.metrics import measure
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training_state import Plan

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # they import one another, as scripts do

import gpu
import gpu_packing
import gpu_report
import gpu_trainings
from gpu_processes import side_by_side

MODEL = Model("vae", "glyphs", gpu_report.TINY)
HALF = MODEL.file.replace(".safetensors", ".half.safetensors")


def command(out: Path, *words: str) -> list[str]:
    dry = ["--device", "cpu", "--tiny", "--models", "vae", "--minutes", "60"]
    return [sys.executable, str(BENCHMARKS / "gpu.py"), str(out), *dry, *words]


def dry_run(out: Path) -> subprocess.Popen[str]:
    """The whole day in small, in a process group of its own."""
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command(out), env=environment, start_new_session=True, **streams)


def ended(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def rows(out: Path) -> dict[str, dict[str, float]]:
    report = out / "report.json"
    return json.loads(report.read_text()).get("rows", {}) if report.is_file() else {}


def state_of(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}


def typed(monkeypatch, out: Path, *words: str) -> int:
    """The same in this process, for what is done in a moment; the exit status."""
    for variable in ("LSO_BENCH_CHECKPOINTS", "PYTHONPATH"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))  # gpu.py sets them; now they are set back
    monkeypatch.setattr(sys, "argv", [str(word) for word in command(out, *words)[1:]])
    with pytest.raises(SystemExit) as end:
        gpu.main()
        raise SystemExit(0)
    return end.value.code


@pytest.mark.faults  # for its length: about 80 s of a core
@pytest.mark.timeout(1800)
def test_a_dry_run_that_is_killed_goes_on_from_its_output_and_then_does_nothing_anew(tmp_path, monkeypatch, capsys):
    out, work = tmp_path / "out", tmp_path / "out.work"
    first = dry_run(out)
    while first.poll() is None and len(rows(out)) < 1:  # in the midst of the second part
        time.sleep(0.05)
    assert first.poll() is None, first.communicate()[0]
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    before = rows(out)
    shutil.rmtree(work)
    assert "left: nothing" in ended(dry_run(out))
    assert before.items() <= rows(out).items()
    files = state_of(out)
    assert files.keys() == {"report.json", "results.tar.zst", HALF}
    assert json.loads((out / "report.json").read_text())["tests"]["status"] in (0, 5)
    assert not [n for n, row in rows(out).items() if n != "all" and "error" in row]
    assert typed(monkeypatch, out) == 0
    assert state_of(out) == files and "left: nothing" in capsys.readouterr().out
    checkpoints = tmp_path / "home"
    assert typed(monkeypatch, out, "--unpack", str(checkpoints)) == 0
    vae, header = checkpoint.load_model(checkpoints / MODEL.file)
    test = load("glyphs").test[:100]
    assert header["metrics"] == json.loads(json.dumps(asdict(measure(vae, test))))
    assert header["command"].startswith("lso-bench train --model vae --data glyphs")
    assert (header["model"]["seed"], header["epochs"], header["data_sha256"]) == (0, 2, load("glyphs").sha256)
    (record,) = open_results(out / "results.tar.zst")
    assert record.status == "ok" and record.spec.starts == ("random", "encoder")
    assert record.spec.checkpoint == checkpoint.sha256(checkpoints / MODEL.file)


@pytest.fixture
def tiny(monkeypatch):
    small = Paper(latent=4, encoder=8, hidden=8, channels=8, kernels=(7, 3), skips=False)
    monkeypatch.setattr(Paper, "variants", {"paper": {}, "tiny": preset(small)})
    return Plan(Model("nevae_se", "omniglot", "tiny", 4), 3, anneal_epochs=1.0, threads=1)


def stopped_after_one_epoch(plan, data, path):
    def stop(progress):
        if progress.history:
            raise training.Stopped

    with pytest.raises(training.Stopped):
        training.train(plan, data, path, report=stop)
    return path.with_suffix(".state.safetensors")


def test_a_training_packed_in_half_its_bytes_gives_its_checkpoint_back_byte_by_byte(tiny, square_data, tmp_path):
    path, settled, packed, back = (tmp_path / n for n in ("a", "b", "c", "d"))
    training.train(tiny, square_data, path)
    gpu_packing.settle(settled, path, square_data, "cpu")
    gpu_packing.pack(packed, settled, None)
    gpu_packing.unpack(packed, back)
    assert back.read_bytes() == settled.read_bytes()
    assert gpu_packing.is_finished(packed)
    (vae, header), whole = checkpoint.load_model(back), checkpoint.read(path)[1]
    assert header["metrics"] == json.loads(json.dumps(asdict(measure(vae, square_data.test))))
    assert header["metrics"]["nelbo"] == pytest.approx(whole["metrics"]["nelbo"], abs=0.1)
    assert {k: header[k] for k in ("command", "data_sha256", "epochs", "history")} == {
        k: whole[k] for k in ("command", "data_sha256", "epochs", "history")
    }


def test_a_training_goes_on_from_a_state_in_half_its_bytes(tiny, square_data, tmp_path):
    state = stopped_after_one_epoch(tiny, square_data, tmp_path / "m.safetensors")
    packed, settled, path = tmp_path / "packed", tmp_path / "settled", tmp_path / "later" / "m.safetensors"
    gpu_packing.settle(settled, state, square_data, "cpu")
    gpu_packing.pack(packed, settled, checkpoint.read(state))
    assert not gpu_packing.is_finished(packed)
    gpu_packing.unpack(packed, tmp_path / "back", path.with_suffix(".state.safetensors"))
    header = checkpoint.load_model(tmp_path / "back")[1]
    assert (header["epochs"], header["batches"], header["of_epochs"]) == (1, 0, 3)
    assert header["command"].endswith("--epochs 1")
    training.train(tiny, square_data, path)
    history = checkpoint.read(path)[1]["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[0] == header["history"][0]


def test_a_training_out_of_time_is_packed_and_goes_on_from_the_output_folder(tmp_path):
    places = gpu_report.Places(tmp_path / "out", tmp_path / "work")
    setting = gpu_report.Setting(("vae",), "cpu", "glyphs", gpu_report.TINY, 2, "fp32", tiny=True)
    packed = places.packed(setting.training("vae"))
    gpu_trainings.train(places, setting, "vae", until=0.0)
    header = checkpoint.read(packed)[1]
    assert "checkpoint" not in header and header["state"]["batches"] == 1
    shutil.rmtree(places.work)
    gpu.restore(places, setting)
    gpu_trainings.train(places, setting, "vae", until=math.inf)
    assert gpu_packing.is_finished(packed) and gpu_packing.described(packed)["epochs"] == 2


def test_a_packed_training_that_is_damaged_is_refused(tiny, square_data, tmp_path):
    state = stopped_after_one_epoch(tiny, square_data, tmp_path / "m.safetensors")
    gpu_packing.pack(tmp_path / "packed", None, checkpoint.read(state))
    content = bytearray((tmp_path / "packed").read_bytes())
    content[-100] ^= 1
    (tmp_path / "packed").write_bytes(content)
    with pytest.raises(UnusableError, match="damaged"):
        gpu_packing.unpack(tmp_path / "packed", tmp_path / "settled", tmp_path / "state")


def test_the_state_of_a_paper_s_training_takes_half_of_16_mib(tmp_path):
    vae = random_vae(Paper())
    tensors = {f"vae.{k}": t for k, t in vae.state_dict().items()}
    for i, p in enumerate(vae.parameters()):
        tensors |= {f"adam.{i}.exp_avg": torch.randn_like(p), f"adam.{i}.exp_avg_sq": 1e-9 * torch.rand_like(p)}
    gpu_packing.pack(tmp_path / "packed", None, (tensors, {}))
    assert (tmp_path / "packed").stat().st_size < 8.5 * 2**20
    gpu_packing.unpack(tmp_path / "packed", tmp_path / "settled", tmp_path / "state")
    back = checkpoint.read(tmp_path / "packed")[0]
    assert all(back[k].float().ne(0).any() for k in back if k.endswith("exp_avg_sq"))  # too small for float16


def test_an_output_folder_begun_with_another_setting_is_refused(tmp_path, capsys):
    places = gpu_report.Places(tmp_path / "out", tmp_path / "work")
    gpu_report.begin(places, gpu_report.Setting(("vae",)))
    gpu_report.begin(places, gpu_report.Setting(("vae",)))
    with pytest.raises(SystemExit, match="2"):
        gpu_report.begin(places, gpu_report.Setting(("vae",), epochs=30))
    assert "say another folder" in capsys.readouterr().out
    assert gpu_report.setting_of(places) == gpu_report.Setting(("vae",))


def test_what_does_not_end_in_time_is_killed_and_what_waits_does_not_begin(tmp_path):
    commands = {"short": ["true"], "long": ["sleep", "3600"], "late": ["touch", str(tmp_path / "late")]}
    assert dict(side_by_side({"short": ["false"]}, 1, time.time() + 3600, tmp_path)) == {"short": 1}
    outcomes = dict(side_by_side(commands, 1, time.time() + 1, tmp_path))
    assert outcomes["long"] is None and "late" not in outcomes
    assert not (tmp_path / "late").exists()
