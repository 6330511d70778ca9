"""The document of a reconciliation, that other programs rely on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from balancebook.reconcile.confirm import CONFIRM_CONSISTENCY, SCAN_CONSISTENCY
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.report import ComparisonReport
from balancebook.reconcile.values import Cells, cell_json
from balancebook.reconcile.writetimes import Written, with_times
from balancebook.store.schema import View
from balancebook.verdict import Json

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """What was found, and how long it took. `written` goes with the report's samples; empty if it could not be read.

    depth: definition, sampled, full, or keys.
    """

    view: View
    depth: str
    report: ComparisonReport
    written: tuple[Written, ...]
    not_written: str
    seconds: float

    @property
    def truncated(self) -> bool:
        """Whether there are more differences than samples."""
        return sum(self.report.counts.values()) > len(self.report.samples)

    def document(self, run_id: str) -> dict[str, Any]:
        """The JSON of `balancebook reconcile --json`, schema version 1. `details` are those of the depth."""
        report, view = self.report, self.view
        unknown: list[Json] = [[lo, hi] for lo, hi in report.unknown_ranges]
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": run_id,
            "keyspace": view.keyspace,
            "view": view.name,
            "base": view.base_name,
            "depth": self.depth,
            "verdict": report.verdict.value,
            "message": report.message,
            "consistency": {"scan": SCAN_CONSISTENCY, "confirm": CONFIRM_CONSISTENCY},
            "rows": {"base": report.rows_base, "view": report.rows_view},
            "ranges": {"total": report.ranges_total, "done": report.ranges_done, "unknown": unknown},
            "counts": {kind.value: report.counts[kind] for kind in Kind},
            "truncated": self.truncated,
            "differences": self.differences(),
            "details": report.details(),
            "seconds": round(self.seconds, 3),
        }

    def differences(self) -> list[Json]:
        """Each sample as {kind, key, base, view, reason}, worst first."""
        nothing = Written({}, {})
        written = self.written or (nothing,) * len(self.report.samples)
        return [
            {
                "kind": sample.kind.value,
                "key": self._cells(self.report.key_columns, sample.key),
                "base": with_times(self._cells(self.report.value_columns, sample.base), times.base),
                "view": with_times(self._cells(self.report.value_columns, sample.view), times.view),
                "reason": sample.reason,
            }
            for sample, times in zip(self.report.samples, written, strict=True)
        ]

    def _cells(self, columns: tuple[str, ...], cells: Cells | None) -> dict[str, Json] | None:
        if cells is None:
            return None
        types = {column.name: column.cql_type for column in self.view.columns}
        return {name: cell_json(cell, types[name]) for name, cell in zip(columns, cells, strict=True)}
