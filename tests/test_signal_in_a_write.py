"""A signal ends the program also while a line is written on stderr, and where whatever started it blocks signals."""

import signal
import subprocess
import sys

import pytest

CODE = """
import io, os, signal, sys, time
from lso_bench import cli

signal.pthread_sigmask(signal.SIG_BLOCK, [{number}])  # inherited

class Raw(io.RawIOBase):
    asked = False

    def writable(self):
        return True

    def write(self, content):
        if not self.asked:
            self.asked = True
            signal.raise_signal({number})
        return os.write(2, content)

cli._install_handlers()
sys.stderr = io.TextIOWrapper(io.BufferedWriter(Raw()))
try:
    print("a line of the progress", file=sys.stderr, flush=True)
except Exception:
    pass  # a display that fails ends no study
time.sleep(5)
os._exit(0)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_signal_in_the_middle_of_a_line_ends_the_program_with_its_text(number):
    ended = subprocess.run([sys.executable, "-c", CODE.format(number=int(number))], capture_output=True, text=True)
    assert ended.returncode == 128 + number
    assert "The same command goes on from there" in ended.stderr and "Traceback" not in ended.stderr
