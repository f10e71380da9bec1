"""Tasks of the processes of a pool in its tests; and a slow fork, for a process that imports this first."""

import multiprocessing
import os
import time


def square(x: int) -> int:
    return x * x


def nap(x: int) -> int:
    time.sleep(0.3)
    return x


def wait_for(x: int, path: str) -> int:
    """Give `x` once there is a file."""
    while not os.path.exists(path):
        time.sleep(0.01)
    return x


def sleep(x: int) -> None:
    time.sleep(600)


def end(x: int) -> None:
    os._exit(x)


def close_everything(x: int) -> None:
    os.closerange(3, 100)
    time.sleep(600)


def sleep_in_a_child(x: int) -> None:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=[600])
    child.start()
    time.sleep(600)


if os.environ.get("SLOW_FORKS"):
    os.register_at_fork(after_in_child=lambda: time.sleep(1))
