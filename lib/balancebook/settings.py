"""Loading a profile: one table of `balancebook.toml`, with BALANCEBOOK_* variables laid over its connection.

Nothing here opens a connection, and no file holds a secret: profiles refer to them (see balancebook.profile).
"""

from __future__ import annotations

import difflib
import json
import os
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from balancebook.assets import Asset, Registry
from balancebook.gateway_settings import GatewayFields, GatewaySettings
from balancebook.profile import LedgerSchema, Limits, Profile, Secret, SettingsError, Tls, TradesSchema
from balancebook.profile_parts import IDENTIFIER

__all__ = [
    "GatewayFields",
    "GatewaySettings",
    "LedgerSchema",
    "Limits",
    "Profile",
    "Secret",
    "SettingsError",
    "Tls",
    "find_config",
    "load_profile",
    "load_registry",
    "retarget",
    "state_dir",
]

CONFIG_NAME = "balancebook.toml"
STATE_NAME = ".balancebook"
EMBEDDED, EMBEDDED_WALLETS = "embedded", "embedded_wallets"
_DEMO_FOLDER = Path(__file__).parent / "demo"
BUILT_IN = {EMBEDDED: _DEMO_FOLDER, EMBEDDED_WALLETS: _DEMO_FOLDER / "wallets"}
"""The profiles of the demo's exchanges, and the folder of each: both are in the embedded database."""


def find_config(env: Mapping[str, str] = os.environ, cwd: Path | None = None) -> Path | None:
    """The profile file: BALANCEBOOK_CONFIG, else the nearest balancebook.toml at or above the working folder."""
    if named := env.get("BALANCEBOOK_CONFIG"):
        path = Path(named).expanduser().absolute()
        if not path.is_file():
            raise SettingsError(
                f"BALANCEBOOK_CONFIG names {named}, which is no file.", "Correct or unset it."
            )
        return path
    found = _nearest(CONFIG_NAME, cwd)
    return found if found and found.is_file() else None


def state_dir(env: Mapping[str, str] = os.environ, cwd: Path | None = None) -> Path:
    """The folder of all state (absolute): BALANCEBOOK_STATE, else `.balancebook` beside the profile file,
    else the nearest existing one at or above the working folder, else one in the working folder."""
    if named := env.get("BALANCEBOOK_STATE"):
        return Path(named).expanduser().absolute()
    config = find_config(env, cwd)
    if config:
        return config.parent / STATE_NAME
    return _nearest(STATE_NAME, cwd) or (cwd or Path.cwd()) / STATE_NAME


def _nearest(name: str, cwd: Path | None) -> Path | None:
    start = (cwd or Path.cwd()).absolute()
    return next((folder / name for folder in (start, *start.parents) if (folder / name).exists()), None)


def load_profile(
    name: str | None = None,
    *,
    env: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
    without_definition: bool = False,
) -> Profile:
    """The profile `name`, else BALANCEBOOK_PROFILE, else the file's `default_profile`, else the embedded database.

    `without_definition`: leave out view_definition, for the command that writes that file. Raises SettingsError, naming
    the key and a likely intended one, for anything that cannot be used.
    """
    config = find_config(env, cwd)
    document = _read_toml(config) if config else {}
    profiles = _profiles(document, config)
    default = document.get("default_profile", EMBEDDED)
    if not isinstance(default, str) or not default:
        raise SettingsError(
            f"{config}: default_profile is not the name of a profile.",
            f'Write default_profile = "{next(iter(profiles), EMBEDDED)}".',
            parameter="default_profile",
        )
    name = name or env.get("BALANCEBOOK_PROFILE") or default
    if name in BUILT_IN:
        folder = BUILT_IN[name]
        table = _embedded_table(folder, env, cwd)
    elif name in profiles and config:
        table, folder = dict(profiles[name]), config.parent
    else:
        known = [*profiles, *BUILT_IN]
        raise SettingsError(
            f"There is no profile {name!r}{f' in {config}' if config else ''}; known: {', '.join(known)}.",
            "Name one of these, or add it to balancebook.toml.",
            parameter="profile",
            suggestion=_close(name, known),
        )
    if without_definition:
        table.pop("view_definition", None)
    return _validated(name, _overridden(table, env, embedded=name in BUILT_IN), folder, _sources(env))


def _profiles(document: Mapping[str, Any], config: Path | None) -> dict[str, Any]:
    for key in document:
        if key not in ("default_profile", "profiles"):
            raise SettingsError(
                f"{config}: unknown key {key!r}.",
                "A profile is a table [profiles.NAME].",
                parameter=key,
                suggestion=_close(key, ["default_profile", "profiles"]),
            )
    profiles = document.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        raise SettingsError(f"{config}: `profiles` is not a table of tables.", "Write [profiles.NAME].")
    for taken in BUILT_IN.keys() & profiles.keys():
        raise SettingsError(
            f"{config}: the profile name {taken!r} is taken by the demo.", "Choose another name."
        )
    return profiles


