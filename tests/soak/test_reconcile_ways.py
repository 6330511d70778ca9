"""`balancebook reconcile` by its other ways: other depths, given keys, other processes, stopped and gone on with."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from distributed import LocalCluster

from balancebook.record import load_record
from balancebook.settings import Profile
from e2e.commands import Desk, Told, assert_refused

TARGET = "trading.user_balances_by_user"
# 420,000 rows of both sides: some ten seconds.
SLOWLY = ("--rate", "40000")
Document = dict[str, Any]


@pytest.fixture(scope="module")
def faulty(
    tmp_path_factory: pytest.TempPathFactory, trading: Profile, environment: dict[str, str]
) -> Iterator[tuple[Callable[[], Desk], Document]]:
    """Makes desks at the shared server, whose exchange has sixty faults; and these."""
    state = {"BALANCEBOOK_STATE": environment["BALANCEBOOK_STATE"], "BALANCEBOOK_PROFILE": "embedded"}
    assert trading.keyspace == "trading"

    def desk() -> Desk:
        return Desk(tmp_path_factory.mktemp("desk"), state | {"BALANCEBOOK_GRACE_S": "1"})

    made = desk()("fault", "mix", "--rows", "60", "--json").document
    yield desk, made
    desk()("fault", "undo", "--force")


@pytest.fixture
def desk(faulty: tuple[Callable[[], Desk], Document], tmp_path: Path) -> Desk:
    """A desk of this test's own, with its own state, and so its own runs."""
    made = faulty[0]()
    (tmp_path / "server").symlink_to(Path(made.env["BALANCEBOOK_STATE"]) / "server")
    made.env["BALANCEBOOK_STATE"] = str(tmp_path)
    return made


def runs_of(desk: Desk) -> Path:
    return Path(desk.env["BALANCEBOOK_STATE"]) / "runs"


@pytest.fixture
def injected(faulty: tuple[Callable[[], Desk], Document]) -> Document:
    """The faults that are there."""
    return faulty[1]


def named(differences: list[Document]) -> list[str]:
    return sorted(f"{each['kind']} {each['key']}" for each in differences)


def assert_exactly(told: Told, injected: Document) -> Document:
    """All faults that are there, and no others."""
    found: Document = told.document
    assert (told.code, found["verdict"]) == (10, "fail"), told
    assert named(found["differences"]) == named(injected["injected"])
    assert {kind: count for kind, count in found["counts"].items() if count} == injected["counts"]
    assert found["rows"]["base"] == found["rows"]["view"] == 210_024
    return found


def test_all_differences_as_a_parquet_file(desk: Desk, injected: Document) -> None:
    told = desk("reconcile", TARGET, "--differences", "all.parquet", "--samples", "5", "--json")
    assert (told.code, told.document["truncated"], len(told.document["differences"])) == (10, True, 5)
    rows = pq.read_table(desk.folder / "all.parquet").to_pylist()
    assert named(rows) == named(injected["injected"])
    stale = next(row for row in rows if row["kind"] == "MISMATCH")
    assert stale["base"] != stale["view"]
    assert list(desk.folder.glob(".*.part")) == []


def test_other_processes_and_a_dask_cluster_find_the_same(desk: Desk, injected: Document) -> None:
    shown = desk("reconcile", TARGET, "--workers", "2", "--samples", "30")
    assert shown.code == 10
    assert (
        ", ".join(f"{injected['counts'][kind]} {kind}" for kind in ("LOST", "MISMATCH", "ORPHAN"))
        in shown.stdout
    )
    assert "(20 of 60 shown, worst first)" in shown.stdout
    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        told = desk("reconcile", TARGET, "--scheduler", cluster.scheduler_address, "--json")
    assert_exactly(told, injected)
    assert_refused(
        desk("reconcile", TARGET, "--scheduler", "tcp://127.0.0.1:1", "--json"),
        "There is no Dask scheduler at tcp://127.0.0.1:1",
        parameter="scheduler",
    )


