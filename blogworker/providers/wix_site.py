"""One call to one Wix site: its token, its turn, and what a refusal means: for the job, the site, or nobody at all.

Wix counts every call to a site against one quota, so each waits for the site's turn: queries, polls, second tries. A
429 is raised inside the turn, where whoever hands out turns hears of it.

What Wix gives as `X-Wix-Consistent` with an answer goes back with the site's next call, which then sees what was
written.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx2
from anyio import fail_after

from blogworker.errors import (
    Misconfigured,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Rejected,
    SiteUnavailable,
    Unavailable,
)
from blogworker.providers import http
from blogworker.providers.connect import NotAllowed
from blogworker.providers.transport import address
from blogworker.providers.wix_auth import DEFAULT_WAIT_S, PROVIDER, Tokens, body_of
from blogworker.settings import WixSettings

Params = Mapping[str, str | int | Sequence[str]]
Before = Callable[[], Awaitable[object]]  # done when the call's turn has come, right before it is sent
CATALOG = "CATALOG_V"  # a shop being set up, or moved between catalogs: both pass
PROVISIONING, PROVISIONING_S = "PROVISIONING", 10.0
CONSISTENT = "X-Wix-Consistent"
INSTANCE = "/apps/v1/instance"


class WixSites:
    """Calls as the app, on behalf of any site that has it installed."""

    def __init__(self, settings: WixSettings, wire: httpx2.AsyncClient, *, pace: http.SitePace) -> None:
        self._settings = settings
        self._wire = wire
        self._pace = pace
        self._tokens = Tokens(settings, wire, pace=pace)
        self._consistent: dict[str, str] = {}

    async def get(self, instance_id: str, path: str, *, params: Params | None = None) -> dict[str, Any]:
        return await self._call(instance_id, "GET", path, params=params, repeatable=True)

    async def post(
        self,
        instance_id: str,
        path: str,
        *,
        body: Mapping[str, Any],
        repeatable: bool = False,
        before: Before | None = None,
    ) -> dict[str, Any]:
        """`repeatable`: a query, or an act that done twice is done once."""
        return await self._call(instance_id, "POST", path, body=body, repeatable=repeatable, before=before)

    async def put(
        self, instance_id: str, url: str, *, data: bytes, content_type: str, params: Params, before: Before | None
    ) -> dict[str, Any]:
        """Send a file to an upload address, which carries its own permission."""
        try:
            where = address(url)
        except NotAllowed as error:
            raise http.lost(error, provider=PROVIDER) from error
        request = self._wire.build_request(
            "PUT", where, content=data, params=params, headers={"Content-Type": content_type}
        )
        answer = await self._send(instance_id, request, repeatable=True, before=before)
        if answer.is_success:
            return body_of(answer)
        refusal = _refusal(answer)
        if isinstance(refusal, SiteUnavailable):  # it speaks of the address, which is good for one file and a while
            raise Rejected(refusal.args[0], provider=PROVIDER, status=refusal.status, request_id=refusal.request_id)
        if isinstance(refusal, Misconfigured):  # of the same address: a redirect
            raise Unavailable(refusal.args[0], provider=PROVIDER, status=refusal.status, request_id=refusal.request_id)
        raise refusal

    async def _call(
        self,
        instance_id: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Mapping[str, Any] | None = None,
        repeatable: bool,
        before: Before | None = None,
    ) -> dict[str, Any]:
        async def answered() -> httpx2.Response:
            token = await self._tokens.get(instance_id)
            headers = {"Authorization": f"Bearer {token}"}
            if (seen := self._consistent.get(instance_id)) is not None:
                headers[CONSISTENT] = seen
            request = self._wire.build_request(method, path, params=params, json=body, headers=headers)
            answer = await self._send(instance_id, request, repeatable=repeatable, before=before)
            if answer.status_code == 401:
                self._tokens.forget(instance_id, token)
            if (seen := answer.headers.get(CONSISTENT)) is not None:
                self._consistent[instance_id] = seen
            return answer

        answer = await answered()
        if answer.status_code == 401:
            answer = await answered()
        if answer.status_code == 401:
            raise await self._shut_out(answer, instance_id, path)
        if not answer.is_success:
            raise _refusal(answer)
        return _read(answer, repeatable=repeatable)

    async def _shut_out(self, answer: httpx2.Response, instance_id: str, path: str) -> SiteUnavailable:
        """Why a fresh token was refused: the app is gone from the site, or may not do this one thing there."""
        installed = path != INSTANCE
        if installed:
            try:
                await self.get(instance_id, INSTANCE)
            except SiteUnavailable:
                installed = False
        what = f"the app may not use {path} on this site" if installed else "the app is no longer installed"
        return SiteUnavailable(what, provider=PROVIDER, status=401, code=_code(body_of(answer)), request_id=_id(answer))

    async def _send(
        self, instance_id: str, request: httpx2.Request, *, repeatable: bool, before: Before | None
    ) -> httpx2.Response:
        """The answer, had in the site's turn. Raises RateLimited when the turn is far off, and for a 429."""
        async with self._pace(instance_id):
            if before is not None:
                await before()
            try:
                with fail_after(self._settings.timeout):
                    answer = await self._wire.send(request)
            except (TimeoutError, *http.TransportError) as error:
                raise http.lost(error, provider=PROVIDER, repeatable=repeatable) from error
            if answer.status_code == 429:
                raise _refusal(answer)
        return answer


