"""Truncates a Ricos document to a number of bytes, because Wix refuses a larger post.

First it removes what nobody sees: ids, and fields with their default value. Then it removes whole sections from the
end, so that the document ends where an author could end it. (Such a long post is an answer that did not stop.)
"""

import json
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

Node = Mapping[str, Any]

DEFAULTS: tuple[Any, ...] = ([], {}, {"indentation": 0}, {"textStyle": {"textAlignment": "AUTO"}})


def size_of(value: object) -> int:
    """Return the size in bytes of a JSON value as it is sent."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def truncated(document: Node, *, room: int) -> Node | None:
    """Return the document, truncated to `room` bytes. None if not even its first section is that small."""
    if size_of(document) <= room:
        return document
    nodes = [compact(node) for node in document["nodes"]]
    needed = list(accumulate((size_of(node) + 1 for node in nodes), initial=size_of({**document, "nodes": []})))
    ends = [len(nodes), *(place for place, node in enumerate(nodes) if place and node["type"] == "HEADING")]
    end = max((end for end in ends if needed[end] <= room), default=None)
    return None if end is None else {**document, "nodes": _without_last_gap(nodes[:end])}


def compact(node: Node) -> dict[str, Any]:
    """Return a node that looks the same but has fewer bytes."""
    fields = {name: value for name, value in node.items() if name != "id" and value not in DEFAULTS}
    if "nodes" in fields:
        fields["nodes"] = [compact(child) for child in fields["nodes"]]
    if "textData" in fields:
        fields["textData"] = {name: value for name, value in fields["textData"].items() if value != []}
    return fields


def _without_last_gap(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return nodes[:-1] if nodes and nodes[-1] == {"type": "PARAGRAPH"} else nodes
