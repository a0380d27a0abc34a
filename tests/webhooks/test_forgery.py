"""No endpoint makes a worker call a private network, whatever its name resolves to, and no error shows a secret."""

import socket
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr

from blogworker.providers import connect
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks.endpoints import Format, address_faults

from .conftest import KEY, Psql
from .receiver import receiving

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("promptly")]
PRIVATE = [
    "http://169.254.169.254/latest/meta-data",
    "https://169.254.169.254/",
    "https://168.63.129.16/",
    "https://10.0.0.1/",
    "https://192.168.1.1:8443/x",
    "https://[fd00::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://0x7f000001/",
    "https://127.1/",
    "https://2130706433/",
    "https://localhost/",
    "https://metadata.google.internal/",
    "https://intranet/",
    "http://127.0.0.1/",
    "http://example.com/",
    "https://user:pw@example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
]
STRICT = WebhookSettings(key=SecretStr(KEY), allow_loopback=False, timeout=1.0, _env_file=None)


@pytest.mark.parametrize("url", PRIVATE)
def test_an_address_that_no_worker_may_call_cannot_be_added(url: str) -> None:
    assert len(address_faults(url, Format.JSON, loopback=False)) == 1


def test_a_public_one_can_and_one_with_a_secret_cannot() -> None:
    assert address_faults("https://hooks.example.com:8443/a/b", Format.JSON, loopback=False) == []
    assert address_faults("http://127.0.0.1:8080/a", Format.JSON, loopback=True) == []
    assert "is a secret" in address_faults("https://hooks.slack.com/services/T/B/X", Format.SLACK, loopback=False)[0]
    assert "BLOGWORKER_WEBHOOK_URLS" in address_faults("https://example.com/?key=x", Format.JSON, loopback=False)[0]


async def test_a_row_that_was_written_by_hand_is_not_called_either(psql: Psql, delivering: Any) -> None:
    """An operator with SQL, or a reader of the database who became one, cannot read the metadata of the machine."""
    async with receiving() as receiver:
        for number, url in enumerate([*PRIVATE, receiver.url()]):
            await psql.hook(url, name=f"e{number}")
        await psql.fail(await psql.job())
        async with delivering(STRICT):
            await psql.until("select bool_and(failures > 0) from webhooks")

        assert receiver.received == []
    errors = [row["last_error"] for row in await psql.run("select last_error from webhooks")]
    assert all(error.startswith(("not allowed: ", "UnsupportedProtocol")) for error in errors), errors


async def test_a_name_that_resolves_to_a_private_address_is_not_called(
    psql: Psql, delivering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that is checked is the one that is connected to: a second look-up could give another."""
    asked: list[str] = []

    async def rebinding(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = ["127.0.0.1", "10.0.0.1", "169.254.169.254"][len(asked) % 3]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(connect, "getaddrinfo", rebinding)
    async with receiving() as receiver:
        await psql.hook(f"https://hooks.example.com:{receiver.port}/x")
        await psql.fail(await psql.job())
        async with delivering(STRICT):
            await psql.until("select failures >= 3 from webhooks")

        assert receiver.received == []
    assert "has no public address" in await psql.value("select last_error from webhooks")
    assert set(asked) == {"hooks.example.com"}


async def test_no_error_and_no_log_shows_a_secret_address(
    psql: Psql, delivering: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BLOGWORKER_WEBHOOK_URLS", '{"chat": "http://127.0.0.1:1/services/T0123/B0456/abcdefghijklmn"}')
    monkeypatch.setenv("BLOGWORKER_WEBHOOK_KEY", KEY)
    monkeypatch.setenv("BLOGWORKER_WEBHOOK_ALLOW_LOOPBACK", "true")
    from blogworker.section import load_section

    await psql.hook(None, name="chat", format="slack")
    await psql.fail(await psql.job())
    async with delivering(load_section(WebhookSettings)):
        await psql.until("select failures > 0 from webhooks")
    await anyio.lowlevel.checkpoint()

    stored = str(await psql.run("select to_jsonb(w) from webhooks as w")) + str(await psql.deliveries())
    shown = stored + "".join(capsys.readouterr())
    assert "webhook_failed" in shown
    assert "abcdefgh" not in shown
    assert KEY not in shown
