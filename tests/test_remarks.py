"""Lines on stderr."""

import subprocess
import sys

from lso_bench.files import remarks
from lso_bench.files.remarks import PRINTED, remark, share_remarks

PROGRAM = "from lso_bench.files.remarks import remark; [*map(remark, ('3 are out', '2 are empty'))]"


def test_line_is_printed_once_by_all_processes_of_a_command(capfd, monkeypatch):
    monkeypatch.delenv(PRINTED, raising=False)
    remarks._folder.cache_clear()  # another test may have removed the folder that this process had
    share_remarks()
    remark("2 are empty")
    remark("2 are empty")  # as often as this process says so
    processes = [subprocess.Popen([sys.executable, "-c", PROGRAM]) for _ in range(3)]
    assert [p.wait() for p in processes] == [0, 0, 0]
    assert sorted(capfd.readouterr().err.splitlines()) == ["2 are empty", "2 are empty", "3 are out"]


def test_lines_are_printed_where_the_folder_of_lines_is_gone(capfd, monkeypatch, tmp_path):
    monkeypatch.setenv(PRINTED, str(tmp_path / "gone"))
    remark("3 images are left out")
    remark("3 images are left out")
    assert capfd.readouterr().err == "3 images are left out\n" * 2
