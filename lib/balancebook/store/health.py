"""Whether a view is there and built: per node, with a percentage while it is being built."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from balancebook.store.dialects import Dialect, dialect_of
from balancebook.store.errors import StoreError
from balancebook.store.reader import RING, Host, Reader
from balancebook.store.schema import View, read_view

if TYPE_CHECKING:
    from collections.abc import Sequence

State = Literal["missing", "building", "unreported", "healthy", "unknown"]
BUILT = "SUCCESS"
# Cassandra's OperationType.VIEW_BUILD as system_views.sstable_tasks spells it.
_BUILD_TASK = "view build"
# A build goes from range to range and shows no task in between: it runs if either of two looks sees one.
_BETWEEN_LOOKS_S = 0.5
# Cassandra begins a failed build again after five minutes (ViewBuilder.onFailure), and shows no task until then; a
# minute more for clocks that differ.
RETRIED_AFTER_S = 360.0


@dataclass(frozen=True, slots=True)
class NodeBuild:
    """One current member of the ring. status: SUCCESS, STARTED or "none" (the node reported nothing).

    percent: of this node's own tokens, 0 to 100; None if it cannot be read. running: whether a build of a view on
    this base runs there now; None if that is not known. built: whether the node has finished the build by its own
    table, whatever the status says. still_s: for how long no progress has been written, in seconds by this machine's
    clock; None if that is not known.
    """

    address: str
    host_id: UUID
    status: str
    percent: float | None
    running: bool | None = None
    built: bool = False
    still_s: float | None = None

    def stopped(self, least_s: float = 0.0) -> bool:
        """Whether the build is proved to have stopped, at least so long ago: no task runs, and nothing was written for
        longer than a failed build waits to be begun again."""
        return (
            self.running is False
            and self.still_s is not None
            and self.still_s > max(RETRIED_AFTER_S, least_s)
        )


@dataclass(frozen=True, slots=True)
class ViewHealth:
    """healthy only if every current member of the ring reports SUCCESS; note says what else a person should know.

    unreported: each has finished the build by its own table, and the status of at least one does not say so. The table
    of statuses is an ordinary one, and can lose a row; whether the view is whole, its rows decide.
    percent: the mean over the nodes, None if it is not known of all of them.
    """

    state: State
    percent: float | None = None
    nodes: tuple[NodeBuild, ...] = ()
    note: str = ""

    def stopped(self, least_s: float = 0.0) -> bool:
        """Whether the build is proved to have stopped, at least so long ago, on every node that is not done."""
        left = [node for node in self.nodes if not node.built]
        return bool(left) and all(node.stopped(least_s) for node in left)


def view_health(reader: Reader, keyspace: str, view: str, *, ask_tasks: bool = True) -> ViewHealth:
    """How far the view is built, by the server's own status tables (docs of each: store/dialects.py).

    What cannot be read is `unknown`, with the reason and the remedy in `note`; nothing is raised for it. Without
    `ask_tasks` no node's `running` is known, and the answer comes at once: where no build runs, two looks half a second
    apart have to say so.
    """
    try:
        found = read_view(reader, keyspace, view)
        if found is None:
            return ViewHealth("missing", note=f"There is no materialized view {keyspace}.{view}.")
        return _health(reader, found, dialect_of(reader.server, reader.profile), ask_tasks)
    except StoreError as error:
        return ViewHealth("unknown", note=str(error))


def _health(reader: Reader, view: View, dialect: Dialect, ask_tasks: bool) -> ViewHealth:
    rows = reader.rows(dialect.build_status, (view.keyspace, view.name))
    statuses: dict[UUID, str] = {host_id: status for host_id, status, _ in rows}
    written: dict[UUID, int | None] = {host_id: time_us for host_id, _, time_us in rows}
    hosts = reader.hosts()
    if all(statuses.get(host.host_id) == BUILT for host in hosts):
        return _confirmed(reader, view, dialect, hosts)
    spans = reader.token_spans(view.keyspace) if dialect.own_ranges else {}
    nodes, notes = [], [dialect.note]
    for host in hosts:
        status = statuses.get(host.host_id, "none")
        try:
            node = _node(reader, view, dialect, host, status, written.get(host.host_id), spans)
            if ask_tasks and not node.built:
                node = replace(node, running=_running(reader, view, dialect, host))
            nodes.append(node)
        except StoreError as error:
            nodes.append(NodeBuild(host.address, host.host_id, status, None))
            notes.append(str(error))
    if all(node.built for node in nodes):
        notes += [_unreported(node) for node in nodes if node.status != BUILT]
        return ViewHealth("unreported", 100.0, tuple(nodes), _joined(notes))
    idle = [node for node in nodes if not node.built and node.running is False]
    notes += [_idle(view, node) for node in idle]
    return ViewHealth("building", overall(nodes), tuple(nodes), _joined(notes))


def _confirmed(reader: Reader, view: View, dialect: Dialect, hosts: Sequence[Host]) -> ViewHealth:
    """Healthy, unless a node itself knows better.

    The statuses are read from one replica of a distributed table. After DROP and CREATE that replica may still hold the
    SUCCESS of the view before; the node's own table of built views does not.
    """
    nodes, notes = [], [dialect.note]
    for host in hosts:
        try:
            built = bool(reader.rows_on(host, dialect.locally_built, (view.keyspace, view.name)))
        except StoreError as error:
            notes.append(f"Not confirmed on {host.address} itself. {error}")
            built = True
        nodes.append(
            NodeBuild(host.address, host.host_id, BUILT, 100.0, built=True)
            if built
            else NodeBuild(host.address, host.host_id, "none", None)
        )
    state: State = "healthy" if all(node.status == BUILT for node in nodes) else "building"
    return ViewHealth(state, overall(nodes), tuple(nodes), _joined(notes))


def _node(
    reader: Reader,
    view: View,
    dialect: Dialect,
    host: Host,
    status: str,
    status_us: int | None,
    spans: Mapping[UUID, int],
) -> NodeBuild:
    try:
        built = bool(reader.rows_on(host, dialect.locally_built, (view.keyspace, view.name)))
    except StoreError:
        # It may need a GRANT of its own; the status says the rest without it.
        built = status == BUILT
    if built:
        return NodeBuild(host.address, host.host_id, status, 100.0, built=True)
    if status == BUILT:
        # Of the view before, perhaps, and so is its time: the node's own table of built views does not have this one.
        status, status_us = "none", None
    rows = reader.rows_on(host, dialect.build_progress, (view.keyspace, view.name))
    progress = [(start, end, last) for start, end, last, _ in rows]
    times_us = [each for each in (status_us, *(row[3] for row in rows)) if each is not None]
    still_s = time.time() - max(times_us) / 1e6 if times_us else None
    span = spans.get(host.host_id) if dialect.own_ranges else RING * len(progress)
    return NodeBuild(host.address, host.host_id, status, percent_built(progress, span or 0), still_s=still_s)


def percent_built(progress: Iterable[tuple[str, str, str | None]], span: int) -> float | None:
    """How much of `span` tokens is built, 0 to 100, from rows (start, end, last token, each as text, last or null).

    A row appears only when its range begins, so the rows alone do not say how much there is in all. Ranges may wrap.
    None if the span is not known.
    """
    if span <= 0:
        return None
    done = sum((int(last) - int(start)) % RING for start, _, last in progress if last is not None)
    return 100.0 * done / span


def overall(nodes: Sequence[NodeBuild]) -> float | None:
    """The mean percentage of the nodes; None if there are none or one is not known."""
    known = [node.percent for node in nodes if node.percent is not None]
    return sum(known) / len(known) if known and len(known) == len(nodes) else None


def _running(reader: Reader, view: View, dialect: Dialect, host: Host) -> bool | None:
    if dialect.running_builds is None:
        return None
    for look in range(2):
        if look:
            time.sleep(_BETWEEN_LOOKS_S)
        try:
            tasks = reader.rows_on(host, dialect.running_builds, (view.keyspace, view.base_name))
        except StoreError:
            # The task list wants a GRANT of its own; the status says the rest without it.
            return None
        if (_BUILD_TASK,) in tasks:
            return True
    return False


def _idle(view: View, node: NodeBuild) -> str:
    resumes = f"after a restart of the node, or any ALTER of the base table {view.base_name}."
    if node.status == "none":
        return f"No build has begun on {node.address}, and none runs. It begins {resumes}"
    if node.stopped():
        return f"The build has stopped on {node.address}: started, and no such task runs. It resumes only {resumes}"
    return (
        f"No build task runs on {node.address}, though the build has started there. One that failed begins again by "
        f"itself after five minutes, one that was stopped only {resumes}"
    )


def _unreported(node: NodeBuild) -> str:
    said = "has no row" if node.status == "none" else f"says {node.status or 'nothing'}"
    return (
        f"{node.address} has finished the build by its own table, and {said} in "
        "system_distributed.view_build_status. No restart or ALTER changes that: the node has nothing left to build."
    )


def _joined(notes: Iterable[str]) -> str:
    return " ".join(note for note in dict.fromkeys(notes) if note)
