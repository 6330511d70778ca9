from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import trustme
from pydantic import BaseModel

from balancebook.profile import TradesSchema
from balancebook.settings import (
    ASSETS as ASSETS_LINE,
)
from balancebook.settings import (
    REQUIRED,
    GatewayFields,
    GatewaySettings,
    LedgerSchema,
    Limits,
    Profile,
    SettingsError,
    Tls,
    load_profile,
    load_registry,
    retarget,
    state_dir,
)
from checking import gateway_of

ASSETS = """
[[assets]]
id = 1
symbol = "BTC"
decimals = 8
shown = 3
"""
PROFILE = """
default_profile = "prod"
[profiles.prod]
contact_points = ["10.0.0.1", "10.0.0.2"]
local_dc = "dc1"
registry = "assets.toml"
password = "env:BALANCES_PASSWORD"
username = "reader"
[profiles.prod.gateway]
url = "https://gateway.example:8443"
"""


def load(folder: Path, text: str = PROFILE, name: str | None = None, **env: str) -> Profile:
    (folder / "assets.toml").write_text(ASSETS)
    (folder / "balancebook.toml").write_text(text)
    return load_profile(name, env=env, cwd=folder)


def test_a_profile_is_read_from_the_nearest_file(tmp_path: Path) -> None:
    below = tmp_path / "notebooks" / "deep"
    below.mkdir(parents=True)
    load(tmp_path)
    profile = load_profile(env={}, cwd=below)
    assert (profile.name, profile.contact_points, profile.port) == ("prod", ("10.0.0.1", "10.0.0.2"), 9042)
    assert profile.registry.by_id(1) is not None
    assert not profile.embedded
    assert state_dir({}, below) == tmp_path / ".balancebook"


def test_without_a_file_the_profile_is_the_embedded_database(tmp_path: Path) -> None:
    profile = load_profile(env={}, cwd=tmp_path)
    assert (profile.name, profile.embedded, profile.contact_points) == ("embedded", True, ("127.0.0.1",))
    assert {asset.symbol for asset in profile.registry} == {"BTC", "USDT", "ETH"}


def test_the_embedded_addresses_come_from_the_running_server(tmp_path: Path) -> None:
    for name, content in {
        "server": {"pid": 1, "host": "127.0.0.2", "port": 12345},
        "gateway": {"pid": 2, "url": "http://127.0.0.1:4001", "mode": "seed"},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.json").write_text(json.dumps(content))
    profile = load_profile(env={"BALANCEBOOK_STATE": str(tmp_path)}, cwd=tmp_path)
    assert (profile.contact_points, profile.port) == (("127.0.0.2",), 12345)
    assert gateway_of(profile).url == "http://127.0.0.1:4001"


def test_variables_override_the_connection(tmp_path: Path) -> None:
    profile = load(
        tmp_path,
        BALANCEBOOK_CONTACT_POINTS="192.0.2.1, 192.0.2.2",
        BALANCEBOOK_LOCAL_DC="dc9",
        BALANCEBOOK_USERNAME="other",
        BALANCEBOOK_PASSWORD="not read here",
        BALANCEBOOK_GATEWAY_URL="http://192.0.2.3:80",
        BALANCEBOOK_GRACE_S="2.5",
    )
    assert profile.contact_points == ("192.0.2.1", "192.0.2.2")
    assert (profile.local_dc, profile.username, profile.grace_s) == ("dc9", "other", 2.5)
    assert gateway_of(profile).url == "http://192.0.2.3:80"
    assert profile.password is not None
    assert profile.password.value == "BALANCEBOOK_PASSWORD"


@pytest.mark.parametrize(
    ("old", "new", "parameter", "says"),
    [
        ("local_dc", "locl_dc", "locl_dc", "Did you mean local_dc"),
        ('local_dc = "dc1"\n', "", "local_dc", "Write below [profiles.prod]: local_dc ="),
        ('["10.0.0.1", "10.0.0.2"]', "[]", "contact_points", "at least 1"),
        ("https://gateway.example:8443", "file:///etc", "gateway.url", "http:// or https://"),
        ('registry = "assets.toml"', "", "registry", "registry is missing"),
        ("[profiles.prod.gateway]\nurl", "[profiles.prod.gateway]\nurll", "gateway.urll", "Did you mean url"),
        ("default_profile", "default_profil", "default_profil", "unknown key"),
        *[
            ("[profiles.prod.gateway]", f"[profiles.prod.limits]\n{line}\n[profiles.prod.gateway]", key, says)
            for line, key, says in [
                ("floor_rows_per_s = 0", "limits.floor_rows_per_s", "greater than 0"),
                ("floor_rows_per_s = 0.5", "limits.floor_rows_per_s", "integer"),
                (
                    "floor_rows_per_second = 1",
                    "limits.floor_rows_per_second",
                    "Did you mean floor_rows_per_s",
                ),
                ("balance_p99_ms = inf", "limits.balance_p99_ms", "finite"),
            ]
        ],
    ],
)
def test_a_bad_key_is_named_with_its_remedy(
    tmp_path: Path, old: str, new: str, parameter: str, says: str
) -> None:
    assert old in PROFILE
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, PROFILE.replace(old, new))
    assert caught.value.parameter == parameter
    assert says in str(caught.value)
    assert caught.value.remedy


