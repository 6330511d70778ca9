"""Real kernels, no database: whatever a notebook does, its run ends in an honest record or in one clear error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from balancebook.errors import BrokenRun, ExitCode, UsageError
from balancebook.record import Record, RunError, load_record
from balancebook.runs.command import summary
from balancebook.runs.execute import refused_run, run_notebook
from balancebook.runs.publish import write_index
from balancebook.verdict import Verdict
from runs.notebooks import code_cell, make_job, write_notebook

pytestmark = pytest.mark.e2e

SECRET = 'pa"ss<w>örd'


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Run these cells; every kept file is there, and no kernel is left."""

    def run_cells(
        *cells: str | dict[str, Any],
        required: Sequence[str] = ("V001",),
        optional: Sequence[str] = (),
        **job: Any,
    ) -> Record:
        path = write_notebook(tmp_path / "asked.ipynb", *cells, required=required, optional=optional)
        record = run_notebook(make_job(path, **job))
        folder = tmp_path / "runs" / record.run_id
        assert load_record(folder) == record
        assert names(folder) == ["index.html", "notebook.ipynb", "record.json"]
        assert [
            p for p in psutil.Process().children(recursive=True) if "ipykernel" in " ".join(p.cmdline())
        ] == []
        return record

    return run_cells


@pytest.mark.parametrize(
    ("verdicts", "exit_code"),
    [
        (("pass", "pass"), ExitCode.PASS),
        (("fail", "unknown"), ExitCode.FAIL),
        (("unknown", "pass"), ExitCode.UNKNOWN),
    ],
)
def test_completed_runs(run: Any, verdicts: tuple[str, str], exit_code: ExitCode) -> None:
    emit = f"emit('V001', 'fail'); emit('V001', {verdicts[0]!r}); emit('V003', {verdicts[1]!r})"
    worst = exit_code.name.lower()
    record = run(emit, f"close({worst!r})", required=["V001", "V003"], optional=["V004"])
    assert (record.status, record.exit_code, record.verdict, record.error) == (
        "completed",
        exit_code,
        worst,
        None,
    )
    assert [(r.code, str(r.verdict), r.seconds) for r in record.results] == [
        ("V001", verdicts[0], 0.005),
        ("V003", verdicts[1], 0.005),
    ]
    assert record.optional_missing == ["V004"]


@pytest.mark.parametrize(
    ("cells", "code", "said"),
    [
        (["emit('V001')", "1/0", "close()"], "cell_raised", "Cell 6 raised ZeroDivisionError"),
        (["emit('V001')", "raise VerdictNotPass('fail')"], "cell_raised", "VerdictNotPass"),
        (["emit('V001', 'fail')", "try: close('fail')\nfinally: 1/0"], "cell_raised", "ZeroDivisionError"),
        (["emit('V001')", "import sys; sys.exit()", "close()"], "cell_raised", "SystemExit"),
        (["emit('V001')", "import sys; sys.exit(0)", "close()"], "cell_raised", "SystemExit"),
        (["emit('V001')", "raise KeyboardInterrupt", "close()"], "cell_raised", "KeyboardInterrupt"),
        (["emit('V001')"], "not_closed", "without its closing verdict"),
        (["emit('V001')", "display({CLOSE_MIME: {'verdict': 'great'}}, raw=True)"], "not_closed", "closing"),
        (["emit('V001')", "import os; os._exit(0)", "close()"], "kernel", "Kernel died"),
        (["emit('V001')", "import os; os.kill(os.getpid(), 9)", "close()"], "kernel", "Kernel died"),
        (["emit('V001'); emit('Q001')", "close()"], "undeclared_check", "Q001"),
        (["close()"], "no_results", "No check answered"),
        (["display({MIME: {'code': 'V001'}}, raw=True)", "close()"], "malformed_result", "cell 5"),
        (["x = (", "close()"], "cell_raised", "SyntaxError"),
    ],
)
def test_broken_runs(run: Any, cells: list[str], code: str, said: str) -> None:
    record = run(*cells)
    assert (record.status, record.exit_code, record.error.code) == ("broken", ExitCode.BROKEN, code)
    assert said in record.error.message
    assert "\n" not in record.error.message
    assert record.verdict is not Verdict.PASS


