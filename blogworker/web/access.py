"""Access: who calls, what the caller may do, and how often.

Programs send `Authorization: Bearer TOKEN`. The dashboard keeps the token in a cookie that scripts cannot read and that
browsers send only from its own pages. A form repeats a value derived from the token, so no other site can submit it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from math import ceil
from time import monotonic

from anyio import Event
from starlette.requests import Request

from blogworker.db.pool import Database
from blogworker.ops.audit import act_as
from blogworker.ops.tokens import Principal, Scope, find_token, is_well_formed, note_use
from blogworker.web.problems import Problem, bad_request

COOKIE = "blogworker_session"
BEARER = re.compile(r"bearer +([\x21-\x7e]+) *", re.IGNORECASE)
REMEMBERED_S = 2.0  # after this time a revoked token is refused
MOST_REMEMBERED = 10_000
REFUSALS_A_MINUTE = 120  # wrong tokens of one address
LOOKUPS_A_MINUTE = 600  # of its wrong tokens in the database
NOTED_EVERY_S = 60.0
WRONG_TOKENS = "too many wrong tokens from this address"


@dataclass(slots=True)
class Allowance:
    """A token bucket in memory: `a_minute` requests, of which a quarter may come at once."""

    a_minute: float
    left: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self._most
        self.at = monotonic()

    @property
    def _most(self) -> float:
        return max(1.0, self.a_minute / 4)

    def take(self, now: float) -> float:
        """Take one request. Return 0, or the seconds until the next one is allowed."""
        wait_s = self.wait_s(now)
        if not wait_s:
            self.left -= 1
        return wait_s

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next request is allowed, and take nothing."""
        self.left = min(self._most, self.left + (now - self.at) * self.a_minute / 60)
        self.at = now
        return max(0.0, (1 - self.left) * 60 / self.a_minute)