def test_an_unknown_profile_suggests_a_known_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, name="prd")
    assert caught.value.suggestion == "prod"


def test_a_plain_password_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, PROFILE.replace("env:BALANCES_PASSWORD", "hunter2secret"))
    assert "by reference" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_read_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    monkeypatch.setenv("BALANCES_PASSWORD", "from the environment")
    for reference, value in {
        "env:BALANCES_PASSWORD": "from the environment",
        f"file:{secret}": "from a file",
        "command:printf '%s by %s' made command": "made by command",
    }.items():
        profile = load(tmp_path, PROFILE.replace("env:BALANCES_PASSWORD", reference))
        assert profile.secrets() == (value,)
        assert value not in repr(profile)


def test_a_secret_file_is_found_from_the_profile_not_from_where_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.chdir(tmp_path / "below")
    profile = load(tmp_path, PROFILE.replace("env:BALANCES_PASSWORD", "file: secret"))
    assert profile.secrets() == ("from a file",)


@pytest.mark.parametrize(
    "reference", ["env:NOT_SET_ANYWHERE", "file:/does/not/exist", "command:false", "command:nope"]
)
def test_a_secret_that_cannot_be_read_says_so(tmp_path: Path, reference: str) -> None:
    profile = load(tmp_path, PROFILE.replace("env:BALANCES_PASSWORD", reference))
    with pytest.raises(SettingsError):
        profile.secrets()


@pytest.mark.parametrize("text", ["x = ", "profiles = 3", "[profiles.embedded]\nport = 1\n", "\udcff"])
def test_a_file_that_is_no_profile_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "balancebook.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError):
        load_profile(env={}, cwd=tmp_path)


def test_retargeting_keeps_the_rest(tmp_path: Path) -> None:
    profile = load(tmp_path)
    other = retarget(profile, keyspace="Trading", view="v2", gateway_url="http://localhost:1")
    assert (other.keyspace, other.view, gateway_of(other).url) == ("Trading", "v2", "http://localhost:1")
    assert other.contact_points == profile.contact_points
    assert retarget(profile) == profile


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("keyspace", ""),
        ("keyspace", 'x"; DROP'),
        ("view", "a" * 49),
        ("view", "ä"),
        ("gateway_url", "localhost:3001"),
        ("gateway_url", "http://127.0.0.1:99999"),
    ],
)
def test_retargeting_refuses_what_is_no_name(tmp_path: Path, parameter: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        retarget(load(tmp_path), **{parameter: value})
    assert caught.value.parameter == parameter


def test_a_missing_named_config_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no file"):
        load_profile(env={"BALANCEBOOK_CONFIG": os.fspath(tmp_path / "x.toml")})


def test_the_second_demo_exchange_has_a_profile_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "server.json").write_text(json.dumps({"host": "127.0.0.2", "port": 12345}))
    profile = load_profile("embedded_wallets", env={"BALANCEBOOK_STATE": str(tmp_path)}, cwd=tmp_path)
    assert (profile.keyspace, profile.embedded, profile.port) == ("wallets", True, 12345)
    assert (profile.ledger.account, profile.ledger.held, profile.ledger.delta_held) == ("owner", None, None)
    assert dict(profile.ledger.types)["trade_out"] == "trade_debit"
    assert profile.registry.by_id("xbt") is not None
    assert profile.view_definition is not None
    assert profile.view_definition.is_file()


