"""Folding in other processes, here or on a Dask cluster: each takes many ranges, opens its own session, and sends back
one sketch."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

from balancebook.errors import UsageError
from balancebook.profile import Profile
from balancebook.reconcile.fold import Counts, FoldedPart, Job, ThreadFolder, no_counts
from balancebook.reconcile.sides import VIEW
from balancebook.reconcile.worker_pool import WorkerPool
from balancebook.sketch.layout import Words
from balancebook.sketch.sketch import FoundRows, KeyWidthError
from balancebook.store.errors import StoreError
from balancebook.store.pace import Pace, pace_of
from balancebook.store.ranges import Progress, RangeTask, ScanReport
from balancebook.store.reader import Reader, open_reader

# So many shares for each worker that one that is slow holds up little.
_SHARES = 4
_MOST_RANGES = 64


@dataclass(frozen=True, slots=True)
class Share:
    """What a worker made of its ranges: the cells of base less view, the rows set aside, and what became of each
    range."""

    cells: Words
    counts: tuple[Counts, Counts]
    aside: tuple[FoundRows, FoundRows]
    done: list[RangeTask]
    report: ScanReport


@dataclass(frozen=True, slots=True)
class Manner:
    """How gently one of the workers reads: its share of the rate, and whether a canary holds it back."""

    rate: float | None
    paced: bool
    workers: int = 1


@dataclass(frozen=True, slots=True)
class PoolFolder:
    """Folds on an executor of `workers` processes. `profile`: how each of them connects.

    rate: rows/s of all workers together; paced: whether each of them keeps a canary (see store.pace). A worker that
    dies leaves its ranges unknown.
    """

    executor: Executor
    workers: int
    profile: Profile
    rate: float | None = None
    paced: bool = False

    def fold(
        self, job: Job, tasks: Sequence[RangeTask], report: ScanReport, progress: Progress | None
    ) -> Iterator[FoldedPart]:
        """See Folder."""
        size = max(2, min(_MOST_RANGES, -(-len(tasks) // (_SHARES * self.workers))))
        waiting = [list(tasks[start : start + size]) for start in range(0, len(tasks), size)][::-1]
        running: dict[Future[Share], list[RangeTask]] = {}
        total = no_counts()
        try:
            while waiting or running:
                while waiting and len(running) <= self.workers and not report.truncated:
                    share = waiting.pop()
                    running[self._submit(job, share)] = share
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    part = self._settle(job, future, running.pop(future), report)
                    if part:
                        for counted, more in zip(total, part.counts, strict=True):
                            counted.add(more)
                        report.truncated |= _beyond(total, job.budget_rows)
                        yield part
                    if progress:
                        progress(report)
        finally:
            for future in running:
                future.cancel()

    def _submit(self, job: Job, tasks: list[RangeTask]) -> Future[Share]:
        manner = Manner(self.rate and self.rate / self.workers, self.paced, self.workers)
        return self.executor.submit(fold_share, self.profile, manner, job, tasks)

    def _settle(
        self, job: Job, future: Future[Share], tasks: list[RangeTask], report: ScanReport
    ) -> FoldedPart | None:
        try:
            share = future.result()
        except (StoreError, KeyWidthError):
            raise
        except Exception as error:  # noqa: BLE001 (a worker that died, of whatever: its ranges were not read)
            told = f"a worker ended: {type(error).__name__}: {error}".rstrip(": ")
            report.leave([task.tokens for task in tasks], [told])
            return None
        report.rows += share.report.rows
        report.ranges_done += share.report.ranges_done
        report.truncated |= share.report.truncated
        report.leave(share.report.unknown_ranges, share.report.reasons)
        sketch = job.empty_sketch()
        sketch.cells[:] = share.cells
        return FoldedPart(share.done, sketch, 1, share.counts, share.aside)


def _beyond(counts: tuple[Counts, Counts], budget_rows: int | None) -> bool:
    return budget_rows is not None and max(counted.read for counted in counts) > budget_rows


def fold_share(profile: Profile, manner: Manner, job: Job, tasks: list[RangeTask]) -> Share:
    """What a worker does: read the ranges and fold them, in a session that it keeps for the next share."""
    total, counts = job.empty_sketch(), no_counts()
    done: list[RangeTask] = []
    aside: tuple[list[FoundRows], list[FoundRows]] = [], []
    report = ScanReport(ranges_total=len(tasks))
    reader, pace = _opened(profile, manner, job)
    for part in ThreadFolder(reader, pace).fold(job, tasks, report, None):
        part.add_to(total)
        done += part.done
        for counted, more in zip(counts, part.counts, strict=True):
            counted.add(more)
        for kept, rows in zip(aside, part.aside, strict=True):
            kept.append(rows)
    base, view = map(FoundRows.joined, aside)
    return Share(total.cells, counts, (base, view), done, report)


_kept: dict[str, tuple[Reader, Pace | None]] = {}
_opening = threading.Lock()


def _opened(profile: Profile, manner: Manner, job: Job) -> tuple[Reader, Pace | None]:
    """One session and one pace for each worker process, until it ends."""
    view = job.sides[VIEW].table
    key = f"{profile.model_dump_json()} {manner} {view.cql_name} {job.seed}"
    with _opening:
        if key not in _kept:
            reader = open_reader(profile)
            pace = pace_of(reader, view, manner.rate, paced=manner.paced, workers=manner.workers)
            if pace:
                pace.__enter__()
            _kept[key] = reader, pace
        return _kept[key]


@contextlib.contextmanager
def processes(
    workers: int, profile: Profile, rate: float | None = None, *, paced: bool = False
) -> Iterator[PoolFolder]:
    """Worker processes on this machine. They end with the block, at once if it ends by an exception."""
    pool = WorkerPool(workers)
    try:
        yield PoolFolder(pool, workers, profile, rate, paced)
    except BaseException:
        pool.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def dask(
    address: str, profile: Profile, rate: float | None = None, *, paced: bool = False
) -> Iterator[PoolFolder]:
    """The workers of a Dask scheduler. Raises UsageError if it cannot be reached or the extra is not installed.

    The profile is sent to them; its secrets are references, which each worker resolves for itself.
    """
    try:
        from distributed import Client  # noqa: PLC0415 (an extra that few have)
    except ImportError as error:
        raise UsageError(
            "--scheduler needs the extra dask.", "pip install 'balancebook[dask]'", parameter="scheduler"
        ) from error
    try:
        client: Any = Client(address, timeout=profile.limits.connect_timeout_s)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"There is no Dask scheduler at {address}: {error}.",
            "Give the address that it printed when it was started, for instance tcp://10.0.0.5:8786.",
            parameter="scheduler",
        ) from error
    with client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        if not workers:
            raise UsageError(
                f"The Dask scheduler at {address} has no worker.", "Start some.", parameter="scheduler"
            )
        # A share that is tried again by itself would be read twice for nothing; what failed is told.
        with client.get_executor(retries=0, pure=False) as executor:
            yield PoolFolder(executor, workers, profile, rate, paced)
