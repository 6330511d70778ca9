"""A way to compare that anyone would write first: rows of the driver, two frames, an outer merge. See peers.py.

python benchmarks/peer_pandas.py HOST PORT KEYSPACE
"""

from __future__ import annotations

import json
import sys

import pandas as pd
from cassandra.cluster import Cluster, Session

KEY, VALUES = ["user_id", "asset_id", "seq"], ["avail", "frozen", "created_at"]


def rows(session: Session, table: str) -> pd.DataFrame:
    """All rows of a table or view. The columns hold no null here, so that integers stay exact."""
    return pd.DataFrame(list(session.execute(f"SELECT {', '.join(KEY + VALUES)} FROM {table}")))


def main() -> None:
    host, port, keyspace = sys.argv[1:]
    cluster = Cluster([host], port=int(port), protocol_version=5)
    session = cluster.connect(keyspace)
    base, view = rows(session, "balance_ledger"), rows(session, "user_balances_by_user")
    cluster.shutdown()
    both = base.merge(view, on=KEY, how="outer", indicator="side", suffixes=("", "_view"))
    unequal = pd.concat([both[name] != both[f"{name}_view"] for name in VALUES], axis=1).any(axis=1)
    found = {
        "base": len(base),
        "view": len(view),
        "lost": int((both["side"] == "left_only").sum()),
        "orphan": int((both["side"] == "right_only").sum()),
        "mismatch": int((unequal & (both["side"] == "both")).sum()),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