def _embedded_table(folder: Path, env: Mapping[str, str], cwd: Path | None) -> dict[str, Any]:
    """A demo's own profile, with the addresses that the running server and gateway left in the state folder."""
    table = _read_toml(folder / "profile.toml")
    state = state_dir(env, cwd)
    server = _read_state(state / "server" / "server.json")
    if server:
        table |= {"contact_points": [server["host"]], "port": server["port"]}
    elif "BALANCEBOOK_PORT" in env:
        table["port"] = env["BALANCEBOOK_PORT"]
    gateway = _read_state(state / "gateway" / "gateway.json")
    if gateway:
        table["gateway"] |= {"url": gateway["url"]}
    elif "BALANCEBOOK_GATEWAY_PORT" in env:
        table["gateway"] |= {"url": f"http://127.0.0.1:{env['BALANCEBOOK_GATEWAY_PORT']}"}
    return table | {"embedded": True}


def _read_state(path: Path) -> dict[str, Any] | None:
    try:
        state = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} cannot be read: {error}.", "Run `balancebook down`, then `balancebook up`."
        ) from error
    return state if isinstance(state, dict) else None


def _overridden(table: dict[str, Any], env: Mapping[str, str], *, embedded: bool) -> dict[str, Any]:
    """The table with the BALANCEBOOK_* variables laid over it; those of the connection do not move the demo."""
    if gateway := env.get("BALANCEBOOK_GATEWAY_URL"):
        table["gateway"] = {**_table(table, "gateway"), "url": gateway}
    if grace := env.get("BALANCEBOOK_GRACE_S"):
        table["grace_s"] = grace
    if embedded:
        return table
    if points := env.get("BALANCEBOOK_CONTACT_POINTS"):
        table["contact_points"] = [point.strip() for point in points.split(",") if point.strip()]
    for key in ("local_dc", "username"):
        if value := env.get(f"BALANCEBOOK_{key.upper()}"):
            table[key] = value
    if "BALANCEBOOK_PASSWORD" in env:
        table["password"] = "env:BALANCEBOOK_PASSWORD"
    return table


def _table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise SettingsError(f"{key} is not a table.", f"Write [profiles.NAME.{key}].", parameter=key)
    return found


def _sources(env: Mapping[str, str]) -> dict[str, str]:
    """Key -> the variable that its value is from, for a message that blames the right one."""
    variables = {
        "gateway.url": ("BALANCEBOOK_GATEWAY_URL", "BALANCEBOOK_GATEWAY_PORT"),
        "grace_s": ("BALANCEBOOK_GRACE_S",),
        "contact_points": ("BALANCEBOOK_CONTACT_POINTS",),
        "local_dc": ("BALANCEBOOK_LOCAL_DC",),
        "username": ("BALANCEBOOK_USERNAME",),
        "port": ("BALANCEBOOK_PORT",),
    }
    found = {key: [name for name in names if env.get(name)] for key, names in variables.items()}
    return {key: names[0] for key, names in found.items() if names}


def _validated(name: str, table: dict[str, Any], folder: Path, sources: Mapping[str, str]) -> Profile:
    registry = table.pop("registry", None)
    if not isinstance(registry, str) or not registry:
        what = "is missing" if registry is None else "is not a path"
        raise SettingsError(
            f"Profile {name!r}: registry {what}.",
            f"{_lines(name, 'registry')}, and into that file: {ASSETS}",
            parameter="registry",
        )
    table["registry"] = load_registry(folder / Path(registry).expanduser())
    _resolve_paths(table, folder)
    try:
        profile = Profile.model_validate({"name": name, **table})
    except ValidationError as error:
        raise _settings_error(name, error, sources) from error
    if profile.tls:
        _require_pem(profile.tls)
    return profile


def _require_pem(tls: Tls) -> None:
    import ssl  # noqa: PLC0415 (20 ms, which a profile without TLS need not wait for)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    key, path = "tls.ca", tls.ca
    try:
        context.load_verify_locations(tls.ca)
        if tls.cert:
            key, path = "tls.cert", tls.cert
            # Without a password of its own OpenSSL would ask for one at the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{key}: {path} cannot be used: {error.strerror or error}.",
            "Give PEM files: tls.ca, and tls.cert with its unencrypted tls.key if the server asks for them.",
            parameter=key,
        ) from error


def _resolve_paths(table: dict[str, Any], folder: Path) -> None:
    """Paths are as seen from the profile file, wherever the command runs."""
    if "password" in table:
        table["password"] = _resolved_secret(table["password"], folder)
    gateway = table.get("gateway")
    if isinstance(gateway, dict) and isinstance(gateway.get("headers"), dict):
        headers = {name: _resolved_secret(value, folder) for name, value in gateway["headers"].items()}
        table["gateway"] = gateway | {"headers": headers}
    tls = table.get("tls")
    held_in = [(table, "view_definition")]
    held_in += [(tls, key) for key in ("ca", "cert", "key")] if isinstance(tls, dict) else []
    for holder, key in held_in:
        if isinstance(holder.get(key), str):
            given = holder[key]
            holder[key] = folder / Path(given).expanduser()
            if not holder[key].is_file():
                remedy = "Correct the path."
                if key == "view_definition" and not holder[key].exists():
                    remedy = (
                        f"Write it by `balancebook view pin --to {shlex.quote(given)}`, or correct the path."
                    )
                raise SettingsError(f"{key}: {holder[key]} is not a file.", remedy, parameter=key)


