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
from blogworker.providers.answer import at, header, object_of, objects, sendable, words
from blogworker.providers.answer import code as a_code
from blogworker.providers.connect import NotAllowed
from blogworker.providers.transport import parsed
from blogworker.providers.wix.auth import DEFAULT_WAIT_S, PASSING, PROVIDER, UNREADABLE, Tokens
from blogworker.settings import WixSettings

Params = Mapping[str, str | int | Sequence[str]]
Before = Callable[[], Awaitable[object]]  # done when the call's turn has come, right before it is sent
CATALOG = "CATALOG_V"  # a shop being set up, or moved between catalogs: both pass
PROVISIONING, PROVISIONING_S = "PROVISIONING", 10.0
CONSISTENT = "X-Wix-Consistent"
INSTANCE = "/apps/v1/instance"
FIXED = frozenset(
    ["publish", "fieldsets", "mimeType", "mediaType", "query", "query.filter", "query.paging", "query.sort", "sort",
     "paging", "paging.limit", "draftPost.commentingEnabled", "draftPost.media.displayed", "draftPost.media.custom"]
)  # fmt: skip


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
            where = parsed(url)
        except NotAllowed as error:
            raise http.lost(error, provider=PROVIDER) from error
        request = self._wire.build_request(
            "PUT", where, content=data, params=params, headers={"Content-Type": content_type}
        )
        answer = await self._send(instance_id, request, repeatable=True, before=before)
        if answer.is_success:
            return object_of(answer.content) or {}
        failure = refusal(answer.status_code, answer.content, answer.headers)
        if isinstance(failure, SiteUnavailable | Misconfigured):  # about the upload address, which is for one file
            kind = Unavailable if 300 <= answer.status_code < 400 else Rejected  # after a redirect, ask for another
            raise kind(failure.args[0], provider=PROVIDER, status=failure.status, request_id=failure.request_id)
        raise failure

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
            if (seen := sendable(answer.headers, CONSISTENT)) is not None:
                self._consistent[instance_id] = seen
            return answer

        answer = await answered()
        if answer.status_code == 401:
            answer = await answered()
        if answer.status_code == 401:
            raise await self._shut_out(answer, instance_id, path)
        if not answer.is_success:
            raise refusal(answer.status_code, answer.content, answer.headers)
        return read(answer.content, answer.headers, repeatable=repeatable)

    async def _shut_out(self, answer: httpx2.Response, instance_id: str, path: str) -> SiteUnavailable:
        """Why a fresh token was refused: the app is gone from the site, or may not do this one thing there."""
        installed = path != INSTANCE
        if installed:
            try:
                await self.get(instance_id, INSTANCE)
            except SiteUnavailable:
                installed = False
        what = f"the app may not use {path} on this site" if installed else "the app is no longer installed"
        code = _code(object_of(answer.content) or {})
        return SiteUnavailable(what, provider=PROVIDER, status=401, code=code, request_id=_id(answer.headers))

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
                raise refusal(answer.status_code, answer.content, answer.headers)
        return answer


def read(content: bytes, headers: Mapping[str, str], *, repeatable: bool) -> dict[str, Any]:
    """The body of a 2xx. One that breaks off says nothing: to read it as empty would find no draft where there is one,
    no shop, and no owner."""
    if (body := object_of(content)) is not None:
        return body
    kind = Unavailable if repeatable else OutcomeUnknown
    raise kind("the answer is not a JSON object", provider=PROVIDER, code=UNREADABLE, request_id=_id(headers))


def refusal(status: int, content: bytes, headers: Mapping[str, str]) -> ProviderError:
    """The error of an answer that is neither 2xx nor 401."""
    body = object_of(content) or {}
    code = _code(body)
    said = http.safe(_explanation(body) or http.said(status))
    if status == 403:
        said = f"the app lacks a permission on this site, its owner has to grant it: {said}"
    kind = Misconfigured if _ours(status, body) else _kind(status, code)
    failure = kind(said, provider=PROVIDER, status=status, code=code, request_id=_id(headers))
    if isinstance(failure, RateLimited):
        wait_s = http.named_wait_s(headers, said)
        default_s = DEFAULT_WAIT_S if status == 429 else PROVISIONING_S
        failure.after(default_s if wait_s is None else wait_s)
    return failure


def _ours(status: int, body: Mapping[str, Any]) -> bool:
    """Whether the refusal is about the protocol, or a field that is the same in every call of its kind."""
    fields = {words(violation.get("field")) for violation in _violations(body)}
    return status in http.REFUSED_PROTOCOL or (status in http.REFUSED_INPUT and not fields.isdisjoint(FIXED))


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
        case _ if status in PASSING:
            return Unavailable
        case _:
            return Unavailable if status >= 500 or status < 400 else Rejected


def _violations(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return objects(at(body, "details", "validationError", "fieldViolations"))


def _code(body: Mapping[str, Any]) -> str | None:
    return a_code(at(body, "details", "applicationError", "code"))


def _explanation(body: Mapping[str, Any]) -> str:
    """Wix's message, with each field it objects to."""
    faults = [
        f"{words(violation.get('field'))}: {words(violation.get('description') or violation.get('violatedRule'))}"
        for violation in _violations(body)
    ]
    told = body.get("message") or at(body, "details", "applicationError", "description")
    return "; ".join(filter(None, [words(told), *faults]))


def _id(headers: Mapping[str, str]) -> str | None:
    return header(headers, "x-wix-request-id")