@pytest.mark.parametrize("name", ["embedded", "embedded_wallets"])
def test_a_demo_s_profile_name_is_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / "balancebook.toml").write_text(f"[profiles.{name}]\nkeyspace = 'x'\n")
    with pytest.raises(SettingsError, match=f"'{name}' is taken"):
        load_profile(env={}, cwd=tmp_path)


KEYS_REFUSED = [
    ("", 'local_dc = ""', "local_dc"),
    ("", 'contact_points = [""]', "contact_points"),
    ("", 'contact_points = ["10.0.0.1:9042"]', "contact_points"),
    ("", 'contact_points = "10.0.0.1"', "contact_points"),
    ("", 'keyspace = ""', "keyspace"),
    ("", 'keyspace = "a.b"', "keyspace"),
    ("", 'view = "v; DROP"', "view"),
    ("", 'username = ""', "username"),
    ("", "port = 99999", "port"),
    ("", "grace_s = inf", "grace_s"),
    ("", "grace_s = 0", "grace_s"),
    ("", "grace_s = nan", "grace_s"),
    ("", 'view_definition = "gone.cql"', "view_definition"),
    ("", 'view_definition = ""', "view_definition"),
    ("", 'registry = ""', "registry"),
    ("", "registry = 3", "registry"),
    (".limits", "connect_timeout_s = inf", "limits.connect_timeout_s"),
    (".limits", "request_timeout_s = 1e12", "limits.request_timeout_s"),
    (".limits", "balance_p99_ms = inf", "limits.balance_p99_ms"),
    (".limits", "max_rows = 0", "limits.max_rows"),
    (".gateway", 'url = "http://h"\ntimeout_s = inf', "gateway.timeout_s"),
    (".gateway", "", "gateway.url"),
    (".gateway", 'url = "http://h"\n[profiles.p.gateway.fields]\navailable = "frozen"', "gateway.fields"),
    (".ledger", 'held = "avail"', "ledger"),
    (".ledger", 'asset = "user_id"', "ledger"),
    (".ledger", 'type = "reference"\nreference = "reference"', "ledger"),
    (".ledger.types", 'Deposit = "deposits"', "ledger.types"),
    (".ledger.types", "", "ledger.types"),
    (".trades", 'table = ""', "trades.table"),
    (".trades", 'buyer = "seller_id"', "trades"),
    (".tls", 'ca = "assets.toml"', "tls.ca"),
    (".tls", 'ca = ""', "ca"),
    (".tls", "", "tls.ca"),
    *((".ledger", f'{role} = ""', f"ledger.{role}") for role in ("account", "asset", "order", "available")),
    *((".ledger", f'{role} = " x"', f"ledger.{role}") for role in ("held", "type", "reference", "time")),
    *((".trades", f'{role} = ""', f"trades.{role}") for role in TradesSchema.model_fields if role != "table"),
]
PLAIN = """
default_profile = "p"
[profiles.p]
contact_points = ["10.0.0.1"]
local_dc = "dc1"
registry = "assets.toml"
"""


@pytest.mark.parametrize(("table", "lines", "key"), KEYS_REFUSED)
def test_what_would_fail_later_is_refused_when_loaded(
    tmp_path: Path, table: str, lines: str, key: str
) -> None:
    own = lines.partition(" =")[0]
    text = "\n".join(line for line in PLAIN.splitlines() if table or line.partition(" =")[0] != own)
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, f"{text}\n" + (f"[profiles.p{table}]\n" if table else "") + lines)
    assert (caught.value.parameter or "").startswith(key)
    assert caught.value.remedy
    assert str(caught.value).isprintable()