def test_a_run_is_broken_even_after_a_fail(run: Any) -> None:
    record = run("emit('V001', 'fail')", "1/0")
    assert (record.exit_code, record.verdict) == (ExitCode.BROKEN, Verdict.FAIL)


@pytest.mark.parametrize("cells", [[], ["2 * user_id"], ["print('no verdict')"]])
def test_a_notebook_without_checks_has_no_verdict(run: Any, tmp_path: Path, cells: list[str]) -> None:
    record = run(*cells, required=[])
    assert (record.status, record.verdict, record.exit_code, record.error) == ("completed", None, 0, None)
    assert record.results == []
    page = (tmp_path / "runs" / record.run_id / "index.html").read_text()
    assert "no verdict" in page
    assert "None" not in page
    assert "None" not in write_index(tmp_path / "runs").read_text()
    assert "- none    asked (exit code 0)" in summary(record, tmp_path)


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (["1/0"], "cell_raised"),
        (["emit('V001')", "close()"], "undeclared_check"),
        (["emit('V001')"], "undeclared_check"),
        (["close()"], "no_results"),
        (["close('fail')"], "no_results"),
    ],
)
def test_what_breaks_a_notebook_without_checks(run: Any, cells: list[str], code: str) -> None:
    record = run(*cells, required=[])
    assert (record.status, record.exit_code, record.error.code) == ("broken", ExitCode.BROKEN, code)
    assert record.verdict not in (None, Verdict.PASS)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (
            "%no_such_magic",
            "Cell 6 stopped the run: UsageError: Line magic function `%no_such_magic` not found",
        ),
        ("%%no_such_magic\n1", "Cell 6 stopped the run: UsageError: Cell magic `%%no_such_magic` not found"),
        ("%cd -x -y", "Cell 6 "),
    ],
)
@pytest.mark.parametrize("required", [["V001"], []])
def test_a_magic_that_fails_is_named(run: Any, cell: str, said: str, required: list[str]) -> None:
    record = run("emit('V001')" if required else "1", cell, "close()", required=required)
    assert (record.status, record.exit_code, record.error.code) == ("broken", 12, "cell_stopped")
    assert record.error.message.startswith(said)
    assert "sys.exit" not in record.error.message + record.error.remedy
    assert record.verdict is Verdict.UNKNOWN


def test_a_missing_required_check_is_unknown(run: Any) -> None:
    record = run("emit('V001')", "close()", required=["V001", "V003"])
    assert (record.status, record.exit_code) == ("completed", ExitCode.UNKNOWN)
    assert (record.results[1].name, record.results[1].message) == ("view_built", "It never ran.")


@pytest.mark.parametrize(("said", "emitted"), [("pass", "fail"), ("fail", "pass")])
def test_when_the_closing_cell_disagrees_the_worse_counts(run: Any, said: str, emitted: str) -> None:
    record = run(f"emit('V001', {emitted!r})", f"close({said!r})")
    assert (record.status, record.exit_code) == ("completed", ExitCode.FAIL)
    assert record.error.code == "verdicts_disagree"


def test_stored_outputs_are_no_answers(run: Any) -> None:
    mime = "application/vnd.balancebook.result+json"
    bundle = {"code": "V001", "name": "n", "verdict": "pass", "message": "", "counts": {}, "samples": []}
    stored = {"output_type": "display_data", "data": {mime: bundle}, "metadata": {}}
    record = run("1/0", code_cell("emit('V001')", outputs=[stored]), code_cell("close()", "skip-execution"))
    assert [(r.code, str(r.verdict)) for r in record.results] == [("V001", "unknown")]
    record = run(
        code_cell("emit('V001')", "skip-execution", outputs=[stored]),
        "emit('V003')",
        "close()",
        required=["V001", "V003"],
    )
    assert str(record.verdict) == "unknown"


