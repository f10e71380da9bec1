"""Connect to a Ray cluster, or to one that is started and ended here. Ray is imported only when it is needed."""

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

LONGEST = 300  # characters of a message of Ray
CONNECT_TIMEOUT = 5.0  # seconds
ADDRESS = re.compile(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d{1,5})")
SETTINGS = bytes(3) + b"\x04" + bytes(5)  # the first frame of HTTP/2, which Ray uses for gRPC
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS
SHUTDOWN = 10.0  # seconds that the processes of a local cluster have to end
SOCKET_NAME_BYTES = 95  # bytes of the longest socket name, without the folder of temporary files
OBJECT_STORE = 100_000_000  # bytes of the object store of a local cluster; results go through the folder
ENVIRONMENT = {  # environment variables set before Ray is imported
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage statistics
    "RAY_NUM_REDIS_GET_RETRIES": "10",  # attempts to connect, one second each
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # deaths are reported by lso-bench, once, and not on the standard output
}


@contextmanager
def connected(address: str, cpus: int) -> Iterator[Any]:
    """Connect the module `ray` to the cluster at `address` while the body runs.

    Args:
        address: local (a temporary cluster, ended after the body), auto, HOST:PORT or ray://HOST:PORT.
        cpus: number of CPUs of a local cluster.

    Raises:
        UsageError: the address has no such form, or Ray is not installed.
        UnusableError: nothing answers at the address, or the token is rejected.
    """
    _check(address)
    if address == "local":
        os.environ["RAY_AUTH_MODE"] = "token"
        if "RAY_AUTH_TOKEN_PATH" not in os.environ:
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    with _temporary_folder() if address == "local" else nullcontext() as folder:
        cluster_options = {
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE,
            "_temp_dir": folder,
        }
        _connect(ray, address, cluster_options if folder else {})
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """Create a folder for the session files of Ray, deleted afterwards."""
    folder = tempfile.mkdtemp(prefix="lso-bench-ray-", dir=short_folder(SOCKET_NAME_BYTES))
    try:
        yield folder
    finally:
        deadline = time.monotonic() + SHUTDOWN
        while os.path.isdir(folder) and time.monotonic() < deadline:  # an ending process may still write
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.1)


def _check(address: str) -> None:
    if find_spec("ray") is None:
        raise UsageError("Ray is not installed here: pip install 'lso-bench[ray]'; or leave --executor ray out.")
    if address in ("local", "auto"):
        return
    if not (parts := ADDRESS.fullmatch(address)):
        raise UsageError(f"--address wants local, auto, HOST:PORT or ray://HOST:PORT; got {address!r}.")
    try:  # Ray itself would wait for minutes
        with socket.create_connection((parts[1], int(parts[2])), CONNECT_TIMEOUT) as connection:
            connection.sendall(GREETING)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise UnusableError(f"Nothing answers at {address} ({error}); is the cluster up? `ray status` says.") from error
    if answer[3:4] != SETTINGS[3:4]:
        raise UnusableError(f"What answers at {address} is no Ray cluster; `ray status` on its head says the address.")


def _connect(ray: Any, address: str, cluster_options: dict[str, Any]) -> None:
    """Connect; keep Ray's messages from the standard error, and keep our signal handlers."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with _captured_stderr() as stderr_text:
        try:
            ray.init(address, log_to_driver=False, logging_level="CRITICAL", **cluster_options)
        except (Exception, SystemExit) as error:  # Ray raises many kinds
            raise UnusableError(f"No connection to Ray at {address}: {_reason(error, stderr_text())}") from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _reason(error: BaseException, stderr_text: str) -> str:
    texts = f"{type(error).__name__} {stderr_text}"
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
def _captured_stderr() -> Iterator[Callable[[], str]]:
    """Redirect the standard error while the body runs; yield a function that returns its text."""
    with tempfile.TemporaryFile() as file:
        original = os.dup(2)
        os.dup2(file.fileno(), 2)

        def stderr_text() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield stderr_text
        finally:
            os.dup2(original, 2)
            os.close(original)
