"""One call to one Wix site: its token, its pacing, and the meaning of a refusal for the job, the site or all sites.

Wix counts every call to a site against one quota, so each call waits on `pace`: queries, polls and retries too. A 429
is raised inside the `pace` context, which reports it to the quota.

The header `X-Wix-Consistent` of a response is sent with the next call to the site, which then sees earlier writes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

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
from blogworker.providers.wix.auth import DEFAULT_WAIT_S, PROVIDER, TRANSIENT, UNREADABLE, Tokens
from blogworker.settings import WixSettings
from blogworker.telemetry import tracing

Params = Mapping[str, str | int | Sequence[str]]
Before = Callable[[], Awaitable[object]]  # awaited after the wait for quota, right before the call is sent
CATALOG = "CATALOG_V"  # a shop that is being created or migrated: a retry will succeed
PROVISIONING, PROVISIONING_S = "PROVISIONING", 10.0
CONSISTENT = "X-Wix-Consistent"
INSTANCE = "/apps/v1/instance"
WORDS = frozenset(
    ["apps", "blog", "categories", "draft-posts", "files", "generate-upload-url", "get-file-by-id", "import",
     "instance", "members", "posts", "products", "provision", "publish", "query", "site-media", "stores",
     "stores-reader", "tags", "v1", "v3", "version"]
)  # fmt: skip
FIXED = frozenset(
    ["publish", "fieldsets", "mimeType", "mediaType", "query", "query.filter", "query.paging", "query.sort", "sort",
     "paging", "paging.limit", "draftPost.commentingEnabled", "draftPost.media.displayed", "draftPost.media.custom"]
)  # fmt: skip


class WixSites:
    """Makes calls as the app, for any site that has it installed."""

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
        """`repeatable`: a query, or an idempotent call."""
        return await self._call(instance_id, "POST", path, body=body, repeatable=repeatable, before=before)

    async def put(
        self, instance_id: str, url: str, *, data: bytes, content_type: str, params: Params, before: Before | None
    ) -> dict[str, Any]:
        """Send a file to an upload address. The address is its own credential."""
        try:
            where = _with_params(parsed(url), params)
        except NotAllowed as error:
            raise http.lost(error, provider=PROVIDER) from error
        request = self._wire.build_request("PUT", where, content=data, headers={"Content-Type": content_type})
        answer = await self._send("PUT upload", instance_id, request, repeatable=True, before=before)
        if answer.is_success:
            return object_of(answer.content) or {}
        failure = refusal(answer.status_code, answer.content, answer.headers)
        if isinstance(failure, SiteUnavailable | Misconfigured):  # concerns the upload address of this file only
            kind = (
                Unavailable if 300 <= answer.status_code < 400 else Rejected
            )  # after a redirect, request another address
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
        async def send() -> httpx2.Response:
            token = await self._tokens.get(instance_id)
            headers = {"Authorization": f"Bearer {token}"}
            if (seen := self._consistent.get(instance_id)) is not None:
                headers[CONSISTENT] = seen
            request = self._wire.build_request(method, path, params=params, json=body, headers=headers)
            operation = operation_of(method, path)
            answer = await self._send(operation, instance_id, request, repeatable=repeatable, before=before)
            if answer.status_code == 401:
                self._tokens.forget(instance_id, token)
            if (seen := sendable(answer.headers, CONSISTENT)) is not None:
                self._consistent[instance_id] = seen
            return answer

        answer = await send()
        if answer.status_code == 401:
            answer = await send()
        if answer.status_code == 401:
            raise await self._unauthorized(answer, instance_id, path)
        if not answer.is_success:
            raise refusal(answer.status_code, answer.content, answer.headers)
        return read(answer.content, answer.headers, repeatable=repeatable)

    async def _unauthorized(self, answer: httpx2.Response, instance_id: str, path: str) -> SiteUnavailable:
        """Return why a new token was refused: the app was removed from the site, or lacks a permission."""
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
        self, operation: str, instance_id: str, request: httpx2.Request, *, repeatable: bool, before: Before | None
    ) -> httpx2.Response:
        """Send a request after the wait for quota. Raises RateLimited if the wait would be long, and for a 429."""
        async with self._pace(instance_id):
            if before is not None:
                await before()
            with tracing.call(PROVIDER, operation):
                try:
                    with fail_after(self._settings.timeout):
                        answer = await self._wire.send(request)
                except (TimeoutError, *http.TransportError) as error:
                    raise http.lost(error, provider=PROVIDER, repeatable=repeatable) from error
                if answer.status_code == 429:
                    raise refusal(answer.status_code, answer.content, answer.headers)
        return answer


def _with_params(url: httpx2.URL, params: Params) -> httpx2.URL:
    """Return the URL with those parameters that it lacks. Its own query is kept as it is written: it may be signed."""
    missing = urlencode({name: value for name, value in params.items() if name not in url.params})
    return url.copy_with(query=b"&".join(filter(None, [url.query, missing.encode()])))


def operation_of(method: str, path: str) -> str:
    """Return the name of a call in traces and metrics: its path without the ids."""
    return f"{method} {'/'.join(part if part in WORDS else '{id}' for part in path.split('/')[1:])}"


def read(content: bytes, headers: Mapping[str, str], *, repeatable: bool) -> dict[str, Any]:
    """Return the body of a 2xx. A truncated body raises: an empty result would mean that a draft, a shop or an owner
    does not exist."""
    if (body := object_of(content)) is not None:
        return body
    kind = Unavailable if repeatable else OutcomeUnknown
    raise kind("the response is not a JSON object", provider=PROVIDER, code=UNREADABLE, request_id=_id(headers))


def refusal(status: int, content: bytes, headers: Mapping[str, str]) -> ProviderError:
    """Return the error of a response that is neither 2xx nor 401."""
    body = object_of(content) or {}
    code = _code(body)
    message = http.safe(_explanation(body) or http.status_message(status))
    if status == 403:
        message = f"the app lacks a permission on this site, which its owner must grant: {message}"
    kind = Misconfigured if _ours(status, body) else _kind(status, code)
    failure = kind(message, provider=PROVIDER, status=status, code=code, request_id=_id(headers))
    if isinstance(failure, RateLimited):
        wait_s = http.named_wait_s(headers, message)
        default_s = DEFAULT_WAIT_S if status == 429 else PROVISIONING_S
        failure.after(default_s if wait_s is None else wait_s)
    return failure


def _ours(status: int, body: Mapping[str, Any]) -> bool:
    """Whether the refusal concerns the protocol, or a field that is the same in every call of its kind."""
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
        case _ if status in TRANSIENT:
            return Unavailable
        case _:
            return Unavailable if status >= 500 or status < 400 else Rejected


def _violations(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return objects(at(body, "details", "validationError", "fieldViolations"))


def _code(body: Mapping[str, Any]) -> str | None:
    return a_code(at(body, "details", "applicationError", "code"))


def _explanation(body: Mapping[str, Any]) -> str:
    """Return the message of Wix, with each refused field."""
    faults = [
        f"{words(violation.get('field'))}: {words(violation.get('description') or violation.get('violatedRule'))}"
        for violation in _violations(body)
    ]
    explanation = body.get("message") or at(body, "details", "applicationError", "description")
    return "; ".join(filter(None, [words(explanation), *faults]))


def _id(headers: Mapping[str, str]) -> str | None:
    return header(headers, "x-wix-request-id")