def test_parameters_arrive_literally_and_environment_by_variables(run: Any, tmp_path: Path) -> None:
    note = "{x.__class__} \"'\\ ${HOME} %s #; import os"
    cell = """\
import os, json
with open(os.environ['OUT'], 'w') as file:
    json.dump([user_id, note, os.environ['BALANCEBOOK_RUN_DIR']], file)
"""
    out = tmp_path / "seen.json"
    record = run(cell, "emit('V001')", "close()", env={"OUT": str(out)}, user_id=2**63 - 1, note=note)
    user_id, seen, run_dir = json.loads(out.read_text())
    assert (user_id, seen) == (2**63 - 1, note)
    assert Path(run_dir).parent == tmp_path / "runs"
    assert record.parameters == {"user_id": 2**63 - 1, "note": note}


def test_another_environments_kernel_is_not_mistaken(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert run("emit('V001')", "close()").exit_code == ExitCode.PASS


def test_secrets_reach_no_file(run: Any, tmp_path: Path) -> None:
    record = run(
        f"password = {SECRET!r}\nprint(password)",
        "import sys, html, json; print(json.dumps(password), repr(password), file=sys.stderr)",
        "display({'text/html': html.escape(password), 'application/json': {password: [password]}}, raw=True)",
        "for c in password: print(c, end='', flush=True)",
        "emit('V001', 'fail', 'login with ' + password)",
        "raise ValueError(password)",
        secrets=[SECRET],
    )
    assert record.error.message == "Cell 10 raised ValueError: [secret]."
    assert record.results[0].message == "login with [secret]"
    for path in (tmp_path / "runs" / record.run_id).iterdir():
        text = path.read_text()
        assert "[secret]" in text
        assert not [part for part in ("ss<w>", "ss&lt;w", "w>örd", "&gt;örd", "\\u00f6rd") if part in text]


def test_a_time_limit(run: Any) -> None:
    started = time.monotonic()
    record = run(
        "emit('V001')", "import subprocess; subprocess.run(['sleep', '61.25'])", "close()", timeout_s=2
    )
    assert time.monotonic() - started < 30
    assert (record.status, record.exit_code, record.verdict) == (
        "timed_out",
        ExitCode.BROKEN,
        Verdict.UNKNOWN,
    )
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "61.25"]]


def test_a_refused_run_starts_no_kernel(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "asked.ipynb", "open('ran', 'w')", required=["V001", "V003"], optional=["V004"]
    )
    error = RunError(code="unreachable", message=f"No server at {SECRET}.", remedy="Start it.")
    record = refused_run(make_job(path, secrets=[SECRET]), error)
    assert (record.status, record.exit_code, record.verdict) == ("refused", ExitCode.UNKNOWN, Verdict.UNKNOWN)
    assert [(r.code, r.name, str(r.verdict)) for r in record.results] == [
        ("V001", "view_exists", "unknown"),
        ("V003", "view_built", "unknown"),
    ]
    folder = tmp_path / "runs" / record.run_id
    assert names(folder) == ["index.html", "record.json"]
    assert "örd" not in (folder / "record.json").read_text() + (folder / "index.html").read_text()
    assert load_record(folder) == record


def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = write_notebook(tmp_path / "asked.ipynb", "open('ran', 'w')")
    with pytest.raises(UsageError, match="cannot be kept") as refused:
        run_notebook(make_job(path, out_root=tmp_path / "file" / "runs"))
    assert refused.value.parameter == "out"


