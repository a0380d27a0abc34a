"""Draft posts: create, update, publish, query.

UNPUBLISHED -> PUBLISHED      each call of publish shows the current draft
UNPUBLISHED -> SCHEDULED -> PUBLISHED at its date
any         -> DELETED        in the trash
"""

import math
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from blogworker.simulator.edge import ApiError, Call
from blogworker.simulator.slugs import free_slug
from blogworker.simulator.wix import draft_rules, views
from blogworker.simulator.wix.errors import application_error, not_found, required, validation_error
from blogworker.simulator.wix.query import run_query
from blogworker.simulator.wix.sites import Draft, Published, Site
from blogworker.simulator.wix.state import WixState

MOST_IN_BULK = 20
DRAFT_FILTERS = frozenset(
    [
        "id",
        "title",
        "status",
        "editedDate",
        "firstPublishedDate",
        "scheduledPublishDate",
        "featured",
        "language",
        "categoryIds",
        "tagIds",
        "hashtags",
        "slug",
        "minutesToRead",
    ]
)


class Drafts:
    """The handlers of draft posts and published posts."""

    def __init__(self, state: WixState) -> None:
        self._state = state
        self._clock = state.world.clock

    async def create(self, call: Call) -> Response:
        body, site = _body(call), self._site(call)
        draft = self._create(site, body.get("draftPost"), size=len(call.body))
        if body.get("publish"):
            self._publish(site, draft)
        call.log_fields |= _facts(draft)
        return JSONResponse({"draftPost": self._view(site, draft, _fieldsets(call, body))})

    async def create_in_bulk(self, call: Call) -> Response:
        """Create each post separately. The status is 200 even if some or all posts are rejected."""
        body, site = _body(call), self._site(call)
        posts = body.get("draftPosts")
        if not isinstance(posts, list) or not 1 <= len(posts) <= MOST_IN_BULK:
            raise application_error(400, "INVALID_ARGUMENT", f"draftPosts must hold 1 to {MOST_IN_BULK} posts")
        results = [self._create_one(call, site, body, post, index) for index, post in enumerate(posts)]
        failed = sum(not result["itemMetadata"]["success"] for result in results)
        counts = {"totalSuccesses": len(results) - failed, "totalFailures": failed, "undetailedFailures": 0}
        return JSONResponse({"results": results, "bulkActionMetadata": counts})

    def _create_one(self, call: Call, site: Site, body: dict[str, Any], post: Any, index: int) -> dict[str, Any]:
        try:
            draft = self._create(site, post, size=len(call.body) // len(body["draftPosts"]))
        except ApiError as error:
            details = error.body["details"]
            code = details.get("applicationError", {}).get("code", "INVALID_ARGUMENT")
            reason = {"code": code, "description": error.body["message"], "data": details}
            return {"itemMetadata": {"originalIndex": index, "success": False, "error": reason}}
        if body.get("publish"):
            self._publish(site, draft)
        result: dict[str, Any] = {"itemMetadata": {"id": draft.id, "originalIndex": index, "success": True}}
        if body.get("returnFullEntity"):
            result["item"] = self._view(site, draft, _fieldsets(call, body))
        return result

    async def get(self, call: Call) -> Response:
        site, draft = self._find_draft(call)
        return JSONResponse({"draftPost": self._view(site, draft, _fieldsets(call, {}))})

    async def list_drafts(self, call: Call) -> Response:
        site, query = self._site(call), call.request.query_params
        self._publish_due(site)
        condition = {"status": query["status"]} if "status" in query else {}
        paging = {"limit": _number(query.get("paging.limit")), "offset": _number(query.get("paging.offset"))}
        newest_first = query.get("sort", "EDITING_DATE_DESC").endswith("DESC")
        sort = [{"fieldName": "editedDate", "order": "DESC" if newest_first else "ASC"}]
        return self._query_response(
            call, site, {"filter": condition, "paging": paging, "sort": sort}, call.request.query_params
        )

    async def query(self, call: Call) -> Response:
        site, body = self._site(call), _body(call)
        self._publish_due(site)
        return self._query_response(call, site, body.get("query"), body)

    def _query_response(self, call: Call, site: Site, query: Any, body: Any) -> Response:
        now = self._clock.now()
        lag = 0.0 if "x-wix-consistent" in call.request.headers else self._state.world.options.wix_query_lag_s
        lag = self._clock.real_seconds(lag)
        indexed = [d for d in site.drafts.values() if now - d.created >= lag and d.status != "DELETED"]
        if call.has_fault("lost_in_query"):
            indexed = []
        rows, metadata = run_query([views.query_row(d, self._clock) for d in indexed], query, DRAFT_FILTERS)
        fieldsets = _fieldsets(call, body)
        shown = [self._view(site, row["draft"], fieldsets) for row in rows]
        return JSONResponse({"draftPosts": shown, "metaData": metadata, "pagingMetadata": metadata})

    async def update(self, call: Call) -> Response:
        site, draft = self._find_draft(call)
        body = _body(call)
        changes = draft_rules.check_changes(site, body.get("draftPost", {}), size=len(call.body))
        content = draft_rules.stored_content(changes)
        draft.fields = draft.fields | changes
        if content is not None:
            self._set_content(draft, content)
        draft.edited = self._clock.now()
        draft.unpublished_changes = draft.published is not None
        if ("title" in changes or "seoSlug" in changes) and draft.published is None:
            self._set_slug(site, draft)
        self._apply_action(site, draft, body)
        call.log_fields |= _facts(draft)
        return JSONResponse({"draftPost": self._view(site, draft, _fieldsets(call, body))})

    def _apply_action(self, site: Site, draft: Draft, body: dict[str, Any]) -> None:
        match body.get("action", "UPDATE"):
            case "UPDATE" | "UNKNOWN":
                pass
            case "UPDATE_PUBLISH" | "UPDATE_PUBLICATION":
                self._publish(site, draft)
            case "UPDATE_SCHEDULE":
                draft.scheduled_at = self._scheduled_time(body.get("scheduledPublishDate"))
                draft.status = "SCHEDULED"
            case "UPDATE_CANCEL_SCHEDULE" | "UPDATE_REVERT_TO_DRAFT":
                draft.scheduled_at, draft.published, draft.status = None, None, "UNPUBLISHED"
            case other:
                raise application_error(400, "INVALID_ARGUMENT", f"unknown action {other}")

    def _scheduled_time(self, value: Any) -> float:
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise validation_error([required("scheduledPublishDate")]) from None
        now = self._clock.now()
        return now + (moment.replace(tzinfo=moment.tzinfo or UTC) - self._clock.wall_time(now)).total_seconds()

    async def publish(self, call: Call) -> Response:
        site, draft = self._find_draft(call)
        self._publish(site, draft)
        call.log_fields |= _facts(draft)
        return JSONResponse({"postId": draft.id})

    async def delete(self, call: Call) -> Response:
        site, draft = self._find_draft(call)
        draft.status, draft.published = "DELETED", None
        site.slugs.discard(draft.slug)
        if call.request.query_params.get("permanent") == "true":
            del site.drafts[draft.id]
        return JSONResponse({})

    async def get_post(self, call: Call) -> Response:
        site, post_id = self._site(call), call.request.path_params["id"]
        return self._post_response(call, site, lambda draft: draft.id == post_id)

    async def get_post_by_slug(self, call: Call) -> Response:
        site, slug = self._site(call), call.request.path_params["slug"]
        return self._post_response(
            call, site, lambda draft: draft.published is not None and draft.published.slug == slug
        )

    def _post_response(self, call: Call, site: Site, matches: Callable[[Draft], bool]) -> Response:
        self._publish_due(site)
        for draft in site.drafts.values():
            if draft.published is not None and matches(draft):
                shown = views.post_view(site, draft, draft.published, self._clock, _fieldsets(call, {}))
                return JSONResponse({"post": shown})
        raise not_found("Post")

    async def query_posts(self, call: Call) -> Response:
        site = self._site(call)
        self._publish_due(site)
        by_get = call.request.method == "GET"
        body = {} if by_get else _body(call)
        query = body.get("query")
        if by_get:
            query = {"paging": {n: _number(call.request.query_params.get(f"paging.{n}")) for n in ("limit", "offset")}}
        published = [draft for draft in site.drafts.values() if draft.published is not None]
        rows, metadata = run_query([views.query_row(d, self._clock) for d in published], query, DRAFT_FILTERS)
        fieldsets = _fieldsets(call, body)
        posts = [
            views.post_view(site, row["draft"], row["draft"].published, self._clock, fieldsets)
            for row in rows
        ]  # fmt: skip
        return JSONResponse({"posts": posts, "metaData": metadata, "pagingMetadata": metadata})

    def _create(self, site: Site, post: Any, *, size: int) -> Draft:
        fields = draft_rules.check_new(site, post, size=size)
        content, now = draft_rules.stored_content(fields), self._clock.now()
        draft = Draft(str(uuid.uuid4()), fields, None, created=now, edited=now)
        if content is not None:
            self._set_content(draft, content)
        self._set_slug(site, draft)
        site.drafts[draft.id] = draft
        self._state.drafts_created[site.instance_id, fields["title"]] += 1
        self._state.world.ledger.count("wix.drafts_created")
        return draft

    def _set_content(self, draft: Draft, content: bytes) -> None:
        draft.content = content
        draft.minutes_to_read = draft_rules.minutes_to_read(content)
        self._state.keep_content(draft)

    def _set_slug(self, site: Site, draft: Draft) -> None:
        site.slugs.discard(draft.slug)
        draft.slug = free_slug(draft.fields.get("seoSlug") or draft.fields["title"], site.slugs)
        site.slugs.add(draft.slug)

    def _publish(self, site: Site, draft: Draft) -> None:
        draft_rules.check_publishable(draft.fields)
        now, ledger = self._clock.now(), self._state.world.ledger
        ledger.count("wix.publish_calls")
        if draft.first_published is None:
            draft.first_published = now
            self._state.posts_published[site.instance_id, draft.fields["title"]] += 1
            ledger.count("wix.posts_published")
        draft.published = Published(draft.fields, draft.content, draft.slug)
        draft.last_published, draft.status = now, "PUBLISHED"
        draft.unpublished_changes, draft.scheduled_at = False, None

    def _publish_due(self, site: Site) -> None:
        now = self._clock.now()
        for draft in site.drafts.values():
            if draft.status == "SCHEDULED" and (draft.scheduled_at or math.inf) <= now:
                self._publish(site, draft)

    def _site(self, call: Call) -> Site:
        if call.has_fault("blog_missing"):
            raise application_error(428, "BLOG_NOT_INSTALLED", "Wix Blog app is not installed on the site")
        return self._state.site(call)

    def _find_draft(self, call: Call) -> tuple[Site, Draft]:
        site = self._site(call)
        draft = site.drafts.get(call.request.path_params["id"])
        if draft is None or draft.status == "DELETED":
            raise application_error(404, "DRAFT_POST_NOT_FOUND", "Draft post not found")
        return site, draft

    def _view(self, site: Site, draft: Draft, fieldsets: frozenset[str]) -> dict[str, Any]:
        return views.draft_view(site, draft, self._clock, fieldsets)


def _body(call: Call) -> dict[str, Any]:
    if call.json is None and call.body:
        raise application_error(400, "INVALID_ARGUMENT", "Request body is not valid JSON")
    return call.json if isinstance(call.json, dict) else {}


def _fieldsets(call: Call, body: Any) -> frozenset[str]:
    named = body.get("fieldsets") if isinstance(body, dict) else None
    return frozenset([*(named or ()), *call.request.query_params.getlist("fieldsets")])


def _facts(draft: Draft) -> dict[str, Any]:
    return {"draft": draft.id, "title": draft.fields.get("title", ""), "post_status": draft.status}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
