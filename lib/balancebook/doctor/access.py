"""What the profile's role may read of all that balancebook reads, and whether it could write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from balancebook.doctor import abilities
from balancebook.doctor.report import Row, not_read
from balancebook.settings import Profile
from balancebook.store.dialects import Dialect
from balancebook.store.errors import StoreError
from balancebook.store.names import quote, quote_if_needed
from balancebook.store.reader import Reader
from balancebook.store.schema import View
from balancebook.store.traces import EVENTS, SESSION
from balancebook.verdict import Verdict

_GRANT = re.compile(r"GRANT .+;")
_SHOWN = 4
_WRITES = frozenset({"CREATE", "ALTER", "DROP", "MODIFY"})
_ROLE = "SELECT is_superuser, member_of FROM system_auth.roles WHERE role = ?"
_PERMISSIONS = "SELECT resource, permissions FROM system_auth.role_permissions WHERE role = ?"
_SETTING = "SELECT value FROM system_views.settings WHERE name = 'materialized_views_enabled'"

_SIZES = "SELECT mean_partition_size FROM system.size_estimates WHERE keyspace_name = ? AND table_name = ?"


@dataclass(frozen=True, slots=True)
class Reading:
    """A table that is read, by which SELECT, what for, and which need of checks it meets."""

    table: str
    cql: str
    params: tuple[str | UUID, ...]
    purpose: str
    need: str | None


def readings(dialect: Dialect, profile: Profile, view: View | None) -> Iterator[Reading]:
    """Everything that balancebook reads beside system.local and system.peers, which every role may read.

    Base and view are left out where there is no view.
    """
    for name in ("keyspaces", "tables", "views", "columns"):
        table = f"system_schema.{name}"
        need = abilities.SCHEMA if name == "views" else None
        yield Reading(table, f"SELECT keyspace_name FROM {table} LIMIT 1", (), "what there is", need)
    if view:
        yield _of_table(view.keyspace, view.name, "the view", abilities.ROWS)
        yield _of_table(view.keyspace, view.base_name, "its base table", abilities.BASE)
    for cql, purpose, need in (
        (dialect.build_status, "whether the view is built", abilities.STATUS),
        (dialect.locally_built, "what each node has built itself", None),
        (dialect.build_progress, "how far a build is", None),
        (dialect.running_builds, "whether a build still runs", None),
        (_SIZES, "what a scan will cost", None),
    ):
        if cql:
            yield Reading(_table(cql), cql, (profile.keyspace, profile.view), purpose, need)
    for cql in (SESSION, EVENTS):
        yield Reading(_table(cql), cql, (UUID(int=0),), "what balance queries cost the server", None)


def _table(cql: str) -> str:
    words = cql.split()
    return words[words.index("FROM") + 1]


def _of_table(keyspace: str, name: str, purpose: str, need: str) -> Reading:
    shown = f"{quote_if_needed(keyspace)}.{quote_if_needed(name)}"
    return Reading(shown, f"SELECT * FROM {quote(keyspace)}.{quote(name)} LIMIT 1", (), purpose, need)


def look_at_readings(reader: Reader, wanted: Iterable[Reading]) -> Iterator[Row]:
    """One row for each: readable, or why not."""
    for reading in wanted:
        subject = f"read {reading.table}"
        try:
            reader.rows(reading.cql, reading.params)
        except StoreError as error:
            yield not_read(subject, error)
        else:
            yield Row(subject, Verdict.PASS, f"allowed ({reading.purpose})", provides=reading.need)


def grants(rows: Iterable[Row]) -> tuple[str, ...]:
    """The GRANT statements among the remedies, each once, in their order."""
    found = (_GRANT.search(row.remedy) for row in rows)
    return tuple(dict.fromkeys(match.group() for match in found if match))


def look_at_views_enabled(reader: Reader) -> Row:
    """Whether the nodes of the local data centre have materialized views enabled; a note where that cannot be read."""
    subject = "materialized views"
    local = [host for host in reader.hosts() if host.dc == reader.profile.local_dc]
    try:
        told = {host.address: reader.rows_on(host, _SETTING) for host in local}
    except StoreError:
        return Row(subject, None, "not known whether enabled, since system_views.settings cannot be read")
    disabled = [address for address, rows in told.items() if rows == [("false",)]]
    if disabled:
        remedy = (
            "Set materialized_views_enabled: true in cassandra.yaml there; without it no view can be made."
        )
        return Row(subject, Verdict.FAIL, f"disabled on {', '.join(disabled)}", remedy)
    if not all(told.values()):
        return Row(subject, None, "the server has no such setting")
    return Row(subject, Verdict.PASS, "enabled")


def look_at_writing(reader: Reader) -> Row:
    """Whether the role could write: a note, since the reading session refuses every statement but SELECT."""
    role, subject = reader.profile.username, "writing"
    if role is None:
        return Row(
            subject, None, "the server asks for no login, so anybody could write; balancebook does not"
        )
    try:
        known, could = reader.rows(_ROLE, (role,)), sorted(_could_write(reader, role))
    except StoreError as error:
        return Row(subject, None, f"not known whether role {role} could write: {error.message}")
    if not known:
        return Row(subject, None, f"the server has no role {role}: it seems to check no logins")
    if not could:
        return Row(subject, None, f"no permission to write is recorded for role {role}")
    said = ", ".join(could[:_SHOWN]) + (f" and {len(could) - _SHOWN} more" if len(could) > _SHOWN else "")
    text = f"role {role} could write ({said}); balancebook does not"
    return Row(subject, None, text, "A role that may only SELECT is safer.")


def _could_write(reader: Reader, role: str) -> set[str]:
    """What the role, or any that it was granted, may change; "superuser" alone stands for everything."""
    could: set[str] = set()
    seen: set[str] = set()
    ahead = [role]
    while ahead:
        name = ahead.pop()
        seen.add(name)
        for is_superuser, member_of in reader.rows(_ROLE, (name,)):
            if is_superuser:
                return {"superuser"}
            ahead += [other for other in member_of or () if other not in seen]
        for resource, permissions in reader.rows(_PERMISSIONS, (name,)):
            could |= {f"{verb} on {resource}" for verb in _WRITES & set(permissions or ())}
    return could
