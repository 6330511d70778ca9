"""The command line: parse, call, print, exit code. Everything it does is done elsewhere.

With --json one document goes to stdout and everything else to stderr. Exit codes: 0 pass, 10 fail, 11 unknown,
2 bad parameter, profile or usage (nothing ran), 12 the run broke, 130 interrupted.
"""

from __future__ import annotations

import gc
import json
import re
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from balancebook.core.files import reason_of
from balancebook.core.streams import Outputs, guard_outputs
from balancebook.errors import BalancebookError, BrokenRun, ExitCode, UsageError

if TYPE_CHECKING:
    from balancebook.demo.services import Status

_EXIT_CODES = (
    "Exit codes: 0 pass, 10 fail, 11 unknown, 2 bad input (nothing ran), 12 the run broke, 130 interrupted."
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
profile_option = click.option(
    "-P", "--profile", "profile_name", metavar="NAME", help="A profile of balancebook.toml."
)


def main() -> NoReturn:
    """Runs the command line and exits. No traceback reaches a person, unless --debug (anywhere) asks for it."""
    # Asked to end is asked to end: commands stop what they started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What is imported stays, and need not be looked through for garbage again and again.
    gc.set_threshold(50_000)
    outputs = guard_outputs()
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = app.main(arguments, prog_name="balancebook", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message())
        code = ExitCode.USAGE
    except click.ClickException as error:
        parameter = getattr(getattr(error, "param", None), "name", None)
        code = _refuse(UsageError(error.format_message(), _usage_hint(error), parameter=parameter))
    except (click.Abort, KeyboardInterrupt):
        code = _refuse(_Interrupted("interrupted."))
    except BalancebookError as error:
        code = _refuse(error)
    except OSError as error:
        code = _refuse(_broken_by(error))
    except Exception as error:  # noqa: BLE001 (the last stop: a person gets one line, with --debug everything)
        code = _crashed(error)
    # What is left ends with the process: to look through it once more takes 0.06 s.
    gc.freeze()
    sys.exit(_despite_lost_output(int(code or 0), outputs))


def _broken_by(error: OSError) -> BrokenRun:
    """What no command expected of the machine: a full disk, too many open files, a folder that was removed."""
    where = error.filename or "A file cannot be read or written"
    remedy = (
        "Free the disk (state: BALANCEBOOK_STATE, else .balancebook) or correct the path, and run it again."
    )
    return BrokenRun(f"{where}: {reason_of(error)}.", remedy)


def _despite_lost_output(code: int, outputs: Outputs) -> int:
    """The exit code: whoever lost the output must not take the run for one that is told."""
    error = outputs.lost()
    if error is None or code not in (ExitCode.PASS, ExitCode.FAIL, ExitCode.UNKNOWN):
        return code
    _say(
        f"balancebook: The output cannot be written: {reason_of(error)}. It would have been exit code {code}."
    )
    return ExitCode.BROKEN


class _Interrupted(BalancebookError):
    exit_code = ExitCode.INTERRUPTED
    code = "interrupted"


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"See `{context.command_path} --help`." if context else "See `balancebook --help`."


def _refuse(error: BalancebookError) -> ExitCode:
    _tell(error)
    return error.exit_code


def _crashed(error: Exception) -> int:
    """A mistake of balancebook's own; 1 is the exit code of a crash of Python."""
    told = BalancebookError(
        f"internal error: {type(error).__name__}: {error}",
        "Run it again with --debug, and report what it prints.",
    )
    told.code = "internal"
    _tell(told)
    return 1


def _tell(error: BalancebookError) -> None:
    """Its two lines on stderr; with --json, its document on stdout."""
    _show_traceback()
    if "--json" in sys.argv:
        fields = {
            "code": error.code,
            "parameter": getattr(error, "parameter", None),
            "message": error.message,
            "suggestion": getattr(error, "suggestion", None) or error.remedy or None,
        }
        click.echo(json.dumps({"error": fields}))
    _say(f"balancebook: {error.message}")
    if error.remedy:
        _say(f"  {error.remedy}")


def _show_traceback() -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()


def _say(line: str) -> None:
    click.echo(line, err=True)


class _Seconds(click.ParamType[float]):
    """A whole number of seconds; nan, inf and 1e400 are none."""

    name = "seconds"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, str) and not re.fullmatch("[1-9][0-9]{0,5}", value):
            self.fail(f"{value[:20]!r} is not a whole number of seconds from 1 to 999999.", param, ctx)
        return float(value)


@click.group(epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="balancebook")
@click.option("--debug", is_flag=True, help="Show tracebacks (may stand anywhere).")
def app(debug: bool) -> None:  # noqa: ARG001 (main looks for it, wherever it stands)
    """Notebooks and runbooks that tell whether the balances read through a materialized view are right."""
    try:
        Path.cwd()
    except OSError as error:
        raise BrokenRun(
            f"The working folder cannot be used: {reason_of(error)}.", "Change to a folder that exists."
        ) from error


