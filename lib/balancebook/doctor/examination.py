"""The examination: from the profile up to the gateway, each step only where the one before made it possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from balancebook.balances.target import Target, shape_of
from balancebook.checks import CHECKS
from balancebook.checks.context import NO_GATEWAY, Context
from balancebook.doctor import abilities
from balancebook.doctor.access import (
    grants,
    look_at_readings,
    look_at_views_enabled,
    look_at_writing,
    readings,
)
from balancebook.doctor.reach import look_at_points, look_at_profile
from balancebook.doctor.report import Report, Row, not_read
from balancebook.doctor.ring import judge_versions, look_at_nodes
from balancebook.errors import BalancebookError
from balancebook.gateway import GatewayClient, GatewayError, GatewayHealth
from balancebook.settings import BUILT_IN, Profile, SettingsError, find_config, load_profile
from balancebook.store.dialects import dialect_of
from balancebook.store.errors import StoreError
from balancebook.store.health import view_health
from balancebook.store.reader import Reader, open_reader
from balancebook.store.schema import View, read_view
from balancebook.verdict import Verdict

# Said in so many words by the gateway, or by what answers in its place; else it was not reached at all.
_NOT_REACHED = frozenset({"refused", "timeout", "truncated", "denied"})


def examine(profile_name: str | None = None) -> Report:
    """Everything found out about a profile's target, by reading alone. Raises SettingsError for an unusable profile."""
    config = find_config()
    profile = load_profile(profile_name)
    source = "built in" if profile.name in BUILT_IN or config is None else str(config)
    return examine_profile(profile, source)


def examine_profile(profile: Profile, source: str) -> Report:
    """As `examine`, for a profile that was read from `source`."""
    with ExitStack() as opened:
        reader = _open(profile, opened)
        rows = (
            look_at_profile(profile, source),
            *look_at_points(profile),
            *_look_at_database(reader),
            *_look_at_gateway(profile),
        )
        provided = {row.provides for row in rows if row.provides and row.verdict is Verdict.PASS}
        ctx = Context(profile, opener=lambda _: _opened(reader))
        able = abilities.list_abilities(provided, abilities.refusals_of(ctx))
        return Report(profile.name, rows, grants(rows), able)


def _open(profile: Profile, opened: ExitStack) -> Reader | BalancebookError:
    try:
        return opened.enter_context(open_reader(profile))
    except (SettingsError, StoreError) as error:
        return error


def _opened(reader: Reader | BalancebookError) -> Reader:
    if isinstance(reader, BalancebookError):
        raise reader
    return reader


def _look_at_database(reader: Reader | BalancebookError) -> Iterator[Row]:
    if isinstance(reader, StoreError):
        yield _not_opened(reader)
    elif isinstance(reader, BalancebookError):
        yield Row("login", Verdict.UNKNOWN, "not tried without the secret that the profile refers to")
    else:
        for subject, look in _LOOKS:
            try:
                yield from look(reader)
            except StoreError as error:
                yield not_read(subject, error)


def _not_opened(error: StoreError) -> Row:
    if error.kind == "missing":
        # The server was asked, and has no such data centre.
        return Row("local_dc", Verdict.FAIL, error.message, error.remedy)
    return not_read("login", error)


def _look_at_login(reader: Reader) -> Iterator[Row]:
    profile, server = reader.profile, reader.server
    role = f"role {profile.username}" if profile.username else "no role"
    yield Row(
        "login", Verdict.PASS, f"{server.product} {server.version}, cluster {server.cluster_name}, {role}"
    )
    centres = sorted({host.dc for host in reader.hosts()})
    yield Row("local_dc", Verdict.PASS, f"{profile.local_dc}, of {', '.join(centres)}")


def _look_at_ring(reader: Reader) -> Iterator[Row]:
    yield judge_versions(reader.server.product, reader.server.version, reader.hosts())
    yield from look_at_nodes(reader)


