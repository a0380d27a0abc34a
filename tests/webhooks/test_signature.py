"""Signatures: the reference vector of Standard Webhooks, and secrets that differ where they must."""

from base64 import b64decode
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from blogworker.errors import SettingsError
from blogworker.redact import SECRETS
from blogworker.section import load_section
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks.signature import secrets_of, shown, signed_headers

ID = UUID("00000000-0000-0000-0000-000000000001")


def test_the_reference_vector() -> None:
    headers = signed_headers(
        [b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",  # type: ignore[arg-type]
        sent_at=1614265330,
        body=b'{"test": 2432232314}',
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_endpoint_and_each_key_has_its_own_secret() -> None:
    keys = [SecretStr("a" * 32), SecretStr("b" * 32)]
    found = {secrets_of(key, each)[0] for key in keys for each in (ID, uuid4())}

    assert len(found) == 4
    assert all(len(secret) == 32 for secret in found)
    assert shown(next(iter(found))).startswith("whsec_")
    assert "a" * 32 not in shown(secrets_of(keys[0], ID)[0])


def test_a_short_key_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOGWORKER_WEBHOOK_KEY", "g" * 40 + ",short-one")

    with pytest.raises(SettingsError, match="BLOGWORKER_WEBHOOK_KEY: a key has at least 32 characters") as refused:
        load_section(WebhookSettings)

    assert "short-one" not in str(refused.value)


@pytest.mark.parametrize(
    "value", ['{"chat": "ftp://x"}', '{"chat": "https://u:p@x/"}', '["x"]', "{", '{"chat": "https://x/a?b c"}']
)
def test_wrong_addresses_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BLOGWORKER_WEBHOOK_URLS", value)

    with pytest.raises(SettingsError, match="BLOGWORKER_WEBHOOK_URLS: "):
        load_section(WebhookSettings)


def test_an_address_is_hidden_in_texts_but_not_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "BLOGWORKER_WEBHOOK_URLS", '{"chat": "https://hooks.slack.com/services/T0001/B0002/abcdefghijkl"}'
    )
    settings = load_section(WebhookSettings)

    text = SECRETS.hide(
        "cannot reach https://hooks.slack.com/services/T0001/B0002/abcdefghijkl of https://www.wix.com/x"
    )

    assert "abcdefgh" not in text
    assert "https://hooks.slack.com" in text
    assert "https://www.wix.com/x" in text
    assert "abcdefgh" not in repr(settings)
