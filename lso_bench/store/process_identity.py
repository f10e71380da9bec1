"""Identity of a process: its id, its start time, and the boot and the namespace of the id.

The id alone is reused after a reboot, in another container, and after many processes.
"""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
STARTED = 19  # index of the start time among the fields of /proc/PID/stat after the name (field 22)
ENDED = ("Z", "X")  # states of an ended process


@dataclass(frozen=True)
class Process:
    """Identity of a process; empty fields are unknown, as in a heartbeat of an older version."""

    host: str = ""
    pid: int = 0
    started: int = 0  # clock ticks after the boot
    boot: str = ""  # id of the boot
    space: str = ""  # namespace of process ids

    @property
    def gone(self) -> bool | None:
        """True if the process has ended; None if this process cannot find out."""
        current = this_process()
        if self.host != current.host or (self.boot, self.space) not in (("", ""), (current.boot, current.space)):
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
def _boot_and_namespace() -> tuple[str, str]:
    """Return boot and namespace of this process; empty where the system does not provide them."""
    try:
        return BOOT.read_text().strip(), os.readlink("/proc/self/ns/pid")
    except OSError:
        return "", ""


def process(pid: int) -> Process:
    """Return the identity of the running process with this id on this machine."""
    return Process(socket.gethostname(), pid, _state(pid)[1], *_boot_and_namespace())


def this_process() -> Process:
    """Return the identity of the calling process."""
    return process(os.getpid())


def _state(pid: int) -> tuple[str, int]:
    """Return state and start time of a process; empty and 0 where the system does not provide them."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[STARTED])
    except (OSError, IndexError, ValueError):
        return "", 0
