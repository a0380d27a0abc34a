"""The requests that we make, in the shapes of the providers' public descriptions.

A shape is a type, a tuple of allowed words, a list of one shape, a compiled pattern, or an object: its fields by name.
Those with a question mark may be missing, and others may not be there.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Shape = Any
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
URL = re.compile(r"https?://\S+")
NODE: dict[str, Any] = {"type": re.compile("[A-Z_]+"), "id": str, "nodes": list, "...": True}
DRAFT = {
    "title": re.compile(r"(?s).{1,200}"),
    "memberId": GUID,
    "excerpt": re.compile(r"(?s).{0,500}"),
    "seoSlug": re.compile(r"[^/\s]{1,100}"),
    "seoData": {
        "tags": [
            {"type": ("title", "meta"), "children?": str, "props?": {"name": str, "content": str}, "custom?": bool}
        ],
        "settings": {"keywords": [{"term": str, "isMain": bool}]},
    },
    "commentingEnabled": bool,
    "language?": str,
    "tagIds": [GUID],
    "categoryIds?": [GUID],
    "richContent": {"nodes": [NODE], "metadata?": dict, "documentStyle?": dict},
    "heroImage?": {"id": re.compile(r"(?!wix:)\S+")},
    "media?": {
        "displayed": bool, "custom": bool, "altText": re.compile(".+"),
        "wixMedia": {"image": {"id": re.compile(r"(?!wix:)\S+")}},
    },
}  # fmt: skip
PAGING = {"limit": int, "offset?": int}


class Wire(NamedTuple):
    """One call: the path under the provider's base, and what goes with it. `query`: names that may be given."""

    method: str
    path: str
    body: Shape = None
    query: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    authorized: bool = True


REQUESTS = {
    "openai": {
        "responses.create": Wire(
            "POST",
            r"/v1/responses",
            {
                "model": str,
                "instructions": str,
                "input": (str, list),
                "max_output_tokens": int,
                "store": (False,),
                "reasoning": {"effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max")},
                "text": {"format": {"type": ("json_schema",), "name": str, "strict": (True,), "schema": dict}},
                "prompt_cache_key?": str,
            },
        ),
    },
    "replicate": {
        "predictions.create": Wire(
            "POST",
            r"/v1/models/[^/]+/[^/]+/predictions",
            {"input": {"prompt": str, "aspect_ratio": ("16:9",), "output_format": ("jpg",), "seed": int}},
            headers={"cancel-after": r"\d+s"},
        ),
        "predictions.get": Wire("GET", r"/v1/predictions/\w+"),
        "predictions.cancel": Wire("POST", r"/v1/predictions/\w+/cancel"),
        "predictions.list": Wire("GET", r"/v1/predictions", query=("cursor",)),
        "files.get": Wire("GET", r"/files/.+"),
    },
    "wix": {
        "oauth.token": Wire(
            "POST",
            r"/oauth2/token",
            {"grant_type": ("client_credentials",), "client_id": str, "client_secret": str, "instance_id": str},
            authorized=False,
        ),
        "apps.instance": Wire("GET", r"/apps/v1/instance"),
        "members.list": Wire("GET", r"/members/v1/members", query=("fieldsets", "paging.limit", "paging.offset")),
        "media.import": Wire(
            "POST",
            r"/site-media/v1/files/import",
            {"url": URL, "mimeType": ("image/jpeg",), "mediaType": ("IMAGE",), "displayName": re.compile(r".+\.jpg")},
        ),
        "media.get": Wire("GET", r"/site-media/v1/files/get-file-by-id", query=("fileId",)),
        "media.upload_url": Wire(
            "POST", r"/site-media/v1/files/generate-upload-url", {"mimeType": ("image/jpeg",), "fileName": str}
        ),
        "media.upload": Wire(
            "PUT", r"/upload/.+", query=("filename",), headers={"content-type": "image/jpeg"}, authorized=False
        ),
        "categories.query": Wire("POST", r"/blog/v3/categories/query", {"query": {"paging": PAGING}}),
        "tags.query": Wire("POST", r"/blog/v3/tags/query", {"query": {"filter?": dict, "paging": PAGING}}),
        "tags.create": Wire("POST", r"/blog/v3/tags", {"label": str, "language?": str}),
        "drafts.create": Wire(
            "POST", r"/blog/v3/draft-posts", {"draftPost": DRAFT, "publish": (False,), "fieldsets": list}
        ),
        "drafts.query": Wire(
            "POST",
            r"/blog/v3/draft-posts/query",
            {"query": {"filter": {"title": {"$eq": str}, "editedDate": {"$gte": str}}, "paging": PAGING}},
        ),
        "drafts.list": Wire("GET", r"/blog/v3/draft-posts", query=("sort", "paging.limit")),
        "drafts.publish": Wire("POST", r"/blog/v3/draft-posts/[0-9a-f-]{36}/publish", {}),
        "posts.get": Wire("GET", r"/blog/v3/posts/[0-9a-f-]{36}", query=("fieldsets",)),
        "stores.version": Wire("GET", r"/stores/v3/provision/version"),
        "stores.get_v3": Wire("GET", r"/stores/v3/products/[^/]+", query=("fields",)),
        "stores.get_v1": Wire("GET", r"/stores-reader/v1/products/[^/]+"),
    },
}


def faults_of(wire: Wire, request: Mapping[str, Any], *, base: str) -> list[str]:
    """Where a recorded request is not as the provider wants it."""
    found = []
    if request["method"] != wire.method:
        found.append(f"method {request['method']}")
    if not re.fullmatch(re.escape(base) + wire.path, request["path"]):
        found.append(f"path {request['path']}")
    if request["authorized"] is not wire.authorized:
        found.append(f"authorized {request['authorized']}")
    found += [f"query {name}" for name in request["query"] if name not in wire.query]
    found += [
        f"header {name}"
        for name, pattern in wire.headers.items()
        if not re.fullmatch(pattern, request["headers"].get(name, ""))
    ]
    return found + list(mismatches(request["json"], wire.body, "body"))


def mismatches(value: Any, shape: Shape, path: str) -> Iterator[str]:
    match shape:
        case None:
            if value is not None:
                yield f"{path} is there"
        case dict():
            yield from _object(value, shape, path)
        case tuple():
            kinds = tuple(kind for kind in shape if isinstance(kind, type))
            if value not in [word for word in shape if not isinstance(word, type)] and not isinstance(value, kinds):
                yield f"{path} is {value!r:.60}"
        case [item]:
            for place, entry in enumerate(value if isinstance(value, list) else [None]):
                yield from mismatches(entry, item, f"{path}[{place}]")
        case re.Pattern():
            if not isinstance(value, str) or not shape.fullmatch(value):
                yield f"{path} is {value!r:.60}"
        case _:
            if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
                yield f"{path} is {value!r:.60}"


def _object(value: Any, shape: Mapping[str, Shape], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is no object"
        return
    fields = {name.rstrip("?"): (kind, name.endswith("?")) for name, kind in shape.items() if name != "..."}
    if "..." not in shape:
        yield from (f"{path}.{name} is unknown" for name in value if name not in fields)
    for name, (kind, optional) in fields.items():
        if name in value:
            yield from mismatches(value[name], kind, f"{path}.{name}")
        elif not optional:
            yield f"{path}.{name} is missing"