@app.command(epilog=_EXIT_CODES, short_help="Start the embedded database and the demo gateway.")
@click.option(
    "--gateway", type=click.Choice(["fixed", "seed"]), default="fixed", help="How the demo gateway answers."
)
@as_json
def up(gateway: Literal["fixed", "seed"], as_json: bool) -> None:
    """Start the embedded database with its demo data, and the demo gateway, in the background."""
    from balancebook.demo import services  # noqa: PLC0415 (each command imports only what it needs)

    _print_status(services.up(gateway, progress=_say), as_json)


@app.command(epilog=_EXIT_CODES)
@as_json
def down(as_json: bool) -> None:
    """Stop the embedded database and the demo gateway; the data stay."""
    from balancebook.demo import services  # noqa: PLC0415

    services.down()
    _print_status(services.status(), as_json)


@app.command(epilog=_EXIT_CODES, short_help="Say what of the demo is running.")
@as_json
def status(as_json: bool) -> None:
    """Say what of the embedded database and the demo gateway is running."""
    from balancebook.demo import services  # noqa: PLC0415

    _print_status(services.status(), as_json)


def _print_status(found: Status, as_json: bool) -> None:
    click.echo(json.dumps(found.to_json()) if as_json else str(found))


@app.command(name="list", epilog=_EXIT_CODES)
@as_json
def list_(as_json: bool) -> None:
    """List the notebooks and runbooks, with their parameters."""
    from balancebook.runs import catalogue  # noqa: PLC0415

    entries = catalogue.list_entries()
    click.echo(json.dumps([entry.to_json() for entry in entries]) if as_json else catalogue.describe(entries))


@app.command(epilog=_EXIT_CODES)
@click.argument("name")
@click.option("-p", "parameters", multiple=True, metavar="KEY=VALUE", help="A parameter of the notebook.")
@profile_option
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where run folders go (default: state folder/runs)."
)
@click.option(
    "--timeout", "timeout_s", type=_Seconds(), default=3600.0, help="How long it may take (default: 3600)."
)
@as_json
def run(
    name: str,
    parameters: tuple[str, ...],
    profile_name: str | None,
    out: Path | None,
    timeout_s: float,
    as_json: bool,
) -> ExitCode:
    """Run a notebook or runbook (name or path), print its verdict."""
    from balancebook.runs import command  # noqa: PLC0415

    record, folder = command.run(
        name, parameters, profile_name=profile_name, out=out, timeout_s=timeout_s, progress=_say
    )
    click.echo(record.to_json() if as_json else command.summary(record, folder))
    return record.exit_code


@app.command(epilog=_EXIT_CODES, short_help="Compare a materialized view with its base table.")
@click.argument("target", metavar="KEYSPACE.VIEW")
@profile_option
@click.option(
    "--depth",
    type=click.Choice(["definition", "sampled", "full"]),
    default="full",
    help="Schema and build status alone; token ranges drawn at random; or every row (the default).",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Only the partitions of view or base in a CSV file, exactly.",
)
@click.option(
    "--within", "within_s", type=_Seconds(), metavar="SECONDS", help="As much as can be sampled in that time."
)
@click.option(
    "--samples",
    type=click.IntRange(0, 1_000_000),
    default=1000,
    help="How many differences to list, worst first (default: 1000); counts are always exact.",
)
@click.option(
    "--differences",
    type=click.Path(path_type=Path),
    metavar="FILE.parquet",
    help="Write all differences to a file.",
)
@click.option(
    "--cutoff",
    default="auto",
    metavar="COLUMN",
    help="Leave rows newer than the start out, by this column; none compares all (default: the ledger's time).",
)
@click.option("--rate", type=click.IntRange(1), metavar="N", help="Read at most N rows a second.")
@click.option(
    "--pace/--no-pace",
    "paced",
    default=None,
    help="Hold back while balance queries are slow (default: on every cluster but the embedded one).",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, metavar="N", help="Read with N processes.")
@click.option("--scheduler", metavar="ADDRESS", help="Read on the workers of a Dask scheduler.")
@click.option(
    "--resume", metavar="RUN", help="Resume a run that was stopped or killed: its id, or last (of this view)."
)
@click.option(
    "--resume-within",
    "resume_within_s",
    type=click.FloatRange(min=0),
    default=3600.0,
    metavar="SECONDS",
    help="Start over instead if the run to be resumed began longer ago (default: 3600).",
)
@as_json
def reconcile(profile_name: str | None, as_json: bool, **arguments: Any) -> ExitCode:
    """Compare a view with its base, and name the rows that differ."""
    from balancebook.progress import Display  # noqa: PLC0415
    from balancebook.reconcile.run import Telling  # noqa: PLC0415
    from balancebook.runs.reconcile_command import Asked, reconcile  # noqa: PLC0415

    with Display() as display:
        telling = Telling(step=display, told=display.above(_say))
        done = reconcile(Asked(**arguments), profile_name=profile_name, telling=telling)
    for note in done.notes:
        _say(note)
    click.echo(json.dumps(done.document, ensure_ascii=False) if as_json else done.text)
    return done.exit_code