def _resolved_secret(reference: object, folder: Path) -> object:
    kind, _, secret = str(reference).partition(":")
    found = kind == "file" and secret.strip()
    return f"file:{folder / Path(secret.strip()).expanduser()}" if found else reference


def _settings_error(name: str, error: ValidationError, sources: Mapping[str, str]) -> SettingsError:
    """The worst of pydantic's complaints, as one line; the rejected value is never repeated (it may be a secret)."""
    complaints = error.errors(include_input=False, include_url=False)
    # A misspelt key also leaves its right spelling missing: the misspelling is the better news.
    first = min(complaints, key=lambda complaint: complaint["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        suggestion = _close(str(first["loc"][-1]), _known_keys(key.rpartition(".")[0]))
        hint = f"Did you mean {suggestion}?" if suggestion else "Remove it."
        return SettingsError(
            f"Profile {name!r}: unknown key {key}.", hint, parameter=key, suggestion=suggestion
        )
    if first["type"] == "missing":
        return SettingsError(f"Profile {name!r}: {key} is missing.", _lines(name, key), parameter=key)
    variable = next((each for of, each in sources.items() if key == of or key.startswith(f"{of}.")), None)
    return SettingsError(
        f"Profile {name!r}: {key}: {first['msg'].removeprefix('Value error, ')}.",
        f"Correct or unset {variable}." if variable else "Correct it in the profile.",
        parameter=key,
    )


REQUIRED = {
    "contact_points": 'contact_points = ["10.0.0.11"]',
    "local_dc": 'local_dc = "datacenter1"',
    "registry": 'registry = "assets.toml"',
    "tls.ca": 'ca = "cluster-ca.pem"',
    "gateway.url": 'url = "http://127.0.0.1:3001"',
}
"""The keys without a default, each with a line to write; those of a table only where the table is there."""
ASSETS = 'assets = [{id = 1, symbol = "BTC", decimals = 8, shown = 3}]'
"""A registry's file, with one of its assets."""


def _lines(name: str, key: str) -> str:
    if key not in REQUIRED:
        return "Write it in the profile."
    table = ".".join(["profiles", name, *key.split(".")[:-1]])
    return f"Write below [{table}]: {REQUIRED[key]}"


def _known_keys(table: str) -> list[str]:
    nested: dict[str, type[BaseModel]] = {
        "tls": Tls,
        "gateway": GatewaySettings,
        "gateway.fields": GatewayFields,
        "ledger": LedgerSchema,
        "trades": TradesSchema,
        "limits": Limits,
    }
    return list(nested.get(table, Profile).model_fields)


def retarget(
    profile: Profile, *, keyspace: str | None = None, view: str | None = None, gateway_url: str | None = None
) -> Profile:
    """The profile pointed at another keyspace, view or gateway; None keeps the profile's own.

    Raises SettingsError, with the notebook's parameter name, for a name or URL that cannot be one.
    """
    for parameter, name in (("keyspace", keyspace), ("view", view)):
        if name is not None and not IDENTIFIER.fullmatch(name):
            raise SettingsError(
                f"{parameter} {name[:60]!r} is not a CQL name.",
                "Give 1 to 48 letters, digits or _, as stored (case matters, no quotes).",
                parameter=parameter,
            )
    changes: dict[str, object] = {k: v for k, v in (("keyspace", keyspace), ("view", view)) if v is not None}
    if gateway_url is not None:
        try:
            changes["gateway"] = GatewaySettings(**{**dict(profile.gateway or {}), "url": gateway_url})
        except ValidationError as error:
            why = error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
            # Not repeated: it may hold a password.
            raise SettingsError(
                f"gateway_url is not an address: {why}.", "Write http://HOST:PORT.", parameter="gateway_url"
            ) from None
    return profile.model_copy(update=changes)


def load_registry(path: Path) -> Registry:
    """The assets of a TOML file: tables [[assets]] with id, symbol, decimals, shown. Raises SettingsError."""
    entries = _read_toml(path).get("assets")
    if not isinstance(entries, list) or not entries:
        raise SettingsError(f"{path} lists no assets.", f"Write into it: {ASSETS}", parameter="registry")
    try:
        return Registry(tuple(Asset(**entry) for entry in entries))
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"{path}: {_why(error)}.", f"Write into it: {ASSETS}", parameter="registry"
        ) from error


def _why(error: TypeError | ValueError) -> str:
    """The first complaint on an asset, in one line."""
    if not isinstance(error, ValidationError):
        return "an entry of [[assets]] is not a table"
    first = error.errors(include_input=False, include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    return f"{key}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read: {getattr(error, 'strerror', error)}.",
            "Check the path and its permissions.",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no valid TOML: {error}.", "Correct the line it names.") from error


def _close(word: str, known: list[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, n=1)), None)
