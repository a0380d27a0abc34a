"""The settings of webhooks and alerts: the signing key, and addresses that are secrets."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from blogworker.addresses import URL_CHARACTERS, web_address
from blogworker.redact import SECRETS
from blogworker.section import Secret, Section, from_json

SHORTEST_KEY = 32  # characters
AFTER_HOST = re.compile(r"^.*?://[^/?#]*[/?#]?")  # removed from an address; the rest is enough to send to it


def _long_enough(keys: SecretStr | None) -> SecretStr | None:
    """Refuse keys that can be guessed. Several, the newest first, are separated by commas."""
    if keys is not None and any(len(key) < SHORTEST_KEY for key in keys.get_secret_value().split(",")):
        raise ValueError(f"a key has at least {SHORTEST_KEY} characters, such as `openssl rand -hex 32` prints")
    return keys


def _secret_addresses(addresses: dict[str, str]) -> dict[str, str]:
    """Hide what follows the host of each address."""
    for name, address in addresses.items():
        SECRETS.learn(AFTER_HOST.sub("", address))
        plain, _, query = address.partition("?")
        try:
            web_address(plain)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if not URL_CHARACTERS.fullmatch(query or "-"):
            raise ValueError(f"{name}: a character is not allowed in a URL")
    return addresses


class WebhookSettings(Section):
    model_config = SettingsConfigDict(env_prefix="BLOGWORKER_WEBHOOK_")

    key: Annotated[Secret, AfterValidator(_long_enough)] = Field(
        None, description="signs deliveries; several are separated by commas, the newest first"
    )
    urls: Annotated[dict[str, str], NoDecode, BeforeValidator(from_json), AfterValidator(_secret_addresses)] = Field(
        {}, repr=False, description="addresses that are secrets, such as those of Slack, as JSON: name -> URL"
    )
    allow_loopback: bool = Field(default=False, description="allow endpoints on this machine, also without encryption")
    timeout: float = Field(10, gt=0, le=30, description="seconds one delivery may take")
    reminder: float = Field(
        14_400,
        ge=300,
        le=2_592_000,
        validation_alias="BLOGWORKER_ALERT_REMINDER",
        description="seconds until an alert is repeated",
    )
