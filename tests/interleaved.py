"""Every order in which the system may carry out the file operations of several writers, each state tried once."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

CALLS = ("rename", "open", "lstat", "listdir")  # of os, by which writers see each other


class _Left(BaseException):
    """The order is not followed further."""


class _Turns:
    """Lets one of several threads go at a time, from one operation to the next."""

    def __init__(self, writers: Sequence[Callable[[], object]]):
        self.results: list[object] = [None] * len(writers)
        self.seen: list[tuple] = [()] * len(writers)  # by each: what its operations gave it
        self.over = [False] * len(writers)
        self.left = False
        self._go = [threading.Lock() for _ in writers]
        self._stopped = threading.Lock()
        for lock in (*self._go, self._stopped):
            lock.acquire()
        self._numbers: dict[int, int] = {}
        self._writers = writers

    def begin(self) -> None:
        """Let each come to its first operation."""
        for i, writer in enumerate(self._writers):
            threading.Thread(target=self._run, args=(i, writer), daemon=True).start()
            self._stopped.acquire()

    def _run(self, i: int, writer: Callable[[], object]) -> None:
        self._numbers[threading.get_ident()] = i
        try:
            self.results[i] = writer()
        except BaseException as error:
            self.results[i] = error
        self.over[i] = True
        self._stopped.release()

    def _pause(self, i: int) -> None:
        self._stopped.release()
        self._go[i].acquire()
        if self.left:
            raise _Left

    def carry_out(self, call: Callable, arguments: tuple, keywords: dict[str, Any], label: Callable) -> Any:
        """An operation, before which its writer waits for its turn."""
        i = self._numbers.get(threading.get_ident())
        if i is None or self.left:
            return call(*arguments, **keywords)
        self._pause(i)
        try:
            result = call(*arguments, **keywords)
        except OSError as error:
            self.seen[i] += (call.__name__, error.errno)
            raise
        self.seen[i] += (call.__name__, label(result))
        return result

    def step(self, i: int) -> None:
        """Let a writer go until its next operation, or its end."""
        self._go[i].release()
        self._stopped.acquire()

    def leave(self) -> None:
        """End all writers where they are."""
        self.left = True
        for i, over in enumerate(self.over):
            if not over:
                self.step(i)


class Orders:
    """All orders of the operations of several writers on `folder`.

    Args:
        begin: lays the folder anew and gives the writers.
        see: is called after each operation.
    """

    def __init__(self, begin: Callable, see: Callable[[], object], folder: Path, monkeypatch):
        self._begin, self._see, self._folder = begin, see, folder
        self._turns: _Turns | None = None
        self._labels: dict[int, str] = {}  # of what lay there at first, by inode
        for name in CALLS:
            monkeypatch.setattr(os, name, self._watched(getattr(os, name)))

    def results(self) -> Iterator[list[object]]:
        """Yield the results of the writers; an error is a result."""
        known, taken = set[tuple](), list[int]()
        while True:
            writers = self._begin()
            self._labels = {path.lstat().st_ino: str(path) for path in self._folder.rglob("*")}
            turns = self._turns = _Turns(writers)
            turns.begin()
            choices, left = list[tuple[int, list[int]]](), False
            while waiting := [i for i, over in enumerate(turns.over) if not over]:
                at = len(choices)
                choices.append((taken[at] if at < len(taken) else waiting[0], waiting))
                turns.step(choices[-1][0])
                self._see()
                state = (*turns.seen, *turns.over, *self._state())
                left = at >= len(taken) - 1 and state in known
                known.add(state)
                if left:
                    turns.leave()
                    break
            if not left:
                yield turns.results
            while choices and choices[-1][0] == choices[-1][1][-1]:
                choices.pop()
            if not choices:
                return
            last, waiting = choices.pop()
            taken = [choice for choice, _ in choices] + [waiting[waiting.index(last) + 1]]

    def _watched(self, call: Callable) -> Callable:
        def operation(*arguments, **keywords):
            if self._turns is None:
                return call(*arguments, **keywords)
            return self._turns.carry_out(call, arguments, keywords, self._label)

        return operation

    def _label(self, result: Any) -> object:
        """Label of an operation's result, without what differs from time to time."""
        if isinstance(result, int):  # a file
            return self._labels.get(os.fstat(result).st_ino)
        if isinstance(result, os.stat_result):
            return self._labels.get(result.st_ino)
        return tuple(result) if isinstance(result, list) else result

    def _state(self) -> list[tuple]:
        return sorted((str(path), self._labels.get(path.lstat().st_ino)) for path in self._folder.rglob("*"))
