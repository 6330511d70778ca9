"""A view, or a base, of which nothing is left: what is wrong is told by counting, in two passes however many rows."""

from __future__ import annotations

from dataclasses import dataclass

from balancebook.reconcile.found import RawDifference, Tally
from balancebook.reconcile.kinds import Kind
from balancebook.reconcile.readback import Rereader
from balancebook.reconcile.sides import BASE, VIEW
from balancebook.sketch.sketch import Items, Sketch, Wanted
from balancebook.store.raw import RawCells


@dataclass(frozen=True)
class OneSided:
    """Two passes a grace apart, in which one side had no row: the numbers of rows (base, view) in the first and the
    second."""

    rereader: Rereader
    before: tuple[int, int]
    after: tuple[int, int]

    def into(self, tally: Tally, change: Sketch) -> bool:
        """Count the rows that both passes saw alike, and give the first of them as samples. `change`: the first pass
        less the second; uses it up. False, and nothing counted, if the side is not empty any more or too much changed
        to tell how much."""
        side = BASE if self.before[BASE] else VIEW
        items = change.peel()
        if not items.complete or self.after[1 - side]:
            return False
        # A row of the view counts as less.
        of_first = items.signs > 0 if side == BASE else items.signs < 0
        gone = int(of_first.sum())
        tally.add_counted(Kind.LAGGING, gone, [self._changed()] * min(gone, tally.most))
        kind = Kind.LOST if side == BASE else Kind.ORPHAN
        samples = self._samples(side, kind, tally.most, items)
        tally.add_counted(kind, self.before[side] - gone, samples)
        return True

    def _changed(self) -> RawDifference:
        nameless: RawCells = (None,) * self.rereader.layout.keys
        return RawDifference(Kind.LAGGING, nameless, None, None, "changed between the confirming reads")

    def _samples(self, side: int, kind: Kind, most: int, items: Items) -> list[RawDifference]:
        """The first rows by their tokens, but for those that are new since the first pass."""
        layout, keys = self.rereader.layout, self.rereader.layout.keys
        lately = Wanted(layout, self.rereader.seed, items.lanes[:, 0], by_key=False)
        samples: list[RawDifference] = []
        for page in self.rereader.first_rows(side, most):
            found = lately.find(page.body, page.start, page.rows)[0]
            new = {found.cells(number) for number in range(len(found))}
            for row in page.cells():
                if None not in row[:keys] and row not in new:
                    cells = row[keys:]
                    seen = (cells, None) if side == BASE else (None, cells)
                    samples.append(RawDifference(kind, row[:keys], *seen))
        return samples
