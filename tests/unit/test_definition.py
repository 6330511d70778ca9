from __future__ import annotations

import pytest

from balancebook.errors import UsageError
from balancebook.store.definition import parse_definition

PLAIN = """
CREATE MATERIALIZED VIEW trading.v AS
  SELECT user_id, asset_id, seq, avail FROM trading.ledger
  WHERE user_id IS NOT NULL AND asset_id IS NOT NULL AND seq IS NOT NULL
  PRIMARY KEY (user_id, asset_id, seq)
  WITH CLUSTERING ORDER BY (asset_id ASC, seq DESC);
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CREATE MATERIALIZED VIEW trading.v", "create materialized view if not exists V"),
        ("user_id, asset_id, seq, avail FROM", 'avail, SEQ, "asset_id", user_id FROM'),
        (
            "user_id IS NOT NULL AND asset_id IS NOT NULL",
            "asset_id is not null -- key\n and USER_ID IS NOT NULL",
        ),
        ("(user_id, asset_id, seq)", "((user_id), asset_id, seq)"),
        ("WITH CLUSTERING", "WITH comment = 'a (b) AND c' AND CLUSTERING"),
        ("(asset_id ASC, seq DESC)", "(asset_id, seq DESC) AND gc_grace_seconds = 5"),
    ],
)
def test_spelling_and_storage_options_do_not_count(old: str, new: str) -> None:
    assert old in PLAIN
    assert parse_definition(PLAIN.replace(old, new)) == parse_definition(PLAIN)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        (", avail FROM", " FROM", "columns"),
        (", avail FROM", ', "Avail" FROM', "columns"),
        ("user_id, asset_id, seq, avail FROM", "* FROM", "columns"),
        ("trading.ledger", "trading.ledger2", "base"),
        ("AND seq IS NOT NULL", "AND seq IS NOT NULL AND seq > 5", "where"),
        ("(user_id, asset_id, seq)", "((user_id, asset_id), seq)", "partition_key"),
        ("seq DESC", "seq ASC", "clustering"),
        ("WITH CLUSTERING ORDER BY (asset_id ASC, seq DESC)", "", "clustering"),
    ],
)
def test_what_makes_other_rows_is_named(old: str, new: str, part: str) -> None:
    assert old in PLAIN
    differences = parse_definition(PLAIN).differences(parse_definition(PLAIN.replace(old, new)))
    assert part in [name for name, _, _ in differences]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT 1",
        "CREATE MATERIALIZED VIEW v",
        "CREATE TABLE t (a int PRIMARY KEY)",
        PLAIN.replace("PRIMARY", "P"),
        "€",
    ],
)
def test_what_is_no_view_definition_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_definition(text)
