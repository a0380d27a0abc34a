"""Which proxy a call goes through, by the environment."""

from collections.abc import Iterator

import pytest

from blogworker.addresses import Origin
from blogworker.errors import SettingsError
from blogworker.proxies import Proxies
from blogworker.settings import load

VARIABLES = [name for base in ("http", "https", "all", "no") for name in (f"{base}_proxy", f"{base}_proxy".upper())]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://h.example", None),
        ({"HTTPS_PROXY": "http://p:3128"}, "https://h.example", "http://p:3128"),
        ({"HTTPS_PROXY": "p:3128"}, "https://h.example", "http://p:3128"),
        ({"https_proxy": "https://u:p%40ss@p"}, "https://h.example", "https://u:p%40ss@p"),
        ({"https_proxy": "http://small", "HTTPS_PROXY": "http://large"}, "https://h.example", "http://small"),
        ({"HTTPS_PROXY": "http://p"}, "http://h.example", None),
        ({"HTTP_PROXY": "http://p"}, "https://h.example", None),
        ({"ALL_PROXY": "http://all", "HTTP_PROXY": "http://p"}, "https://h.example", "http://all"),
        ({"ALL_PROXY": "http://all", "HTTP_PROXY": "http://p"}, "http://h.example", "http://p"),
        (
            {"ALL_PROXY": "socks5://all", "HTTP_PROXY": "http://p", "HTTPS_PROXY": "http://q"},
            "https://h.example",
            "http://q",
        ),
        *(({"ALL_PROXY": "http://p"}, f"http://{host}:8400", None) for host in ("127.0.0.1", "localhost", "[::1]")),
    ],
)
def test_the_environment_names_the_proxy(environment, url, proxy, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert Proxies.of_environment().for_origin(Origin.of(url)) == proxy


@pytest.mark.parametrize(
    ("entry", "exempt", "served"),
    [
        ("*", ["https://h.example", "https://10.0.0.1"], []),
        ("x.example", ["https://x.example", "https://a.x.example", "https://x.example.:8443"], ["https://ax.example"]),
        (".x.example", ["https://a.x.example"], ["https://x.example", "https://x.example.com"]),
        ("*.x.example", ["https://a.x.example"], ["https://x.example"]),
        ("X.Example", ["https://x.example"], []),
        ("x.example.", ["https://x.example", "https://a.x.example."], ["https://ax.example"]),
        ("x.example:8443", ["https://x.example:8443"], ["https://x.example"]),
        ("10.0.0.1", ["https://10.0.0.1"], ["https://10.0.0.11", "https://110.0.0.1"]),
        ("10.0.0.1:444", ["https://10.0.0.1:444"], ["https://10.0.0.1"]),
        ("10.0.0.0/8", ["https://10.1.2.3"], ["https://11.0.0.1", "https://x.example"]),
        ("fd00::/8", ["https://[fd00::1]"], ["https://[fe00::1]"]),
        ("[fd00::1]:444", ["https://[fd00::1]:444"], ["https://[fd00::1]"]),
        ("fd00::1", ["https://[fd00::1]"], ["https://[fd00::2]"]),
        ("a.example, ,b.example", ["https://a.example", "https://b.example"], ["https://c.example"]),
        (":444", [], ["https://x.example"]),
        ("10.0.0.0/99", [], ["https://10.0.0.1"]),
    ],
)
def test_no_proxy_exempts_hosts_domains_and_networks(entry, exempt, served, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://p")
    monkeypatch.setenv("NO_PROXY", entry)
    proxies = Proxies.of_environment()

    assert [url for url in (*exempt, *served) if proxies.for_origin(Origin.of(url)) is None] == exempt


@pytest.mark.parametrize("value", ["socks5://p:1080", "http://", "http://p:99999", "http://p:0", "http://[::1", "é:1"])
def test_an_unusable_proxy_is_reported_when_settings_are_read(value, monkeypatch):
    """In one line, without its password."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("HTTPS_PROXY", value.replace("//", "//u:hunter2@", 1))

    with pytest.raises(SettingsError, match=r"^HTTPS_PROXY: must be http://host:port or https://host:port$"):
        load()
