"""Processes of this machine that work for this one, each at the end of a pipe of its own.

In the pool of concurrent.futures all workers answer through one pipe, which each of them keeps open: where one is
killed in the middle of its answer, the other half is awaited for ever. Here its end closes its pipe, and only what it
was asked is lost.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_S = 0.5
_PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class _Call:
    future: Future[Any]
    asked: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class WorkerPool(Executor):
    """An executor of `workers` spawned processes.

    What a worker was asked when it died raises BrokenProcessPool; the others go on, and only when the last is dead does
    all that is asked raise it. An exception that cannot be sent from one process to another arrives as a RuntimeError
    that names it. Workers ignore SIGINT, and end with the process that started them. What is asked after shutdown is
    not answered.
    """

    def __init__(self, workers: int) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._workers: list[_Worker] = []
        try:
            for _ in range(workers):
                self._workers.append(_Worker())
        except BaseException:
            self.kill()
            raise
        self._working, self._lock = workers, threading.Lock()
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in self._workers
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See concurrent.futures.Executor."""
        future: Future[T] = Future()
        self._calls.put(_Call(future, (fn, args, kwargs)))
        return future

    def kill(self) -> None:
        """End the workers, whatever they do."""
        for worker in self._workers:
            worker.process.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers when they have done what they are asked. See concurrent.futures.Executor."""
        if cancel_futures:
            with contextlib.suppress(Empty):
                while call := self._calls.get_nowait():
                    call.future.cancel()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _serve(self, worker: _Worker) -> None:
        broken: BrokenProcessPool | None = None
        while call := self._calls.get():
            if not call.future.set_running_or_notify_cancel():
                continue
            if not broken:
                broken = worker.answer(call)
            if broken:
                call.future.set_exception(broken)
                if not self._last():
                    break
        worker.end()

    def _last(self) -> bool:
        """Whether the dead worker that asks is the last: then it stays, to refuse what else is asked."""
        with self._lock:
            if self._working > 1:
                self._working -= 1
                return False
            return True


class _Worker:
    """A process and this end of its pipe."""

    def __init__(self) -> None:
        # Not forked: threads and sessions of this process must not be theirs.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, os.getpid()), daemon=True)
        with theirs:
            self.process.start()

    def answer(self, call: _Call) -> BrokenProcessPool | None:
        """Have the call answered. Returns what there is to say if the process ended instead."""
        try:
            self._pipe.send(call.asked)
            value, error = self._pipe.recv()
        except (EOFError, OSError):
            self.process.join(_PATIENCE_S)
            how = _named(self.process.exitcode)
            return BrokenProcessPool(f"process {self.process.pid} ended ({how}) before it answered")
        except Exception as told:  # noqa: BLE001 (what cannot be sent or understood is the caller's)
            value, error = None, told
        if error is not None:
            call.future.set_exception(error)
        else:
            call.future.set_result(value)
        return None

    def end(self) -> None:
        self._pipe.close()
        self.process.join(_PATIENCE_S)
        self.process.kill()
        self.process.join()


def _named(code: int | None) -> str:
    if code is None:
        return "its pipe is closed"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _work(pipe: Connection, parent: int) -> None:
    # Ctrl-C reaches the whole group of processes: the one that was asked ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            function, args, kwargs = pipe.recv()
            pipe.send(_answer(function, args, kwargs))


def _answer(function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Exception | None]:
    try:
        return function(*args, **kwargs), None
    except Exception as error:  # noqa: BLE001 (it is raised where the call was made)
        return None, _portable(error)


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    except Exception:  # noqa: BLE001 (whatever hinders it)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _end_with(parent: int) -> None:
    """A parent that was killed takes its workers along."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)
