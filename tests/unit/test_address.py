"""Hosts and URLs: what is taken, and what a parser alone would take and must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from balancebook.config.address import checked_host, checked_url
from balancebook.gateway_settings import GatewaySettings
from balancebook.settings import SettingsError, load_profile, retarget

SECRET = "hunter2-of-the-url"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:3001",
        "https://gateway.internal",
        "HTTP://Gateway.Internal:65535",
        "http://[::1]:80",
        "https://[2001:db8::1]",
        "http://balance_gateway:1",
        "http://bücher.example",
        "http://xn--bcher-kva.example",
        "http://host.",
    ],
)
def test_an_address_of_a_gateway(url: str) -> None:
    assert checked_url(url) == url


REFUSED = [
    ("http://127.0.0.1:99999", "port"),
    ("http://127.0.0.1:65536", "port"),
    ("http://127.0.0.1:0", "port"),
    ("http://127.0.0.1:", "port"),
    ("http://127.0.0.1:+80", "port"),
    ("http://127.0.0.1:\uff18\uff10", "port"),
    ("http://[::1", "IPv6"),
    ("http://[::1]x", "IPv6"),
    ("http://[1.2.3.4]", "IPv6"),
    ("http://::1", "host"),
    ("http://%zz", "host"),
    ("http://a..b", "host"),
    ("http://-a.example", "host"),
    ("http://" + "a" * 64 + ".example", "host"),
    ("http://" + "a." * 127 + "aa", "host"),
    ("http://256.1.1.1", "IPv4"),
    ("http://1.2.3", "IPv4"),
    ("http://0x7f.1", "IPv4"),
    ("http://☃.example", "IDNA"),
    ("http://xn--a", "IDNA"),
    ("http://", "host"),
    ("http://host/path", "must end after host and port"),
    ("http://host?x=1", "must end after host and port"),
    ("http://host#x", "must end after host and port"),
    ("http://ho st", "space"),
    ("http://host\n", "space"),
    ("http://a\\b", "space"),
    ("ftp://host", "must begin with"),
    ("http:host", "must begin with"),
    ("127.0.0.1:3001", "must begin with"),
    ("", "must begin with"),
    (f"http://user:{SECRET}@host", "user name or password"),
    (f"http://{SECRET}@host:99999", "user name or password"),
]


@pytest.mark.parametrize(("url", "why"), REFUSED)
def test_what_is_no_address_of_a_gateway(url: str, why: str, tmp_path: Path) -> None:
    """As a parameter and in a profile: refused by name, and nothing of it repeated."""
    with pytest.raises(SettingsError) as as_parameter:
        retarget(load_profile("embedded", env={}, cwd=tmp_path), gateway_url=url)
    with pytest.raises(SettingsError) as in_profile:
        load_profile("embedded", env={"BALANCEBOOK_GATEWAY_URL": url or "x"}, cwd=tmp_path)
    for error, parameter in ((as_parameter.value, "gateway_url"), (in_profile.value, "gateway.url")):
        assert (error.exit_code, error.parameter) == (2, parameter)
        assert why in error.message
        assert SECRET not in str(error)


def test_a_variable_is_blamed_for_what_it_says(tmp_path: Path) -> None:
    env = {"BALANCEBOOK_GATEWAY_URL": "http://h:0"}
    with pytest.raises(SettingsError) as caught:
        load_profile("embedded", env=env, cwd=tmp_path)
    assert caught.value.remedy == "Correct or unset BALANCEBOOK_GATEWAY_URL."


def test_the_wrapped_port_of_old() -> None:
    """99999 modulo 2 ** 16: where the gateway's key went."""
    assert 99999 % 2**16 == 34463
    with pytest.raises(ValueError, match="port is not a number from 1 to 65535"):
        GatewaySettings(url="http://127.0.0.1:99999")


@pytest.mark.parametrize("host", ["10.0.0.1", "::1", "fe80::1%eth0", "db-1.internal", "cassandra_1"])
def test_a_host(host: str) -> None:
    assert checked_host(host) == host


@pytest.mark.parametrize("host", ["", " ", "a b", "10.0.0.1:9042", "db:9042", "10.0.0", "a..b", "[::1]"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match=r"is not an? "):
        checked_host(host)
