"""The gateway's part of a profile: paths, headers by reference, the fields of its JSON, and what each refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from balancebook.errors import UsageError
from balancebook.gateway_settings import GatewayFields, GatewaySettings
from balancebook.profile_parts import Secret
from balancebook.settings import Profile, SettingsError, load_profile, retarget
from checking import gateway_of

PROFILE = """
[profiles.p]
contact_points = ["10.0.0.1"]
local_dc = "dc1"
registry = "assets.toml"
[profiles.p.gateway]
url = "https://gateway.example:8443"
"""
ASSETS = '[[assets]]\nid = 1\nsymbol = "BTC"\ndecimals = 8\nshown = 3\n'
KEY = "sesame-0815-open"


def load(folder: Path, gateway: str) -> Profile:
    """The profile with these lines in its gateway table."""
    (folder / "assets.toml").write_text(ASSETS)
    (folder / "balancebook.toml").write_text(PROFILE + gateway)
    return load_profile("p", env={}, cwd=folder)


def test_without_a_word_it_is_the_contract_of_the_report(tmp_path: Path) -> None:
    gateway = gateway_of(load(tmp_path, ""))
    assert gateway.target("1001") == "/api/user/balance?user_id=1001"
    assert (gateway.health_path, gateway.headers, gateway.fields) == ("/health", (), GatewayFields())


def test_every_key_can_be_set_and_there_is_a_way_to_say_nothing(tmp_path: Path) -> None:
    profile = load(
        tmp_path,
        """
        timeout_s = 1.5
        max_bytes = 1000
        balance_path = "/v2/accounts/{account}/balances?all=1"
        health_path = ""
        [profiles.p.gateway.headers]
        X-Api-Key = "env:KEY"
        [profiles.p.gateway.fields]
        balances = ""
        asset = "currency.code"
        available = "free"
        held = ""
        raw = ""
        account = []
        status = ""
        message = "error.message"
        health = "state"
        amounts = "number"
        assets = "number"
        units = "raw"
        """,
    )
    gateway = gateway_of(profile)
    assert gateway.health_path is None
    assert gateway.headers == (("X-Api-Key", Secret(kind="env", value="KEY")),)
    fields = gateway.fields
    assert (fields.balances, fields.held, fields.raw, fields.status, fields.account) == (
        "",
        None,
        None,
        None,
        (),
    )


@pytest.mark.parametrize(
    ("lines", "key", "says"),
    [
        ('balance_path = "/balances"', "balance_path", "it must hold {account} exactly once"),
        ('balance_path = "/a/{account}?b={account}"', "balance_path", "exactly once"),
        ('balance_path = "a/{account}"', "balance_path", "a path from / on"),
        ('balance_path = "//elsewhere/{account}"', "balance_path", "a path from / on"),
        ('balance_path = "http://elsewhere/{account}"', "balance_path", "a path from / on"),
        ('balance_path = "/a b/{account}"', "balance_path", "percent-encoded"),
        ('balance_path = "/{account}\\r\\nX: 1"', "balance_path", "percent-encoded"),
        ('balance_path = "/{account}#top"', "balance_path", "percent-encoded"),
        ('balance_path = "/{account}/{coin}"', "balance_path", "percent-encoded"),
        ('balance_path = "/%4/{account}"', "balance_path", "percent-encoded"),
        ('balance_path = "/../{account}"', "balance_path", "no part of a path may be . or .."),
        ("balance_path = 5", "balance_path", "valid string"),
        ('health_path = "health"', "health_path", "a path from / on"),
        ('health_path = "/{account}"', "health_path", "percent-encoded"),
        ('balence_path = "/{account}"', "balence_path", "Did you mean balance_path?"),
        (
            '[profiles.p.gateway.headers]\nX-Key = "sesame"',
            "headers",
            "'X-Key': a secret is given by reference",
        ),
        ("[profiles.p.gateway.headers]\nX-Key = 5", "headers", "'X-Key': a secret is given by reference"),
        (
            '[profiles.p.gateway.headers]\nX-Key = {kind = "env", value = "sesame"}',
            "headers",
            "'X-Key': a secret",
        ),
        ('[profiles.p.gateway.headers]\n"X: 1\\r\\nY" = "env:K"', "headers", "is no header's name"),
        ('[profiles.p.gateway.headers]\n"" = "env:K"', "headers", "is no header's name"),
        ('[profiles.p.gateway.headers]\nHOST = "env:K"', "headers", "HOST is set by the client itself"),
        ('[profiles.p.gateway.headers]\nX = "env:K"\nx = "env:K"', "headers", "more than once"),
        ('[profiles.p.gateway.fields]\navailabel = "x"', "fields.availabel", "Did you mean available?"),
        ('[profiles.p.gateway.fields]\nasset = ""', "fields.asset", "a place in the JSON"),
        ('[profiles.p.gateway.fields]\nasset = "a..b"', "fields.asset", "a place in the JSON"),
        ('[profiles.p.gateway.fields]\nbalances = "a."', "fields.balances", "a place in the JSON"),
        ('[profiles.p.gateway.fields]\nheld = "\\u001b"', "fields.held", "a place in the JSON"),
        ('[profiles.p.gateway.fields]\nbalances = ""', "fields", "status: an answer that is itself the list"),
        ('[profiles.p.gateway.fields]\namounts = "float"', "fields.amounts", "'text' or 'number'"),
        ('[profiles.p.gateway.fields]\nunits = "sats"', "fields.units", "'whole' or 'raw'"),
        ("[profiles.p.gateway.fields]\nok = 1.5", "fields.ok", "valid"),
    ],
)
def test_a_bad_key_is_named_with_its_remedy(tmp_path: Path, lines: str, key: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, lines)
    assert says in str(caught.value)
    assert (caught.value.parameter or "").startswith(f"gateway.{key}")
    assert caught.value.remedy
    assert "sesame" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("path", "account", "target", "without"),
    [
        ("/b?id={account}", "a&id=2#/../ü", "/b?id=a%26id%3D2%23%2F..%2F%C3%BC", "/b"),
        ("/b?all=1&id={account}&x=2", "7", "/b?all=1&id=7&x=2", "/b?all=1&x=2"),
        ("/b/{account}/c?d=1", "../x?y", "/b/..%2Fx%3Fy/c?d=1", "/b//c?d=1"),
        (
            "/b/{account}",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "/b/f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "/b/",
        ),
        ("/b?q=owner:{account}", "a:b c", "/b?q=owner:a%3Ab%20c", "/b"),
    ],
)
def test_the_account_is_percent_encoded_in_its_place(
    path: str, account: str, target: str, without: str
) -> None:
    settings = GatewaySettings(url="http://h", balance_path=path)
    assert settings.target(account) == target
    assert settings.target_without_account() == without


@pytest.mark.parametrize("account", [".", ".."])
def test_an_account_that_is_a_step_of_the_path_is_refused(account: str) -> None:
    with pytest.raises(UsageError, match="cannot be asked for"):
        GatewaySettings(url="http://h", balance_path="/b/{account}/c").target(account)
    assert (
        GatewaySettings(url="http://h", balance_path="/b?id={account}").target(account) == f"/b?id={account}"
    )


def test_headers_are_revealed_when_needed_and_are_secrets_of_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv("GATEWAY_TOKEN", "Bearer of-the-gateway")
    profile = load(
        tmp_path, '[profiles.p.gateway.headers]\nX-Api-Key = "file:key"\nAuthorization = "env:GATEWAY_TOKEN"'
    )
    assert gateway_of(profile).revealed_headers() == {
        "X-Api-Key": KEY,
        "Authorization": "Bearer of-the-gateway",
    }
    # The token is masked without its scheme, too.
    assert profile.secrets() == (KEY, "Bearer of-the-gateway", "of-the-gateway")
    assert KEY not in repr(profile)
    assert gateway_of(retarget(profile, gateway_url="http://h")).headers == gateway_of(profile).headers


@pytest.mark.parametrize(
    "value", ["two\nlines", "a\r\nX-Injected: 1", " padded", "padded\t", "nul\0", "ümlaut", "\x7f", "\x1b[2J"]
)
def test_a_value_that_no_header_can_have_is_refused_and_not_shown(tmp_path: Path, value: str) -> None:
    (tmp_path / "key").write_bytes(value.encode())
    gateway = gateway_of(load(tmp_path, '[profiles.p.gateway.headers]\nX-Api-Key = "file:key"'))
    with pytest.raises(SettingsError) as caught:
        gateway.revealed_headers()
    assert (caught.value.parameter, value.strip() in str(caught.value)) == (
        "gateway.headers.X-Api-Key",
        False,
    )


def test_a_reference_that_leads_nowhere_says_so(tmp_path: Path) -> None:
    profile = load(tmp_path, '[profiles.p.gateway.headers]\nX-Api-Key = "file:gone"')
    with pytest.raises(SettingsError, match="gone cannot be read"):
        profile.secrets()
