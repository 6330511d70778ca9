"""The depth `definition`: whether schema and build status let the view equal its base. No row of either is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport
from balancebook.store.errors import StoreError
from balancebook.store.health import BUILT, ViewHealth, view_health
from balancebook.store.reader import Reader
from balancebook.store.schema import Table, View, read_table
from balancebook.verdict import Verdict


@dataclass(frozen=True)
class DefinitionReport(ComparisonReport):
    """What schema and build status say. reasons: each fault by itself, or why it is unknown; empty for a pass."""

    judgement: Verdict = Verdict.UNKNOWN
    told: str = ""

    @property
    def verdict(self) -> Verdict:
        return self.judgement

    @property
    def message(self) -> str:
        return self.told


def _report(judgement: Verdict, told: str, reasons: Sequence[str] = ()) -> DefinitionReport:
    return DefinitionReport(
        rows_base=0,
        rows_view=0,
        counts=dict.fromkeys(Kind, 0),
        samples=(),
        complete=judgement is not Verdict.UNKNOWN,
        reasons=tuple(reasons),
        judgement=judgement,
        told=told,
    )


def definition(reader: Reader, view: View) -> DefinitionReport:
    """Judges a view by its schema, its base's and its build; a read that fails is unknown, and nothing is raised.

    A pass says that nothing stands in the way, not that the rows are equal.
    """
    try:
        base = read_table(reader, view.keyspace, view.base_name)
    except StoreError as error:
        return _report(
            Verdict.UNKNOWN, f"The schema of {view.cql_name} could not be read. {error}", (str(error),)
        )
    return judged(view, base, view_health(reader, view.keyspace, view.name))


def judged(view: View, base: Table | None, health: ViewHealth) -> DefinitionReport:
    """The judgement over what was read."""
    faults = [*_schema_faults(view, base), *_build_faults(health)]
    if faults:
        return _report(Verdict.FAIL, f"{view.cql_name}: {'; '.join(faults)}.", tuple(faults))
    if health.state == "unknown":
        return _report(
            Verdict.UNKNOWN, f"The build status could not be read. {health.note}".rstrip(), (health.note,)
        )
    if health.state == "unreported":
        return _report(
            Verdict.UNKNOWN,
            f"Whether {view.cql_name} is built whole, its rows decide. {health.note}",
            (health.note,),
        )
    nodes = "its only node" if len(health.nodes) == 1 else f"all {len(health.nodes)} nodes"
    return _report(
        Verdict.PASS,
        f"{view.cql_name} is defined as its base {view.base_name} allows, and built on {nodes}. No row was read.",
    )


def _schema_faults(view: View, base: Table | None) -> Sequence[str]:
    if base is None:
        return [f"its base {view.base_name} does not exist"]
    types = {column.name: column.cql_type for column in base.columns}
    key = {column.name for column in (*view.partition_key, *view.clustering_key)}
    faults = []
    for column in view.columns:
        there = types.get(column.name)
        if there is None:
            faults.append(f"column {column.name} is not in the base")
        elif there != column.cql_type:
            faults.append(f"column {column.name} is {column.cql_type}, and {there} in the base")
    faults += [
        f"primary key column {column.name} of the base is not in the view's primary key"
        for column in (*base.partition_key, *base.clustering_key)
        if column.name not in key
    ]
    return faults


def _build_faults(health: ViewHealth) -> Sequence[str]:
    if health.state == "missing":
        return ["there is no such view any more"]
    if health.state != "building":
        return []
    done = f", {int(health.percent)} %" if health.percent is not None else ""
    behind = ", ".join(node.address for node in health.nodes if node.status != BUILT)
    return [f"it is not built on {behind}{done} {health.note}".rstrip(". ")]