def _read(answer: httpx2.Response, *, repeatable: bool) -> dict[str, Any]:
    """The body of a 2xx. One that breaks off says nothing: to read it as empty would find no draft where there is one,
    no shop, and no owner."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    kind = Unavailable if repeatable else OutcomeUnknown
    raise kind("the answer is no JSON object", provider=PROVIDER, code="unreadable", request_id=_id(answer))


def _refusal(answer: httpx2.Response) -> ProviderError:
    """The error of an answer that is none of 2xx and 401."""
    body, status = body_of(answer), answer.status_code
    code = _code(body)
    said = http.safe(_explanation(body) or http.said(status))
    if status == 403:
        said = f"the app lacks a permission on this site, its owner has to grant it: {said}"
    failure = _kind(status, code)(said, provider=PROVIDER, status=status, code=code, request_id=_id(answer))
    if isinstance(failure, RateLimited):
        wait_s = http.named_wait_s(answer.headers, said)
        default_s = DEFAULT_WAIT_S if status == 429 else PROVISIONING_S
        failure.after(default_s if wait_s is None else wait_s)
    return failure


def _kind(status: int, code: str | None) -> type[ProviderError]:
    if code is not None and code.endswith("NOT_INSTALLED"):
        return SiteUnavailable
    match status:
        case 429:
            return RateLimited
        case 428 if PROVISIONING in (code or ""):
            return RateLimited
        case 428:
            return Unavailable if CATALOG in (code or "") else SiteUnavailable
        case 403:
            return SiteUnavailable
        case _ if 300 <= status < 400:
            return Misconfigured
        case 408:
            return Unavailable
        case _:
            return Unavailable if status >= 500 or status < 400 else Rejected


def _details(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = body.get("details")
    found = details.get(name) if isinstance(details, dict) else None
    return found if isinstance(found, dict) else {}


def _code(body: Mapping[str, Any]) -> str | None:
    code = _details(body, "applicationError").get("code")
    return str(code) if code else None


def _explanation(body: Mapping[str, Any]) -> str:
    """Wix's message, with each field it objects to."""
    violations = _details(body, "validationError").get("fieldViolations")
    faults = [
        f"{violation.get('field')}: {violation.get('description') or violation.get('violatedRule')}"
        for violation in (violations if isinstance(violations, list) else [])
        if isinstance(violation, dict)
    ]
    said = body.get("message") or _details(body, "applicationError").get("description") or ""
    return "; ".join(filter(None, [str(said), *faults]))


def _id(answer: httpx2.Response) -> str | None:
    return answer.headers.get("x-wix-request-id")