def _look_at_view(reader: Reader) -> Iterator[Row]:
    profile = reader.profile
    found = CHECKS["V001"].run(Context(profile, opener=lambda _: reader))
    remedy = (
        "" if found.verdict is Verdict.PASS else "Correct keyspace and view in the profile, or create it."
    )
    yield Row("view", found.verdict, found.message, remedy, abilities.VIEW)
    view = read_view(reader, profile.keyspace, profile.view)
    yield look_at_views_enabled(reader)
    yield from look_at_readings(reader, readings(dialect_of(reader.server, profile), profile, view))
    if view:
        yield _look_at_build(reader, view)
        yield _look_at_ledger(reader, view)


def _look_at_build(reader: Reader, view: View) -> Row:
    """Whether the view is built, by V003's own source; a build that has stopped is named, with what resumes it."""
    subject, health = "view build", view_health(reader, view.keyspace, view.name)
    if health.state == "healthy":
        return Row(subject, Verdict.PASS, f"built on {', '.join(node.address for node in health.nodes)}")
    if health.state == "unreported":
        return Row(subject, None, health.note, "V003 compares the rows.")
    if health.state == "building":
        done = f", {int(health.percent)} %" if health.percent is not None else ""
        remedy = health.note or "Wait until it is done: until then the view lacks rows."
        return Row(subject, Verdict.FAIL, f"not built{done}", remedy)
    return Row(subject, Verdict.UNKNOWN, f"not known. {health.note}".rstrip())


def _look_at_ledger(reader: Reader, view: View) -> Row:
    target = Target(view.keyspace, view.name, view.base_name, reader.profile.ledger)
    try:
        shape_of(reader, target)
    except StoreError as error:
        verdict = Verdict.FAIL if error.kind == "missing" else Verdict.UNKNOWN
        return Row("ledger", verdict, error.message, error.remedy)
    columns = ", ".join((target.ledger.account, *target.selected))
    return Row("ledger", Verdict.PASS, f"{view.base_name} has {columns}", provides=abilities.LEDGER)


def _look_at_writing(reader: Reader) -> Iterator[Row]:
    yield look_at_writing(reader)


_LOOKS: tuple[tuple[str, Callable[[Reader], Iterator[Row]]], ...] = (
    ("login", _look_at_login),
    ("ring", _look_at_ring),
    ("view", _look_at_view),
    ("writing", _look_at_writing),
)


def _look_at_gateway(profile: Profile) -> Iterator[Row]:
    settings = profile.gateway
    if settings is None:
        yield Row("gateway", None, f"skipped: {NO_GATEWAY}")
        return
    try:
        with GatewayClient(settings) as client:
            # Without an account, where there is no health to ask for: a refusal is an answer too.
            health = client.health() if settings.health_path else None
            if health is None:
                client.probe(None)
    except GatewayError as error:
        verdict = Verdict.UNKNOWN if error.kind in _NOT_REACHED else Verdict.FAIL
        yield Row("gateway", verdict, error.message, error.remedy)
    except SettingsError as error:
        yield Row("gateway", Verdict.UNKNOWN, error.message, error.remedy)
    else:
        yield Row("gateway", Verdict.PASS, f"{settings.url} answers", provides=abilities.GATEWAY)
        yield _judge_health(health)


def _judge_health(health: GatewayHealth | None) -> Row:
    if health is None:
        return Row("gateway health", None, "not asked: the profile names no health_path")
    healthy = health.state == "Healthy" and health.ok
    percent = f" {health.percent:g} %" if health.percent is not None else ""
    status = "" if health.status is None else f"status {health.status}, "
    said = f"it says {health.state}{percent} ({status}HTTP {health.http_status})"
    remedy = "" if healthy else "G001 holds that against the view's own build status."
    return Row("gateway health", Verdict.PASS if healthy else Verdict.FAIL, said, remedy)
