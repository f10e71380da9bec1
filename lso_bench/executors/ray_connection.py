"""Ray itself: imported when it is asked for, connected to a cluster, or to one that is started and ended here."""

import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

from lso_bench.errors import UnusableError, UsageError
from lso_bench.executors.socket_names import short_folder

LONGEST = 300  # characters of Ray's own words
ANSWER = 5.0  # seconds in which a cluster must answer
ADDRESS = re.compile(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d{1,5})")
SETTINGS = bytes(3) + b"\x04" + bytes(5)  # a frame of HTTP/2, with which both sides begin; Ray speaks gRPC over it
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS
LAST = 10.0  # seconds in which the processes of a cluster of our own end
BEHIND = 95  # bytes of the longest name of a socket behind the folder of temporary files
OBJECTS = 100_000_000  # bytes for what travels between processes of a cluster of our own; results go by the folder
SETTLED = {  # in the environment, before Ray is imported
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anyone
    "RAY_NUM_REDIS_GET_RETRIES": "10",  # tries to connect, a second each
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # what dies is told by us, once, and not on the standard output
}


@contextmanager
def connected(address: str, cpus: int) -> Iterator[Any]:
    """The module `ray`, connected to the cluster at `address` while the body runs.

    Args:
        address: local (a cluster of our own, ended with the body), auto, HOST:PORT or ray://HOST:PORT.
        cpus: of a cluster of our own.

    Raises:
        UsageError: no such form of address, or Ray is not installed.
        UnusableError: nothing answers there, or not to this token.
    """
    _check(address)
    if address == "local":
        os.environ["RAY_AUTH_MODE"] = "token"
        if "RAY_AUTH_TOKEN_PATH" not in os.environ:
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    for name, value in SETTLED.items():
        os.environ.setdefault(name, value)
    import ray

    with _folder_of_our_own() if address == "local" else nullcontext() as folder:
        ours = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECTS, "_temp_dir": folder}
        _connect(ray, address, ours if folder else {})
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def _folder_of_our_own() -> Iterator[str]:
    """A folder for what Ray writes about a session, which is gone afterwards."""
    folder = tempfile.mkdtemp(prefix="lso-bench-ray-", dir=short_folder(BEHIND))
    try:
        yield folder
    finally:
        until = time.monotonic() + LAST
        while os.path.isdir(folder) and time.monotonic() < until:  # a process that ends may write once more
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.1)


def _check(address: str) -> None:
    if find_spec("ray") is None:
        raise UsageError("Ray is not installed here: pip install 'lso-bench[ray]'; or leave --executor ray out.")
    if address in ("local", "auto"):
        return
    if not (found := ADDRESS.fullmatch(address)):
        raise UsageError(f"--address wants local, auto, HOST:PORT or ray://HOST:PORT; got {address!r}.")
    try:  # Ray itself would wait for minutes
        with socket.create_connection((found[1], int(found[2])), ANSWER) as opened:
            opened.sendall(GREETING)
            answer = opened.recv(9)
    except (OSError, OverflowError) as error:
        raise UnusableError(f"Nothing answers at {address} ({error}); is the cluster up? `ray status` says.") from error
    if answer[3:4] != SETTINGS[3:4]:
        raise UnusableError(f"What answers at {address} is no Ray cluster; `ray status` on its head says the address.")


def _connect(ray: Any, address: str, ours: dict[str, Any]) -> None:
    """Ray's words are kept from the standard error, and its signal handlers from ours."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with _kept_quiet() as said:
        try:
            ray.init(address, log_to_driver=False, logging_level="CRITICAL", **ours)
        except (Exception, SystemExit) as error:  # of many kinds, by what went wrong and where
            raise UnusableError(f"No connection to Ray at {address}: {_reason(error, said())}") from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _reason(error: BaseException, said: str) -> str:
    texts = f"{type(error).__name__} {said}"
    if "InvalidAuthToken" in texts or "AuthenticationError" in texts:
        return (
            "the token is missing or wrong; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's, or "
            "RAY_AUTH_MODE=disabled where it has none."
        )
    text = " ".join(str(error).split())[:LONGEST]
    if "Could not find any running Ray" in text:
        return "none runs on this machine; `ray start --head` starts one, or give --address HOST:PORT."
    return f"{text}; is the token right (RAY_AUTH_TOKEN)?" if isinstance(error, ConnectionError) else text


@contextmanager
def _kept_quiet() -> Iterator[Callable[[], str]]:
    """What whatever code writes to the standard error while the body runs goes into a text."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)

        def said() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
