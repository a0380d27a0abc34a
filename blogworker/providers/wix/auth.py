"""Access tokens, one a site, each good for four hours.

A token is asked for in the site's turn. Wix does not say that it counts these calls; they are one in 3.2 hours of a
worker, and a 429 then holds up the site's other jobs, which could not get a token either.

A token is fetched once for all who want it, used for four fifths of its life, then replaced; while Wix cannot be
reached, the old one serves to its end. There is no refresh token: the app's own credentials ask again.

A refusal says little: of a site that removed the app, or of credentials that are wrong for all. So the first refusal of
a site is held back for a moment. Where several sites are refused and none is granted a token between them, it is the
credentials.
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

PROVIDER = "wix"
UNREADABLE = "unreadable"  # the code of an answer that lacks what it is to tell
FRESH_PART = 0.8  # of a token's life
DEFAULT_LIFE_S = 14_400.0
LONGEST_LIFE_S = 86_400.0  # that is believed
SITES_IN_A_ROW = 3  # refused, none granted between them: not all of them have removed the app just now
LATELY_S = 600.0
HOLD_S = 1.0  # how long a refusal waits for those of other sites
TOKEN = re.compile(r"[!-~]{1,16000}")  # it goes into a header
OUR_CREDENTIALS = ("invalid_client", "unauthorized_client", "unsupported_grant_type")
PASSING = (408, 425)
DEFAULT_WAIT_S = 60.0  # the quota of a site is counted by the minute, and its 429 names no wait


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    stale_at: float  # on the event loop's clock
    dead_at: float


class Tokens:
    """The tokens of every site this process has served."""

    def __init__(self, settings: WixSettings, wire: httpx2.AsyncClient, *, pace: http.SitePace) -> None:
        self._settings = settings
        self._wire = wire
        self._pace = pace
        self._held: dict[str, Token] = {}
        self._locks: dict[str, Lock] = {}
        self._refused: dict[str, float] = {}  # sites since the last token that was granted, and when

    async def get(self, instance_id: str) -> str:
        """A token that is good now. Raises SiteUnavailable when Wix refuses one for this site."""
        if (token := self._fresh(instance_id)) is not None:
            return token
        async with self._locks.setdefault(instance_id, Lock()):
            if (token := self._fresh(instance_id)) is None:  # else another has fetched it while we waited
                token = await self._renewed(instance_id)
        return token

    def forget(self, instance_id: str, value: str) -> None:
        """Wix refused this one. A newer one, had by somebody else meanwhile, stays."""
        held = self._held.get(instance_id)
        if held is not None and held.value == value:
            del self._held[instance_id]
            SECRETS.forget_token(value)

    def _fresh(self, instance_id: str) -> str | None:
        held = self._held.get(instance_id)
        return held.value if held is not None and current_time() < held.stale_at else None

    async def _renewed(self, instance_id: str) -> str:
        old = self._held.get(instance_id)
        try:
            async with self._pace(instance_id):
                self._held[instance_id] = await self._fetch(instance_id)
            if old is not None:
                SECRETS.forget_token(old.value)
        except (Unavailable, RateLimited):
            if old is None or current_time() >= old.dead_at:
                raise
            return old.value
        except SiteUnavailable as error:
            await self._judge(instance_id, error)
            raise
        self._refused.clear()
        return self._held[instance_id].value

    async def _judge(self, instance_id: str, error: SiteUnavailable) -> None:
        """Return when it is the site. Raises Misconfigured when it is the credentials."""
        known = self._refused.get(instance_id, -LATELY_S) > current_time() - LATELY_S
        self._refused[instance_id] = current_time()
        if not known:
            await sleep(HOLD_S)
        refused = [site for site, at in self._refused.items() if at > current_time() - LATELY_S]
        if len(refused) >= SITES_IN_A_ROW:
            told = f"no site gets a token, {len(refused)} were refused in a row: check WIX_APP_ID and WIX_APP_SECRET"
            raise Misconfigured(
                f"{told}; {error.args[0]}",
                provider=PROVIDER,
                status=error.status,
                code=error.code,
                request_id=error.request_id,
            ) from error

    async def _fetch(self, instance_id: str) -> Token:
        secret = self._settings.app_secret
        if secret is None:
            raise Misconfigured("WIX_APP_SECRET is not set", provider=PROVIDER)
        asked_at = current_time()
        grant = {
            "grant_type": "client_credentials",
            "client_id": self._settings.app_id,
            "client_secret": secret.get_secret_value(),
            "instance_id": instance_id,
        }
        try:
            granted = await self._wire.post("/oauth2/token", json=grant)
        except http.TransportError as error:
            raise http.lost(error, provider=PROVIDER, repeatable=True) from error
        token = token_of(granted.status_code, granted.content, granted.headers, asked_at=asked_at)
        SECRETS.learn_token(token.value)
        return token


def token_of(status: int, body: bytes, headers: Mapping[str, str], *, asked_at: float) -> Token:
    """The token that was granted. Raises the error that a refusal means."""
    told = answer.object_of(body) or {}
    value = told.get("access_token")
    if status != 200 or not isinstance(value, str) or not TOKEN.fullmatch(value):
        raise _refusal(status, told, headers)
    life_s = _life_s(told.get("expires_in"))
    return Token(value, asked_at + FRESH_PART * life_s, asked_at + life_s)


def _life_s(told: object) -> float:
    """Seconds that the token is valid; the default if the answer has no plausible number."""
    life_s = answer.number(told)
    return life_s if life_s is not None and 0 < life_s < LONGEST_LIFE_S else DEFAULT_LIFE_S


def _refusal(status: int, told: Mapping[str, Any], headers: Mapping[str, str]) -> ProviderError:
    code = answer.code(told.get("error"))
    code = http.safe(code) if code else None
    explained = answer.words(told.get("error_description")) or answer.words(told.get("message"))
    said = http.safe(explained or http.said(status))
    request_id = answer.header(headers, "x-wix-request-id")
    if status == 429:
        limited = RateLimited(said, provider=PROVIDER, status=status, code=code, request_id=request_id)
        wait_s = http.named_wait_s(headers, said)
        return limited.after(DEFAULT_WAIT_S if wait_s is None else wait_s)
    if status >= 500 or status < 300 or status in PASSING:
        return Unavailable(f"no token: {said}", provider=PROVIDER, status=status, code=code, request_id=request_id)
    # A redirect: the base URL is wrong.
    ours = status < 400 or code in OUR_CREDENTIALS or status in http.REFUSED_PROTOCOL
    kind = Misconfigured if ours else SiteUnavailable
    return kind(f"token refused: {said}", provider=PROVIDER, status=status, code=code, request_id=request_id)
