"""All accounts, as one extract shows them: read once for a notebook, kept as a file, or taken from one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import pandas as pd
from matplotlib.figure import Figure

from balancebook.assets import label
from balancebook.explore import figures, holdings
from balancebook.explore.extract import Extract, make_extract, read_extract, write_extract
from balancebook.explore.extract_file import require_origin, usable_path
from balancebook.explore.people import table
from balancebook.explore.place import Place, asset_named
from balancebook.moment import parse_moment, utc_text
from balancebook.store.reader import Reader

FILE_NAME = "extract.parquet"
_RUN_FOLDER = "BALANCEBOOK_RUN_DIR"
_extracts: WeakKeyDictionary[Reader, dict[tuple[str | None, str | None], Extract]] = WeakKeyDictionary()


def extract_for(place: Place, as_of: str | None = None, file: str | None = None) -> Extract:
    """The extract of the place as of that time, made by one scan at the first call for a reader.

    file: read if it is there (then nothing is scanned), else written. Without one the run's folder keeps it, if there
    is a run. Raises UsageError for a time without an offset, or a file that is of another target or time; StoreError,
    BalancebookError, OSError.
    """
    moment = None if as_of is None else parse_moment(as_of)
    made = _extracts.setdefault(place.reader, {})
    key = (as_of, file)
    if key not in made:
        path = usable_path(file) if file else None
        made[key] = _read(place, path, moment) if path and path.exists() else _made(place, path, moment)
    return made[key]


def _read(place: Place, path: Path, moment: int | None) -> Extract:
    require_origin(path, place.target.keyspace, place.target.base, utc_text(moment))
    return read_extract(path)


def _made(place: Place, path: Path | None, moment: int | None) -> Extract:
    folder = os.environ.get(_RUN_FOLDER)
    path = path or (Path(folder) / FILE_NAME if folder else None)
    extract = make_extract(place, moment)
    if path:
        write_extract(extract, path)
    return extract


@dataclass(frozen=True)
class Everyone:
    """Questions about all accounts of a place; the first one that is asked reads (see extract_for)."""

    place: Place
    as_of: str | None = None
    file: str | None = None

    @cached_property
    def extract(self) -> Extract:
        """The extract. Raises as extract_for."""
        return extract_for(self.place, self.as_of, self.file)

    def origin(self) -> pd.DataFrame:
        """Where the numbers come from: what, value."""
        origin = self.extract.origin
        told = {
            "table": f"{origin.keyspace}.{origin.table}",
            "cluster": origin.cluster,
            "as of (UTC)": origin.as_of or "as it was read",
            "which entries": origin.rule,
            "read (UTC)": f"{origin.read_from} to {origin.read_to}",
            "consistency": origin.consistency,
            "balances": origin.entries,
            "dated ahead of the clock": origin.ahead,
            "without a time": origin.undated,
        }
        return table({"what": list(told), "value": list(told.values())})

    def totals(self) -> pd.DataFrame:
        """See holdings.totals."""
        return holdings.totals(self.extract, self.place.registry)

    def ahead(self) -> pd.DataFrame:
        """See holdings.ahead."""
        return holdings.ahead(self.extract, self.place.registry)

    def top_holders(self, asset: str | int | None, most: int) -> pd.DataFrame:
        """See holdings.top_holders; the first asset, unless one is named."""
        return holdings.top_holders(self.extract, self.place.registry, self._named(asset), most)

    def concentration(self) -> pd.DataFrame:
        """See holdings.concentration."""
        return holdings.concentration(self.extract, self.place.registry)

    def concentration_figure(self) -> Figure:
        """The largest holders' share of every asset."""
        shares = {
            label(each.asset, self.place.registry): holdings.shares_by_rank(self.extract, each.asset)
            for each in holdings.by_asset(self.extract)
        }
        title = "How much of each asset its largest holders have"
        return figures.concentration(shares, title, self.extract.origin.line)

    def dust(self) -> pd.DataFrame:
        """See holdings.dust."""
        return holdings.dust(self.extract, self.place.registry)

    def impossible(self) -> pd.DataFrame:
        """See holdings.impossible."""
        return holdings.impossible(self.extract, self.place.registry)

    def stuck(self, days: int) -> pd.DataFrame:
        """See holdings.stuck."""
        return holdings.stuck(self.extract, self.place.registry, days)

    def _named(self, asset: str | int | None) -> object:
        return asset_named(asset, holdings.assets_in(self.extract), self.place.registry)
