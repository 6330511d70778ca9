"""The demo gateway at every edge of a ledger, and G003 and G006 on it; what it must show is written by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal

import httpx
import pytest
from cassandra.cluster import Session

from balancebook.checks import CHECKS
from balancebook.checks.context import Context
from balancebook.settings import Profile, retarget
from balancebook.verdict import Result
from checking import behind
from edges import EDGES, NEWEST_FIRST, Writer, make_base, make_view, put
from gateway_process import balance, eventually, health, running_gateway
from scripted_gateway import entries, entry, serving

ALL = "assets of user {user} equal the base."
NAMED = "Every asset of user {user} is named."
NOTHING = "who has no asset to show."
NO_ASSET = "User {user} has no asset in the base: name one who has."
NO_VALUE = "HTTP 503 (The view cannot be read: the newest row of asset {asset} has no value)"
UNSEEN = "not seen: an asset of the base that none of these three holds"


@dataclass(frozen=True)
class Case:
    """What the gateway shows of an edge, or why it refuses; verdict and words of G003 and of G006."""

    shown: list[dict[str, str | bool]] | str
    g003: tuple[str, str]
    g006: tuple[str, str]


def of(asset: str, avail: str, frozen: str = "0") -> dict[str, str | bool]:
    """A balance as an answer shows it; one of an asset without a name is raw."""
    raw: dict[str, str | bool] = {"raw": True} if asset.startswith("#") else {}
    return {"asset": asset, "avail": avail, "frozen": frozen, **raw}


def right(*shown: dict[str, str | bool]) -> Case:
    """All there, and equal to the base; G006 minds those that are raw."""
    raw = [f"{each['asset']} shown raw" for each in shown if "raw" in each]
    said = ("fail", f"User {{user}}: {', '.join(raw)}.") if raw else ("pass", NAMED)
    return Case(list(shown), ("pass", f"All {len(shown)} {ALL}"), said)


def refused(asset: int) -> Case:
    """No balance is better than a wrong one, and nothing can be said of it."""
    why = NO_VALUE.format(asset=asset)
    return Case(f"the newest row of asset {asset} has no value", ("unknown", why), ("unknown", why))


CASES = {
    "no assets": Case([], ("unknown", NOTHING), ("unknown", NO_ASSET)),
    "one asset": right(of("BTC", "9100")),
    "500 assets": Case(
        [of(f"#{asset}", str(10 * asset + 2), "1") for asset in range(1000, 1500)],
        ("pass", f"All 500 {ALL}"),
        ("fail", "#1018 shown raw, #1019 shown raw and 480 more."),
    ),
    "int64 amounts": right(
        of("BTC", "92233720368.54775807", "-92233720368.54775808"),
        of("USDT", "-92233720368.54775808", "92233720368.54775807"),
        of("#77", "9223372036854775807", "-9223372036854775808"),
    ),
    "asset ids": right(of("#-2147483648", "2"), of("#0", "3"), of("#2147483647", "5")),
    "user 0": right(of("ETH", "0.00000001")),
    "greatest user": right(of("ETH", "0.00000001")),
    "least user": Case(
        "user_id must be a whole number from 0 to 9223372036854775807",
        ("unknown", "HTTP 400 (user_id must be a whole number"),
        ("unknown", "HTTP 400 (user_id must be a whole number"),
    ),
    "seq 0 and 2^63-1": right(
        of("BTC", "0.0000001"), of("USDT", "0.0000002"), of("ETH", "0.0000003"), of("#77", "41")
    ),
    "equal write times": right(
        of("BTC", "0.0000003"),
        of("USDT", "0.00000009", "0.00000001"),
        of("ETH", "0.00000009", "0.00000001"),
        of("#77", "7"),
    ),
    "deleted newest row": right(of("BTC", "0.0000001"), of("#77", "51")),
    "all rows deleted": Case([], ("unknown", NOTHING), ("unknown", NO_ASSET)),
    "TTL'd row": right(of("BTC", "0.0000001"), of("ETH", "0.0000004")),
    "TTL'd cell": refused(1),
    "frozen only": right(of("BTC", "0", "2.5"), of("#77", "0", "3")),
    "unknown asset": right(of("#77", "123", "4")),
    "avail null": refused(1),
    "frozen null": refused(2),
    "nothing but a key": refused(3),
    "unselected column only": refused(1),
    "null in an older row": right(of("BTC", "0.0000002")),
    "lost asset": Case(
        [of("BTC", "0.0000001")], ("fail", "lost: #88."), ("fail", "User {user}: #88 not shown.")
    ),
    "lost only asset": Case([], ("fail", "lost: #88."), ("fail", "User {user}: #88 not shown.")),
    "half-null in the view": refused(1),
}


@pytest.fixture(scope="module")
def gateway(edges: Profile) -> Iterator[httpx.Client]:
    with running_gateway(edges.port, "--keyspace", edges.keyspace) as client:
        yield client


@pytest.fixture(scope="module")
def ctx(edges: Profile, gateway: httpx.Client) -> Iterator[Context]:
    """What the checks may look at. Nobody writes, so there is nothing to wait for."""
    with closing(Context(behind(edges, gateway.base_url), sleep=lambda _: None)) as context:
        yield context


def asked(ctx: Context, code: str, user: int, assets_from: str = "scan") -> Result:
    """What the check says of that user."""
    result = CHECKS[code].run(ctx, user_id=user, assets_from=assets_from)
    assert "The check crashed" not in result.message, result
    return result


def test_every_edge_has_its_case() -> None:
    assert CASES.keys() == EDGES.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_gateway_at_an_edge(gateway: httpx.Client, name: str) -> None:
    shown = CASES[name].shown
    code, document = balance(gateway, EDGES[name].user)
    if isinstance(shown, str):
        assert (code, document["status"]) == (400 if name == "least user" else 503, code)
        assert "data" not in document
        assert shown in document["msg"]
    else:
        assert (code, document) == (200, {"status": 0, "msg": "ok", "data": shown})


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("code", ["G003", "G006"])
def test_what_is_said_of_the_gateway_at_an_edge(ctx: Context, code: str, name: str) -> None:
    user, case = EDGES[name].user, CASES[name]
    verdict, words = case.g003 if code == "G003" else case.g006
    result = asked(ctx, code, user)
    assert result.verdict == verdict, result
    assert words.format(user=user) in result.message


def test_what_is_known_does_not_find_the_lost_asset_and_says_so(ctx: Context) -> None:
    for code in ("G003", "G006"):
        result = asked(ctx, code, EDGES["lost asset"].user, assets_from="known")
        assert (result.verdict, UNSEEN in result.message) == ("pass", True)
        alone = asked(ctx, code, EDGES["lost only asset"].user, assets_from="known")
        assert (alone.verdict, UNSEEN in alone.message) == ("unknown", True)


@pytest.mark.parametrize(
    ("name", "asset", "shown", "base"),
    [
        ("avail null", "BTC", {"avail": "0", "frozen": "0.00000005"}, "null (held 0.00000005)"),
        ("frozen null", "USDT", {"avail": "0.00000007"}, "0.00000007 (held null)"),
        ("TTL'd cell", "BTC", {"avail": "0", "frozen": "0.00000002"}, "null (held 0.00000002)"),
    ],
)
def test_a_gateway_that_shows_a_null_as_zero(
    edges: Profile, name: str, asset: str, shown: dict[str, str], base: str
) -> None:
    answer = entries(entry(asset=asset, **shown))
    with serving(answer) as url, closing(Context(behind(edges, url), sleep=lambda _: None)) as ctx:
        result = asked(ctx, "G003", EDGES[name].user)
    assert (result.verdict, result.message) == ("fail", f"wrong amount: {asset}.")
    assert result.samples[0]["base"] == base


def test_an_empty_table_and_a_view_dropped_between_check_and_query(session: Session, edges: Profile) -> None:
    base = make_base(session, edges.keyspace, "behind", "(user_id, asset_id), seq", NEWEST_FIRST)
    view = make_view(session, edges.keyspace, base, "of_behind").view
    options = ("--keyspace", edges.keyspace, "--view", view)
    with running_gateway(edges.port, *options) as client:
        profile = behind(retarget(edges, view=view), client.base_url)
        with closing(Context(profile, sleep=lambda _: None)) as ctx:
            assert balance(client, 5) == (200, {"status": 0, "msg": "ok", "data": []})
            for code, words in (("G003", NOTHING), ("G006", NO_ASSET.format(user=5))):
                result = asked(ctx, code, 5)
                assert (result.verdict, words in result.message) == ("unknown", True), result

        session.execute(put(1, 1, 10, 0, 1).format(ledger=f"{edges.keyspace}.{base}", user=5))
        with closing(Context(profile, sleep=lambda _: None)) as ctx:
            said = [CHECKS["G001"].run(ctx), *(asked(ctx, code, 5) for code in ("G003", "G006"))]
            assert [str(result.verdict) for result in said] == ["pass"] * 3

            session.execute(f"DROP MATERIALIZED VIEW {edges.keyspace}.{view}")
            for user in (5, 6):
                status, document = balance(client, user)
                assert (status, document["status"], "data" in document) == (503, 503, False)
                assert "The view cannot be read" in document["msg"]
            for code in ("G003", "G006"):
                result = asked(ctx, code, 5)
                assert (result.verdict, "The view cannot be read" in result.message) == ("unknown", True)
            eventually(lambda: health(client), (503, "Missing"), within_s=5)


def test_a_writer_in_the_middle_of_the_query(session: Session, edges: Profile, gateway: httpx.Client) -> None:
    """Each answer has at least what was acknowledged before the question, and nothing that was not begun after it."""
    writer = Writer(session, edges.keyspace, user=7200)
    seen: dict[str, int] = {}
    profile = behind(edges, gateway.base_url)
    with closing(Context(profile)) as scanned, closing(Context(profile)) as known, writer.at_work():
        until, rounds = time.monotonic() + 3, 0
        while time.monotonic() < until or rounds < 5:
            rounds += 1
            before = dict(writer.acknowledged)
            code, document = balance(gateway, 7200)
            after = dict(writer.begun)
            assert code == 200
            found = {each["asset"]: units(each) for each in document["data"]}
            assert {named(asset) for asset in before} <= found.keys()
            for asset, seq in after.items():
                if asset in before or named(asset) in found:
                    avail, frozen = found[named(asset)]
                    assert before.get(asset, 0) <= avail <= seq
                    assert frozen == avail >= seen.get(named(asset), 0), f"{asset} went back"
            assert found.keys() <= {named(asset) for asset in after}
            seen = {asset: avail for asset, (avail, _) in found.items()}
            # An asset that was first booked after the scan is no asset that the base has not.
            for ctx, source in ((scanned, "scan"), (known, "known")):
                result = asked(ctx, "G003", 7200, source)
                assert result.verdict == "pass", result
    assert sum(writer.acknowledged.values()) > 20 * rounds, "hardly anything was written meanwhile"
    assert any(asset.startswith("#5") for asset in seen)


def named(asset: int) -> str:
    return {1: "BTC", 2: "USDT", 3: "ETH"}.get(asset, f"#{asset}")


def units(shown: dict[str, str]) -> tuple[int, int]:
    """The raw amounts: eight decimals of a known asset."""
    decimals = 0 if shown.get("raw") else 8
    avail, frozen = (int(Decimal(shown[cell]).scaleb(decimals)) for cell in ("avail", "frozen"))
    return avail, frozen
