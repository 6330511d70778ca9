"""The second half of a way to compare: DuckDB over two folders of CSV files that DSBulk unloaded. See peers.py.

python benchmarks/peer_duckdb.py BASE_FOLDER VIEW_FOLDER
"""

from __future__ import annotations

import json
import sys

import duckdb

TYPES = {name: "INT" if name == "asset_id" else "BIGINT" for name in ("user_id", "asset_id", "seq")}
TYPES |= dict.fromkeys(("avail", "frozen", "created_at"), "BIGINT")
QUERY = f"""
SELECT count(b.user_id) AS base, count(v.user_id) AS view,
    count(*) FILTER (WHERE v.user_id IS NULL) AS lost,
    count(*) FILTER (WHERE b.user_id IS NULL) AS orphan,
    count(*) FILTER (WHERE b.user_id IS NOT NULL AND v.user_id IS NOT NULL AND
        (b.avail, b.frozen, b.created_at) IS DISTINCT FROM (v.avail, v.frozen, v.created_at)) AS mismatch
FROM read_csv($base, header = false, columns = {TYPES}) b
FULL JOIN read_csv($view, header = false, columns = {TYPES}) v
    ON b.user_id = v.user_id AND b.asset_id = v.asset_id AND b.seq = v.seq
"""


def main() -> None:
    base, view = (f"{folder}/*.csv" for folder in sys.argv[1:])
    answer = duckdb.execute(QUERY, {"base": base, "view": view})
    names = [name for name, *_ in answer.description]
    print(json.dumps(dict(zip(names, answer.fetchone(), strict=True))))


if __name__ == "__main__":
    main()
