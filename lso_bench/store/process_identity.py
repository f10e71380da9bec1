"""Identity of a process: its id, when it started, and the boot and the namespace in which that id counts.

An id alone is dealt again after a reboot, in the next container, and when the numbers have gone round.
"""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
STARTED = 19  # place of the start time among the fields of /proc/PID/stat that follow the name: field 22
ENDED = ("Z", "X")  # states of a process that has ended


@dataclass(frozen=True)
class Process:
    """A process; empty fields are not known, as in a note of an older version."""

    host: str = ""
    pid: int = 0
    started: int = 0  # clock ticks after the boot
    boot: str = ""  # id of the boot
    space: str = ""  # namespace of process ids

    @property
    def gone(self) -> bool | None:
        """Whether it has ended; None: this process cannot tell."""
        here = this_process()
        if self.host != here.host or (self.boot, self.space) not in (("", ""), (here.boot, here.space)):
            return None
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            pass
        state, started = _state(self.pid)
        if state in ENDED or (self.started and started and started != self.started):
            return True
        return False if self.started and started else None


@cache
def _surroundings() -> tuple[str, str]:
    """Boot and namespace of this process; empty where the system does not say."""
    try:
        return BOOT.read_text().strip(), os.readlink("/proc/self/ns/pid")
    except OSError:
        return "", ""


def process(pid: int) -> Process:
    """The process that has this id here and now."""
    return Process(socket.gethostname(), pid, _state(pid)[1], *_surroundings())


def this_process() -> Process:
    """The process that asks."""
    return process(os.getpid())


def _state(pid: int) -> tuple[str, int]:
    """State and start time of a process; empty and 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[STARTED])
    except (OSError, IndexError, ValueError):
        return "", 0