def test_parallel_runs_do_not_collide(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "asked.ipynb", "emit('V001')", "close()")
    with ThreadPoolExecutor(2) as pool:
        records = list(pool.map(lambda _: run_notebook(make_job(path)), range(2)))
    assert [record.exit_code for record in records] == [0, 0]
    assert len(names(tmp_path / "runs")) == 2


RUNNER = """\
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from runs.notebooks import make_job
from balancebook.errors import BalancebookError
from balancebook.runs.execute import run_notebook
{setup}
try:
    record = run_notebook(make_job(Path({path!r}), timeout_s=60), progress=lambda *at: print(at[0], flush=True))
except BalancebookError as error:
    print(error)
    sys.exit(error.exit_code)
sys.exit(record.exit_code)
"""


def start_runner(path: Path, setup: str = "") -> subprocess.Popen[str]:
    script = RUNNER.format(tests=str(Path(__file__).parents[1]), path=str(path), setup=setup)
    # A killed runner cannot remove its kernel's private folder: let it be among the test's own files.
    env = {**os.environ, "TMPDIR": str(path.parent)}
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env)  # noqa: S603


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["running", "starting"])
def test_interruption(tmp_path: Path, number: int, moment: str) -> None:
    path = write_notebook(tmp_path / "asked.ipynb", "emit('V001')", "import time; time.sleep(60)", "close()")
    with start_runner(path) as runner:
        if moment == "running":
            assert runner.stdout
            assert next(line for line in runner.stdout if line == "4\n")
        else:
            wait_for((tmp_path / "runs").exists)
        kernels = psutil.Process(runner.pid).children(recursive=True)
        runner.send_signal(number)
        assert_interrupted(runner, tmp_path)
    assert not [kernel for kernel in kernels if kernel.is_running()]


# Strikes within the first write of a run, when the folder of all runs is made.
STRIKE = """
import os, signal
def strike(event, arguments):
    if event == "os.mkdir" and str(arguments[0]).endswith("runs"):
        signal.raise_signal({number})
sys.addaudithook(strike)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_at_the_first_write(tmp_path: Path, number: int) -> None:
    path = write_notebook(tmp_path / "asked.ipynb", "emit('V001')", "close()")
    with start_runner(path, STRIKE.format(number=int(number))) as runner:
        assert_interrupted(runner, tmp_path)


def assert_interrupted(runner: subprocess.Popen[str], folder: Path) -> None:
    assert runner.wait(timeout=40) == ExitCode.INTERRUPTED
    record = load_record(next((folder / "runs").iterdir()))
    assert (record.status, record.exit_code, record.verdict) == ("interrupted", 130, Verdict.UNKNOWN)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_killed_runner_leaves_no_kernel_and_no_run(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "asked.ipynb", "emit('V001')", "import time; time.sleep(60)", "close()")
    with start_runner(path) as runner:
        assert runner.stdout
        assert next(line for line in runner.stdout if line == "4\n")
        kernels = psutil.Process(runner.pid).children(recursive=True)
        runner.kill()
    assert kernels
    wait_for(lambda: not [kernel for kernel in kernels if kernel.is_running()])
    assert not [name for name in names(tmp_path / "runs") if not name.startswith(".")]


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "asked.ipynb", "emit('V001', 'fail')", "print('x' * 10**6)", "close('fail')"
    )
    # A limit on file size fails as a full disk does: in the middle of a write.
    setup = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))"
    with start_runner(path, setup) as runner:
        output, _ = runner.communicate(timeout=30)
    assert runner.returncode == ExitCode.BROKEN
    assert "cannot be saved" in output.splitlines()[-1]
    assert "verdict was fail" in output.splitlines()[-1]
    assert names(tmp_path / "runs") == []


def test_a_run_that_cannot_appear_is_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_notebook(tmp_path / "asked.ipynb", "emit('V001')", "close()")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(BrokenRun, match="No space left"):
        run_notebook(make_job(path))
    assert names(tmp_path / "runs") == []