def test_killed_and_gone_on_with(desk: Desk, injected: Document) -> None:
    process = desk.start("reconcile", TARGET, *SLOWLY)
    runs = runs_of(desk)
    wait_for(lambda: any(runs.glob(".*/progress.zip")))
    process.kill()
    process.communicate()
    assert_refused(
        desk("reconcile", TARGET, "--resume", "last", "--samples", "7", "--json"),
        "was begun with --samples 1000",
        parameter="samples",
    )
    other = desk("reconcile", "trading.no_such_view", "--resume", "last", "--json")
    assert_refused(other, "No run of trading.no_such_view", parameter="resume")
    found = assert_exactly(desk("reconcile", TARGET, "--resume", "last", "--json"), injected)
    assert found["details"]["resumed"]
    [folder] = runs.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["reconcile.json", "record.json"]
    assert_refused(
        desk("reconcile", TARGET, "--resume", "last", "--json"), "can be resumed", parameter="resume"
    )


@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["threads", "processes"])
def test_interrupted_and_gone_on_with(desk: Desk, injected: Document, more: tuple[str, ...]) -> None:
    began = time.monotonic()
    process = desk.start("reconcile", TARGET, "--json", *SLOWLY, *more)
    runs = runs_of(desk)
    wait_for(lambda: any(runs.glob(".*/progress.zip")))
    process.send_signal(signal.SIGINT)
    stopped = time.monotonic()
    told = desk.ended(process, began)
    assert time.monotonic() - stopped < 10
    assert (told.code, told.document["error"]["code"]) == (130, "interrupted")
    [folder] = runs.iterdir()
    record = load_record(folder)
    assert (record.status, record.verdict, record.exit_code) == ("interrupted", "unknown", 130)
    assert f"--resume {record.run_id}" in told.stderr
    assert_exactly(desk("reconcile", TARGET, "--resume", record.run_id, "--json"), injected)


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_given_accounts_are_compared_exactly(desk: Desk, injected: Document) -> None:
    users = {fault["key"]["user_id"] for fault in injected["injected"]}
    asked = sorted(users)[:3]
    (desk.folder / "accounts.csv").write_text("user_id\n" + "\n".join(map(str, asked)))
    told = desk("reconcile", TARGET, "--keys", "accounts.csv", "--json")
    mine = [fault for fault in injected["injected"] if fault["key"]["user_id"] in asked]
    assert (told.code, told.document["depth"]) == (10, "keys")
    assert named(told.document["differences"]) == named(mine)
    (desk.folder / "accounts.csv").write_text("user_id\n999999\n")
    assert desk("reconcile", TARGET, "--keys", "accounts.csv").code == 0


def test_less_than_everything_says_so(desk: Desk) -> None:
    sampled = desk("reconcile", TARGET, "--depth", "sampled", "--json").document
    assert (sampled["depth"], sampled["details"]["confidence"]) == ("sampled", 95)
    assert "At 95 % confidence" in sampled["message"]
    boxed = desk("reconcile", TARGET, "--within", "6", "--json")
    assert boxed.document["depth"] == "sampled"
    assert boxed.document["seconds"] < 12
    definition = desk("reconcile", TARGET, "--depth", "definition")
    assert definition.code == 0
    assert "No row was read" in definition.stdout


@pytest.mark.parametrize(
    ("arguments", "said", "parameter"),
    [
        (("--depth", "sampled", "--differences", "x.parquet"), "needs the full depth", "differences"),
        (("--keys", "nothing.csv", "--differences", "x.parquet"), "needs the full depth", "differences"),
        (("--differences", "nowhere/x.parquet"), "cannot be written", "differences"),
        (("--differences", "all.csv"), "does not end in .parquet", "differences"),
        (("--depth", "definition", "--within", "5"), "reads no rows", "within"),
        (("--keys", "nothing.csv"), "nothing.csv cannot be read", "keys"),
        (("--keys", "nothing.csv", "--within", "5"), "no time box", "keys"),
        (("--workers", "2", "--scheduler", "tcp://127.0.0.1:1"), "no --scheduler", "workers"),
        (("--cutoff", "creatd_at"), "can be the cut-off", "cutoff"),
        (("--resume", "last"), "can be resumed", "resume"),
    ],
)
def test_what_does_not_go_together_is_refused(
    desk: Desk, arguments: tuple[str, ...], said: str, parameter: str
) -> None:
    assert_refused(desk("reconcile", TARGET, *arguments, "--json"), said, parameter=parameter)


def test_nothing_of_a_run_stays_in_the_system(desk: Desk) -> None:
    """Worker processes end with the one that started them, however that ends."""
    process = desk.start("reconcile", TARGET, "--workers", "2", *SLOWLY)
    wait_for(lambda: len(children(process.pid)) >= 2)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(alive(worker) for worker in workers))


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children()


def alive(worker: psutil.Process) -> bool:
    return worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE
