"""Signatures as in Standard Webhooks 1.0: HMAC-SHA256 over the id, the time and the body of a message.

The secret of an endpoint is derived from a key in the settings and the id of the endpoint. So the database holds no
secret: neither a reader of it nor a dump can sign. An endpoint that was removed and added again has another secret.
"""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from pydantic import SecretStr

PREFIX = "whsec_"
PURPOSE = "blogworker webhook "


def secrets_of(keys: SecretStr | None, webhook_id: UUID) -> list[bytes]:
    """Return the secrets of an endpoint, one per key, the newest first."""
    if keys is None:
        return []
    purpose = f"{PURPOSE}{webhook_id}".encode()
    return [hmac.digest(key.encode(), purpose, sha256) for key in keys.get_secret_value().split(",")]


def shown(secret: bytes) -> str:
    """Return a secret in the form that libraries of Standard Webhooks take."""
    return PREFIX + b64encode(secret).decode()


def signed_headers(secrets: Sequence[bytes], *, message_id: UUID, sent_at: int, body: bytes) -> dict[str, str]:
    """Return the three headers. `sent_at`: seconds since 1970. Several secrets make several signatures."""
    content = f"{message_id}.{sent_at}.".encode() + body
    headers = {"webhook-id": str(message_id), "webhook-timestamp": str(sent_at)}
    if secrets:
        signatures = (b64encode(hmac.digest(secret, content, sha256)).decode() for secret in secrets)
        headers["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
    return headers