class Gatekeeper:
    """Recognises callers. It remembers tokens for two seconds, so a busy producer costs one lookup in that time."""

    def __init__(self, database: Database, *, rpm: int, clock: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._rpm = rpm
        self._clock = clock
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._under_way: dict[bytes, Event] = {}  # lookups
        self._noted: dict[int, float] = {}
        self._allowances: dict[int, Allowance] = {}
        self._refusals: dict[str, Allowance] = {}
        self._lookups: dict[str, Allowance] = {}

    async def principal(self, token: str, *, address: str) -> Principal:
        """Return who has the token. Raises Problem 401, or 429 when the caller or its address calls too often."""
        if not is_well_formed(token):
            raise self._refused(address)
        key = sha256(token.encode()).digest()
        principal = await self._recognised(key, token, address)
        now = self._clock()
        allowance = self._allowances.get(principal.token_id)
        if allowance is None:
            allowance = _bounded(self._allowances)[principal.token_id] = Allowance(self._rpm)
        if wait_s := allowance.take(now):
            raise _too_many(wait_s, f"this token allows {self._rpm:,} requests per minute")
        if self._noted.get(principal.token_id, -NOTED_EVERY_S) <= now - NOTED_EVERY_S:
            _bounded(self._noted)[principal.token_id] = now
            try:
                await note_use(self._database, principal)
            except BaseException:  # also when the client leaves
                self._noted.pop(principal.token_id, None)
                raise
        return principal

    async def _recognised(self, key: bytes, token: str, address: str) -> Principal:
        """Remember who has the token, or look it up: once for all requests that come with it at the same time."""
        while True:
            found = self._known.get(key)
            if found is not None and found[0] > self._clock():
                return found[1]
            if (under_way := self._under_way.get(key)) is None:
                break
            await under_way.wait()
        done = self._under_way[key] = Event()
        try:
            now = self._clock()
            principal = await self._found(token, address, was_valid=found is not None)
            if principal is None:
                self._known.pop(key, None)
                raise self._refused(address)
            until = now + min(REMEMBERED_S, principal.expires_in_s or REMEMBERED_S)
            _bounded(self._known)[key] = (until, principal)
            return principal
        finally:
            del self._under_way[key]
            done.set()

    async def _found(self, token: str, address: str, *, was_valid: bool) -> Principal | None:
        """Look a token up in the database. Raises Problem 429 for an address with very many wrong tokens; only wrong
        ones count, once they are known to be wrong, and one that was valid is always looked up."""
        allowance = self._lookups.get(address)
        if allowance is None:
            allowance = _bounded(self._lookups)[address] = Allowance(LOOKUPS_A_MINUTE)
        if not was_valid and (wait_s := allowance.wait_s(self._clock())):
            raise _too_many(wait_s, WRONG_TOKENS)
        principal = await find_token(self._database, token)
        if principal is None:
            allowance.left -= 1
        return principal

    def _refused(self, address: str) -> Problem:
        """Return 401, or 429 for an address with many wrong tokens. A valid token never gets here: behind a proxy all
        callers have the same address."""
        found = self._refusals.get(address)
        if found is None:
            found = _bounded(self._refusals)[address] = Allowance(REFUSALS_A_MINUTE)
        if wait_s := found.take(self._clock()):
            return _too_many(wait_s, WRONG_TOKENS)
        return unauthorized("the token is wrong, expired or revoked: see `blogworker tokens`")


def _bounded(memory: dict) -> dict:  # type: ignore[type-arg]
    """Return the dictionary, emptied when it is full: what it remembers can be found again."""
    if len(memory) >= MOST_REMEMBERED:
        memory.clear()
    return memory


def _too_many(wait_s: float, why: str) -> Problem:
    return Problem(429, f"{why}: wait {ceil(wait_s)} s", headers={"Retry-After": str(ceil(wait_s))})


def unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="blogworker"'})


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def caller(request: Request, *scopes: Scope) -> Principal:
    """Return who sends a bearer token with one of the scopes. Raises Problem 401, 403 or 429."""
    header = request.headers.get("authorization")
    if header is None:
        raise unauthorized("send `Authorization: Bearer TOKEN`; `blogworker tokens create` makes a token")
    found = BEARER.fullmatch(header)
    token = found[1] if found else ""
    principal: Principal = await request.app.state.gatekeeper.principal(token, address=_address(request))
    require(principal, *scopes)
    act_as(principal.name, "http")
    return principal


def require(principal: Principal, *scopes: Scope) -> None:
    """Raise Problem 403 unless the token has one of the scopes."""
    if scopes and not any(map(principal.may, scopes)):
        raise Problem(403, f"the token {principal.name!r} lacks the scope {' or '.join(scopes)}")


def require_all_sites(principal: Principal) -> None:
    """Raise Problem 403 for a token that is bound to some sites."""
    if principal.instance_ids is not None:
        raise Problem(403, f"the token {principal.name!r} is bound to some sites; this needs one for all sites")


def site_of(principal: Principal, asked: str | None) -> str | None:
    """Return the site of a request: the one that is asked for, else the only one of the token, else None.

    Raises Problem 403 for another site than those of the token, and 400 if it has several and none is asked for.
    """
    if asked is not None:
        if not principal.may_see(asked):
            raise Problem(403, f"the token {principal.name!r} is not for site {asked!r:.220}")
        return asked
    if principal.instance_ids is None:
        return None
    if len(principal.instance_ids) > 1:
        raise bad_request("the token is for several sites: say which, as instanceId of a body or site of a query")
    return next(iter(principal.instance_ids))


async def visitor(request: Request) -> Principal | None:
    """Return who is logged in to the dashboard; None: nobody."""
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    try:
        found: Principal = await request.app.state.gatekeeper.principal(token, address=_address(request))
    except Problem as problem:
        if problem.status == 401:
            return None
        raise
    return found


def form_key(request: Request) -> str:
    """Return the value that forms of this session repeat."""
    return sha256(f"form/{request.cookies.get(COOKIE, '')}".encode()).hexdigest()


def is_own_form(request: Request, key: str) -> bool:
    """Return whether a form was sent by our own page."""
    return compare_digest(key.encode(), form_key(request).encode())
