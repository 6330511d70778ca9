"""Every node of the ring: does it answer by itself, what version has it, how far off is its clock?"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from balancebook.doctor.report import Row, not_read
from balancebook.store.errors import StoreError
from balancebook.store.reader import Host, Reader
from balancebook.verdict import Verdict

# What the tests run on; of other versions only their documentation is known.
TESTED = ("Apache Cassandra", "5.0")
_CLOCK = "SELECT toTimestamp(now()) FROM system.local"
_RESOLUTION_S = 0.001
_ASKED = 3


@dataclass(frozen=True, slots=True)
class Clock:
    """A node's clock against this machine's, in seconds: the offset is proved to lie from `low` to `high`."""

    low: float
    high: float

    @property
    def least(self) -> float:
        """The smallest offset that is possible, without its sign."""
        return max(0.0, self.low, -self.high)

    @property
    def most(self) -> float:
        """The largest offset that is possible, without its sign."""
        return max(self.high, -self.low)

    def narrowed(self, other: Clock) -> Clock:
        """What both prove together."""
        return Clock(max(self.low, other.low), min(self.high, other.high))


def bound_offset(asked_at: float, node_time: float, answered_at: float) -> Clock:
    """What one question proves: the node read its clock, cut to a millisecond, between question and answer."""
    return Clock(node_time - answered_at, node_time + _RESOLUTION_S - asked_at)


def judge_clock(address: str, clock: Clock, grace_s: float) -> Row:
    """Fail if the clock is provably off by more than the grace period; unknown if it may be."""
    subject, within = f"clock of {address}", f"within {clock.most:.3f} s of this machine's"
    if clock.least > grace_s:
        way = "ahead of" if clock.low > 0 else "behind"
        text = (
            f"at least {clock.least:.3f} s {way} this machine's, more than the grace period of {grace_s:g} s"
        )
        return Row(subject, Verdict.FAIL, text, "Mend the time service (NTP) there, or here.")
    if clock.most > grace_s:
        text = f"{within}, and so perhaps off by more than the grace period of {grace_s:g} s"
        return Row(
            subject,
            Verdict.UNKNOWN,
            text,
            "Try again when its answers come faster, or see its time service (NTP).",
        )
    return Row(subject, Verdict.PASS, within)


def look_at_nodes(reader: Reader) -> Iterator[Row]:
    """Two rows for each node of the local data centre: node and clock. Nodes elsewhere are not asked."""
    profile = reader.profile
    for host in reader.hosts():
        subject, said = f"node {host.address}", f"{host.dc}, version {host.version}"
        if host.dc != profile.local_dc:
            yield Row(subject, None, f"{said}: not asked, only nodes of {profile.local_dc} are")
            continue
        try:
            fastest, clock = _ask(reader, host)
        except StoreError as error:
            yield not_read(subject, error)
        else:
            yield Row(subject, Verdict.PASS, f"{said}, answers in {1000 * fastest:.1f} ms")
            yield judge_clock(host.address, clock, profile.grace_s)


def _ask(reader: Reader, host: Host) -> tuple[float, Clock]:
    """The fastest of a few round trips in seconds, and what they prove together of the clock."""
    seconds, clock = float("inf"), Clock(-float("inf"), float("inf"))
    for _ in range(_ASKED):
        asked_at, started = time.time(), time.monotonic()
        told: datetime = reader.rows_on(host, _CLOCK)[0][0]
        elapsed = time.monotonic() - started
        seconds = min(seconds, elapsed)
        node_time = told.replace(tzinfo=UTC).timestamp()
        clock = clock.narrowed(bound_offset(asked_at, node_time, asked_at + elapsed))
    return seconds, clock


def judge_versions(product: str, version: str, nodes: Sequence[Host]) -> Row:
    """Pass for one tested version on all nodes; mixed or untested ones are unknown, for nobody has tried them."""
    by_version = defaultdict(list)
    for node in nodes:
        by_version[node.version].append(node.address)
    if len(by_version) > 1:
        mixed = "; ".join(f"{found} on {', '.join(at)}" for found, at in sorted(by_version.items()))
        return Row(
            "version",
            Verdict.UNKNOWN,
            f"{product}, mixed versions: {mixed}",
            "Finish the upgrade of the ring.",
        )
    text = f"{product} {version}"
    if product == TESTED[0] and version.startswith(f"{TESTED[1]}."):
        return Row("version", Verdict.PASS, text)
    remedy = f"Tested is {' '.join(TESTED)}; hold what is found here against another source at first."
    return Row("version", Verdict.UNKNOWN, f"{text}, on which balancebook is untested", remedy)