def test_a_ledger_may_be_ordered_by_its_time(tmp_path: Path) -> None:
    profile = load(tmp_path, f'{PLAIN}[profiles.p.ledger]\norder = "at"\ntime = "at"\nheld = ""\n')
    assert (profile.ledger.order, profile.ledger.time, profile.ledger.held) == ("at", "at", None)


def test_a_profile_without_a_gateway(tmp_path: Path) -> None:
    profile = load(tmp_path, PLAIN)
    assert profile.gateway is None
    assert profile.secrets() == profile.readable_secrets() == ()
    assert gateway_of(retarget(profile, gateway_url="http://h:1")).balance_path
    assert gateway_of(load(tmp_path, PLAIN, BALANCEBOOK_GATEWAY_URL="http://h:2")).url == "http://h:2"


@pytest.mark.parametrize("value", ["3", "[]", '""', "true"])
def test_a_default_profile_that_is_no_name(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="default_profile"):
        load(tmp_path, PLAIN.replace('default_profile = "p"', f"default_profile = {value}"))


def test_every_key_has_a_default_or_lines_to_write_that_work(tmp_path: Path) -> None:
    """The lines of the messages alone, one after another, make a profile that loads."""
    (tmp_path / "cluster-ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    path, written = tmp_path / "balancebook.toml", {"": [], ".tls": [], ".gateway": []}  # type: ignore[var-annotated]
    named: set[str] = set()
    for _ in range(10):
        path.write_text("\n".join("\n".join([f"[profiles.p{at}]", *lines]) for at, lines in written.items()))
        try:
            profile = load_profile("p", env={}, cwd=tmp_path)
            break
        except SettingsError as error:
            refused = error
        if "cannot be read" in refused.message:
            (tmp_path / "assets.toml").write_text(ASSETS_LINE)
            continue
        table, line = re.fullmatch(
            r"Write below \[profiles\.p([.a-z]*)\]: ([^,]*?|.*\])(?:, and into that file: .*)?",
            refused.remedy,
        ).groups()  # type: ignore[union-attr]
        named.add(str(refused.parameter))
        written[table].append(line)
    assert named == set(REQUIRED)
    assert profile.registry.by_symbol("BTC")
    tables: dict[str, type[BaseModel]] = {"": Profile, "gateway.": GatewaySettings, "tls.": Tls}
    tables |= {"gateway.fields.": GatewayFields, "ledger.": LedgerSchema, "trades.": TradesSchema}
    tables |= {"limits.": Limits}
    without = {
        f"{at}{key}"
        for at, model in tables.items()
        for key, of in model.model_fields.items()
        if of.is_required()
    }
    assert without - {"name"} == set(REQUIRED)


@pytest.mark.parametrize(
    "line", ['symbol = ""', 'id = ""', "decimals = -1", "shown = 9", 'symbol = "a\\u001bb"', ""]
)
def test_an_asset_that_cannot_be_shows_one_that_can(tmp_path: Path, line: str) -> None:
    entry = {"id": "id = 1", "symbol": 'symbol = "BTC"', "decimals": "decimals = 8", "shown": "shown = 3"}
    entry = entry | {line.split(" ", maxsplit=1)[0]: line} if line else {"id": "id = 1"}
    path = tmp_path / "bad.toml"
    path.write_text("[[assets]]\n" + "\n".join(entry.values()))
    with pytest.raises(SettingsError) as caught:
        load_registry(path)
    path.write_text(caught.value.remedy.removeprefix("Write into it: "))
    assert load_registry(path).by_symbol("BTC")


def test_the_demo_s_profiles_pin_views_before_the_file_is_there(tmp_path: Path) -> None:
    text = PLAIN + 'view_definition = "view of it.cql"\n'
    with pytest.raises(SettingsError, match=r"balancebook view pin --to 'view of it.cql'"):
        load(tmp_path, text)
    assert load_profile(env={}, cwd=tmp_path, without_definition=True).view_definition is None
