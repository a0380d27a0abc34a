"""The categories and tags of a blog."""

import uuid
from typing import Any

from starlette.responses import JSONResponse, Response

from blogworker.simulator.edge import Call
from blogworker.simulator.slugs import slug_of
from blogworker.simulator.wix.errors import application_error, not_found, required, validation_error
from blogworker.simulator.wix.query import run_query
from blogworker.simulator.wix.state import WixState

FILTERS = frozenset({"id", "label", "slug", "language"})


class Taxonomy:
    """Creates, gets and lists categories and tags. Labels of categories are unique, and so are labels of tags."""

    def __init__(self, state: WixState) -> None:
        self._state = state

    async def create_category(self, call: Call) -> Response:
        given = call.json.get("category") if isinstance(call.json, dict) else None
        site = self._state.site(call)
        category = _new(given, site.categories, "category.label")
        category |= {"postCount": 0, "title": category["label"], "displayPosition": len(site.categories)}
        return JSONResponse({"category": category})

    async def create_tag(self, call: Call) -> Response:
        return JSONResponse({"tag": _new(call.json, self._state.site(call).tags, "label")})

    async def get_category(self, call: Call) -> Response:
        return JSONResponse({"category": _get(call, self._state.site(call).categories, "Category")})

    async def get_tag(self, call: Call) -> Response:
        return JSONResponse({"tag": _get(call, self._state.site(call).tags, "Tag")})

    async def find_categories(self, call: Call) -> Response:
        return _query_response(call, self._state.site(call).categories, "categories")

    async def find_tags(self, call: Call) -> Response:
        return _query_response(call, self._state.site(call).tags, "tags")


def _new(given: Any, known: dict[str, dict[str, Any]], path: str) -> dict[str, Any]:
    label = given.get("label") if isinstance(given, dict) else None
    if not isinstance(label, str) or not label.strip():
        raise validation_error([required(path)])
    if any(entry["label"].lower() == label.lower() for entry in known.values()):
        raise application_error(409, "ALREADY_EXISTS", f"'{label}' already exists")
    entry = {"id": str(uuid.uuid4()), "label": label, "slug": slug_of(label), "language": given.get("language", "en")}
    known[entry["id"]] = entry
    return entry


def _get(call: Call, known: dict[str, dict[str, Any]], what: str) -> dict[str, Any]:
    entry = known.get(call.request.path_params["id"])
    if entry is None:
        raise not_found(what)
    return entry


def _query_response(call: Call, known: dict[str, dict[str, Any]], name: str) -> Response:
    query = call.json.get("query") if isinstance(call.json, dict) else None
    rows, metadata = run_query(list(known.values()), query, FILTERS)
    return JSONResponse({name: list(rows), "metaData": metadata, "pagingMetadata": metadata})