@app.command(epilog=_EXIT_CODES, short_help="Run every notebook and runbook on the embedded exchange.")
@as_json
def demo(as_json: bool) -> ExitCode:
    """Start the embedded exchange, run every notebook and runbook on it, stop what was started."""
    from balancebook.demo.tour import tour  # noqa: PLC0415

    done = tour(_say)
    click.echo(done.to_json() if as_json else done.table())
    return done.exit_code


@app.command(epilog=_EXIT_CODES)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where the runs are (default: state folder/runs)."
)
def index(out: Path | None) -> None:
    """Write the HTML page that lists all runs, newest first."""
    from balancebook.runs.publish import write_index  # noqa: PLC0415
    from balancebook.settings import state_dir  # noqa: PLC0415

    click.echo(write_index(out or state_dir() / "runs"))


@app.command(
    context_settings={"ignore_unknown_options": True}, short_help="Open JupyterLab with the profile set."
)
@profile_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(profile_name: str | None, arguments: tuple[str, ...]) -> NoReturn:
    """Open JupyterLab on copies of the notebooks with the profile set; further ARGUMENTS go to JupyterLab.

    The copies are in the state folder's lab/ and keep what you change; --ServerApp.root_dir=FOLDER, or a file or folder
    among the ARGUMENTS, opens that instead.

    Kernels are reached over local sockets, not TCP. As root, which JupyterLab refuses by itself, it is started with
    --allow-root: whoever runs balancebook as root has decided so. Exit codes are JupyterLab's.
    """
    from balancebook.commands.workspace import refresh  # noqa: PLC0415
    from balancebook.runs.catalogue import list_entries  # noqa: PLC0415
    from balancebook.runs.lab import open_lab  # noqa: PLC0415
    from balancebook.settings import state_dir  # noqa: PLC0415

    open_lab(profile_name, arguments, lambda: refresh(state_dir() / "lab", list_entries(), _say))


@app.command(epilog=_EXIT_CODES, short_help="Write a notebook to begin with.")
@click.argument("name")
def new(name: str) -> None:
    """Write a notebook NAME.ipynb to begin with: parameters, an opening cell, a check and a closing cell."""
    from balancebook.commands.new import new_notebook  # noqa: PLC0415

    path = new_notebook(name)
    click.echo(f"Wrote {path}. Run it with `balancebook run {path}`, open it with `balancebook lab {path}`.")


@app.command(epilog=_EXIT_CODES, short_help="Say what of the profile's target can be reached and read.")
@profile_option
@as_json
def doctor(profile_name: str | None, as_json: bool) -> ExitCode:
    """Say whether the profile's target can be reached and read, and which checks can work there."""
    from balancebook.doctor import examine  # noqa: PLC0415

    report = examine(profile_name)
    click.echo(json.dumps(report.to_json()) if as_json else report.text())
    return report.exit_code


@app.command(epilog=_EXIT_CODES, short_help="Make and undo real inconsistencies (embedded database only).")
@click.argument("what", metavar="list|KIND|undo|status")
@click.option("--rows", type=click.IntRange(1, 100_000), help="How many rows (default: 10).")
@click.option("--seed", type=click.IntRange(0), help="Which rows: the same seed, the same rows (default: 1).")
@click.option("--user", type=int, help="Only rows of this account.")
@click.option("--force", is_flag=True, help="With undo: even if rows were written since, which are lost.")
@profile_option
@as_json
def fault(what: str, profile_name: str | None, as_json: bool, force: bool, **options: int | None) -> None:
    """Make a fault of some KIND in the demo exchange's view, or undo it. One at a time; `list` names the kinds."""
    from balancebook.demo.faults.terminal import run_fault  # noqa: PLC0415

    told = run_fault(what, profile_name, options=options, force=force, progress=_say)
    click.echo(json.dumps(told.document) if as_json else told.text)


@app.group(epilog=_EXIT_CODES)
def view() -> None:
    """The view's definition under version control."""


@view.command(epilog=_EXIT_CODES, short_help="Write the view's definition as a CQL file.")
@profile_option
@click.option("--to", "path", type=click.Path(path_type=Path), help="The file to write (default: to stdout).")
@click.option("--force", is_flag=True, help="Overwrite a file that says something else.")
def pin(profile_name: str | None, path: Path | None, force: bool) -> None:
    """Write the view's definition, as it is now, as the CQL file that V002 compares with."""
    from balancebook.runs.pin import pin_view  # noqa: PLC0415

    click.echo(pin_view(profile_name, path, force=force))


if __name__ == "__main__":
    main()
