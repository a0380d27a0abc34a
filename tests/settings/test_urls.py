"""Addresses in settings: unusable or unencrypted ones are refused."""

import pytest

from blogworker.errors import SettingsError
from blogworker.section import load_section
from blogworker.settings import (
    DatabaseSettings,
)

from .variables import known


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2%zz@h/d",
        "postgresql://u:hunter2/x@h/d",
        "postgresql://u:p@hunter2@h/d",
        "hunter2",
        "host=h port=hunter2",
    ],
)
def test_a_wrong_url_is_refused_without_a_trace_of_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Neither in the message nor in what a traceback would print."""
    monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(SettingsError, match="DATABASE_URL: ") as caught:
        load_section(DatabaseSettings)

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss@h:6432/d?sslmode=require",
        "postgres://h/d",
        "postgresql://u@/d?host=/run/p@th&port=5433",
        "host=a,b port=5432,5433 dbname=d",
        "postgresql://u@a:1,b:2/d?target_session_attrs=primary",
        "dbname=d",
    ],
)
def test_whatever_libpq_understands_is_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    assert load_section(DatabaseSettings).url.get_secret_value() == url


BASE_URLS = pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "REPLICATE_BASE_URL", "WIX_BASE_URL"])


@BASE_URLS
@pytest.mark.parametrize("value", ["http://api.example.com", "http://10.0.0.1", "http://127.0.0.1.x"])
def test_a_key_is_not_sent_unencrypted_unless_a_setting_allows_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    allowed = name.replace("BASE_URL", "ALLOW_HTTP")
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=rf"^{name}: http:// would send the key.*{allowed}=true$"):
        load_section(known()[name][0])

    monkeypatch.setenv(allowed, "true")
    assert load_section(known()[name][0]).base_url == value


@BASE_URLS
@pytest.mark.parametrize(
    "value",
    ["http://127.0.0.1:8400/v1", "http://localhost", "http://[::1]:1", "http://127.3.2.1", "http://0.0.0.0:8400"],
)
def test_localhost_can_be_reached_unencrypted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    assert load_section(known()[name][0]).base_url == value


@BASE_URLS
@pytest.mark.parametrize(
    "value",
    [
        *(
            "https://h:99999",
            "https://h:0",
            "https://h:x",
            "https://[::1",
            "https://h h/",
            "https://h\\@g/",
            "https://h/\x00",
        ),
        *("https://u:hunter2@h", "https://hunter2@h", "https://@h", "https://h?hunter2", "https://h#hunter2"),
        *("https://-", "https://.", "https://..h", "https://a..b", "https://h\t.example", "https://\u212a.example"),
        *("https://%68.example", f"https://{'a' * 300}", "https://h/\u00e9"),
    ],
)
def test_an_ambiguous_base_url_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    section, field = known()[name]

    with pytest.raises(SettingsError) as caught:
        load_section(section, **{field: value})

    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@BASE_URLS
@pytest.mark.parametrize("value", ["api.example.com", "localhost:8400/v1", "https://", "ftp://h"])
def test_an_address_without_its_scheme_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A worker would start, and meet it as an outage of the provider."""
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}: must begin with https://"):
        load_section(known()[name][0])
