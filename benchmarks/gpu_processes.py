"""Processes side by side until they are done or the time is over."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gpu_report import ROOT

LOOK = 0.1  # seconds between two looks
TAIL = 15  # lines of the log of a process that failed


def side_by_side(
    commands: Mapping[str, Sequence[str]], jobs: int, until: float, logs: Path
) -> Iterator[tuple[str, int | None]]:
    """Begin the commands in their order, `jobs` at a time; give the name and the exit status of each that ends.

    At `until`, of time.time(), what still runs is killed, with None for its status; what has not begun does not begin.
    Whatever ends this iteration, no process is left.
    """
    waiting, running = dict(commands), {}
    logs.mkdir(parents=True, exist_ok=True)
    try:
        while waiting or running:
            while waiting and len(running) < jobs and time.time() < until:
                name = next(iter(waiting))
                running[name] = _begun(waiting.pop(name), logs / f"{name}.log")
            for name in [n for n, process in running.items() if process.poll() is not None]:
                yield name, running.pop(name).returncode
            if time.time() >= until:
                break
            time.sleep(LOOK)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    yield from ((name, None) for name in running)


def _begun(command: Sequence[str], log: Path) -> subprocess.Popen:
    """The process, in the repository's root; it stays in this one's group, so that what ends the group ends it."""
    with log.open("a") as file:
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)


def tail(log: Path, lines: int = TAIL) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else ""
