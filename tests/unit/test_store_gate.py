"""The gate of the reading session: what may be sent and what may not."""

from __future__ import annotations

import pytest

from balancebook.store.errors import StoreError
from balancebook.store.select_only import require_select

ACCEPTED = [
    "SELECT * FROM t",
    "select * from t",
    "SeLeCt a FROM t",
    " \t\r\n SELECT * FROM t",
    "SELECT\n*\nFROM t",
    "SELECT*FROM t",
    'SELECT"a"FROM t',
    "SELECT JSON * FROM t",
    "SELECT DISTINCT a FROM t",
    "SELECT * FROM t WHERE a = 'it''s; -- DROP TABLE t /* x */ //'",
    'SELECT "a;b--c" FROM t',
    'SELECT "say ""x; y""" FROM t',
    "SELECT * FROM t WHERE a = $$ ; -- ' $$",
    "SELECT * FROM t WHERE a = -1",
]
REFUSED = [
    "",
    " ",
    "INSERT INTO t (a) VALUES (1)",
    "UPDATE t SET a = 1",
    "DELETE FROM t",
    "TRUNCATE t",
    "DROP TABLE t",
    "ALTER TABLE t ADD b int",
    "CREATE TABLE t (a int PRIMARY KEY)",
    "GRANT SELECT ON t TO r",
    "USE k",
    "LIST ROLES",
    "DESCRIBE TABLE t",
    "BEGIN BATCH INSERT INTO t (a) VALUES (1) APPLY BATCH",
    "BEGIN UNLOGGED BATCH DELETE FROM t APPLY BATCH",
    "PRUNE MATERIALIZED VIEW v",
    "SELECT * FROM t;",
    "SELECT * FROM t; DROP TABLE t",
    ";SELECT * FROM t",
    "-- x\nSELECT * FROM t",
    "-- SELECT\nDROP TABLE t",
    "-- SELECT\rDROP TABLE t",
    "// SELECT\nDROP TABLE t",
    "/* SELECT */ DROP TABLE t",
    "/* x */ SELECT * FROM t",
    "SELECT * /* x */ FROM t",
    "SELECT * FROM t -- x",
    "SELECT * FROM t // x",
    "SELECT -- '\n* FROM t; DROP TABLE t --'",
    "SELECT /* ' */ * FROM t; DROP TABLE t --'",
    "SELECT 'a' $$ -- $$ FROM t; DROP TABLE t",
    "SELECT * FROM t WHERE a = 'x",
    'SELECT "x FROM t',
    "SELECT $$x FROM t",
    "(SELECT * FROM t)",
    "SELECTED * FROM t",
    "SELECT_x",
    "SELECT1",
    "\u017fELECT * FROM t",  # long s: S, to a careless comparison
    "\uff33ELECT * FROM t",  # fullwidth S
    "\ufeffSELECT * FROM t",
    "\u00a0SELECT * FROM t",
    "\u2028SELECT * FROM t",
    "\x0bSELECT * FROM t",
    "\x0cSELECT * FROM t",
    "\0SELECT * FROM t",
    "SELECT * FROM t\0; DROP TABLE t",
    "EXPLAIN SELECT * FROM t",
]


@pytest.mark.parametrize("statement", ACCEPTED)
def test_one_select_passes(statement: str) -> None:
    require_select(statement)


@pytest.mark.parametrize("statement", REFUSED)
def test_anything_else_is_refused(statement: str) -> None:
    with pytest.raises(StoreError) as caught:
        require_select(statement)
    assert caught.value.kind == "refused_statement"
    assert "nothing was sent" in caught.value.message


@pytest.mark.parametrize("statement", [None, b"SELECT * FROM t", 1])
def test_what_is_no_text_is_refused(statement: object) -> None:
    with pytest.raises(StoreError, match="no text"):
        require_select(statement)  # type: ignore[arg-type]


def test_a_long_statement_is_shortened_in_the_message() -> None:
    with pytest.raises(StoreError) as caught:
        require_select("DELETE FROM t WHERE a IN (" + "1, " * 500 + "1)")
    assert len(str(caught.value)) < 300
