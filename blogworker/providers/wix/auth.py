"""Access tokens: one per site, valid for four hours.

A token request waits for quota like other calls to the site. Wix does not document whether it counts these requests;
they are one per 3.2 hours and worker. After a 429 the other jobs of the site wait too, because they need a token.

Concurrent jobs of a site share one request. A token is replaced after four fifths of its life; while Wix cannot be
reached, the old one is used until it expires. There is no refresh token: a new token is requested with the credentials
of the app.

A refusal has two possible causes: the site removed the app, or the credentials are wrong for all sites. So the first
refusal of a site waits for a moment. If several sites are refused and no token is granted in between, the credentials
are wrong.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from anyio import Lock, current_time, sleep

from blogworker.errors import Misconfigured, ProviderError, RateLimited, SiteUnavailable, Unavailable
from blogworker.providers import answer, http
from blogworker.redact import SECRETS
from blogworker.settings import WixSettings
from blogworker.telemetry import tracing

PROVIDER = "wix"
UNREADABLE = "unreadable"  # the code of a response that lacks a required field
FRESH_PART = 0.8  # of the life of a token
DEFAULT_LIFE_S = 14_400.0
LONGEST_LIFE_S = 86_400.0  # a longer one is not plausible
SITES_IN_A_ROW = 3  # refused, with no token granted in between: more than would remove the app at the same time
RECENT_S = 600.0
REFUSAL_WAIT_S = 1.0  # how long a refusal waits for refusals of other sites
TOKEN = re.compile(r"[!-~]{1,16000}")  # it is used in a header
OUR_CREDENTIALS = ("invalid_client", "unauthorized_client", "unsupported_grant_type")
TRANSIENT = (408, 425)
DEFAULT_WAIT_S = 60.0  # the quota of a site is per minute, and its 429 names no wait


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    stale_at: float  # by the clock of the event loop
    expires_at: float


class Tokens:
    """The tokens of every site this process has served."""

    def __init__(self, settings: WixSettings, wire: httpx2.AsyncClient, *, pace: http.SitePace) -> None:
        self._settings = settings
        self._wire = wire
        self._pace = pace
        self._tokens: dict[str, Token] = {}
        self._locks: dict[str, Lock] = {}
        self._refused: dict[str, float] = {}  # site -> time of its refusal, since the last granted token

    async def get(self, instance_id: str) -> str:
        """Return a valid token. Raises SiteUnavailable if Wix refuses one for this site."""
        if (token := self._fresh(instance_id)) is not None:
            return token
        async with self._locks.setdefault(instance_id, Lock()):
            if (token := self._fresh(instance_id)) is None:  # otherwise another job has fetched it while we waited
                token = await self._renewed(instance_id)
        return token

    def forget(self, instance_id: str, value: str) -> None:
        """Forget a token that Wix refused, unless another job has replaced it already."""
        token = self._tokens.get(instance_id)
        if token is not None and token.value == value:
            del self._tokens[instance_id]
            SECRETS.forget_token(value)

    def _fresh(self, instance_id: str) -> str | None:
        token = self._tokens.get(instance_id)
        return token.value if token is not None and current_time() < token.stale_at else None

    async def _renewed(self, instance_id: str) -> str:
        old = self._tokens.get(instance_id)
        try:
            async with self._pace(instance_id):
                self._tokens[instance_id] = await self._fetch(instance_id)
            if old is not None:
                SECRETS.forget_token(old.value)
        except (Unavailable, RateLimited):
            if old is None or current_time() >= old.expires_at:
                raise
            return old.value
        except SiteUnavailable as error:
            await self._check_credentials(instance_id, error)
            raise
        self._refused.clear()
        return self._tokens[instance_id].value

    async def _check_credentials(self, instance_id: str, error: SiteUnavailable) -> None:
        """Raise Misconfigured if the credentials are wrong. Returns if the refusal concerns only this site."""
        known = self._refused.get(instance_id, -RECENT_S) > current_time() - RECENT_S
        self._refused[instance_id] = current_time()
        if not known:
            await sleep(REFUSAL_WAIT_S)
        refused = [site for site, at in self._refused.items() if at > current_time() - RECENT_S]
        if len(refused) >= SITES_IN_A_ROW:
            message = f"Wix refused a token for {len(refused)} sites in a row: check WIX_APP_ID and WIX_APP_SECRET"
            raise Misconfigured(
                f"{message}; {error.args[0]}",
                provider=PROVIDER,
                status=error.status,
                code=error.code,
                request_id=error.request_id,
            ) from error

    async def _fetch(self, instance_id: str) -> Token:
        secret = self._settings.app_secret
        if secret is None:
            raise Misconfigured("WIX_APP_SECRET is not set", provider=PROVIDER)
        requested_at = current_time()
        grant = {
            "grant_type": "client_credentials",
            "client_id": self._settings.app_id,
            "client_secret": secret.get_secret_value(),
            "instance_id": instance_id,
        }
        try:
            with tracing.call(PROVIDER, "POST oauth2/token"):
                granted = await self._wire.post("/oauth2/token", json=grant)
        except http.TransportError as error:
            raise http.lost(error, provider=PROVIDER, repeatable=True) from error
        token = token_of(granted.status_code, granted.content, granted.headers, requested_at=requested_at)
        SECRETS.learn_token(token.value)
        return token


def token_of(status: int, body: bytes, headers: Mapping[str, str], *, requested_at: float) -> Token:
    """Return the granted token. Raises the error for a refusal."""
    content = answer.object_of(body) or {}
    value = content.get("access_token")
    if status != 200 or not isinstance(value, str) or not TOKEN.fullmatch(value):
        raise _refusal(status, content, headers)
    life_s = _life_s(content.get("expires_in"))
    return Token(value, requested_at + FRESH_PART * life_s, requested_at + life_s)


def _life_s(expires_in: object) -> float:
    """Return how long the token is valid; the default if the response has no plausible number."""
    life_s = answer.number(expires_in)
    return life_s if life_s is not None and 0 < life_s < LONGEST_LIFE_S else DEFAULT_LIFE_S


def _refusal(status: int, content: Mapping[str, Any], headers: Mapping[str, str]) -> ProviderError:
    code = answer.code(content.get("error"))
    code = http.safe(code) if code else None
    explained = answer.words(content.get("error_description")) or answer.words(content.get("message"))
    message = http.safe(explained or http.status_message(status))
    request_id = answer.header(headers, "x-wix-request-id")
    if status == 429:
        limited = RateLimited(message, provider=PROVIDER, status=status, code=code, request_id=request_id)
        wait_s = http.named_wait_s(headers, message)
        return limited.after(DEFAULT_WAIT_S if wait_s is None else wait_s)
    if status >= 500 or status < 300 or status in TRANSIENT:
        return Unavailable(f"no token: {message}", provider=PROVIDER, status=status, code=code, request_id=request_id)
    # A redirect: the base URL is wrong.
    ours = status < 400 or code in OUR_CREDENTIALS or status in http.REFUSED_PROTOCOL
    kind = Misconfigured if ours else SiteUnavailable
    return kind(f"token refused: {message}", provider=PROVIDER, status=status, code=code, request_id=request_id)
