"""A Ricos document within so many bytes, for Wix takes no larger post.

First goes what nobody sees: ids, and fields that say what is so without them. Then the last sections, each whole, so
that what is left ends where an author would end. (A post that long is one the model could not stop writing.)
"""

import json
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

Node = Mapping[str, Any]

UNSEEN: tuple[Any, ...] = ([], {}, {"indentation": 0}, {"textStyle": {"textAlignment": "AUTO"}})


def size_of(value: object) -> int:
    """Bytes of a JSON value as it is sent."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def fitted(document: Node, *, room: int) -> Node | None:
    """The document itself, or as much of it as `room` bytes hold; None if that is not even its first section."""
    if size_of(document) <= room:
        return document
    nodes = [lean(node) for node in document["nodes"]]
    needed = list(accumulate((size_of(node) + 1 for node in nodes), initial=size_of({**document, "nodes": []})))
    ends = [len(nodes), *(place for place, node in enumerate(nodes) if place and node["type"] == "HEADING")]
    end = max((end for end in ends if needed[end] <= room), default=None)
    return None if end is None else {**document, "nodes": _without_last_gap(nodes[:end])}


def lean(node: Node) -> dict[str, Any]:
    """A node that looks the same in fewer bytes."""
    kept = {name: value for name, value in node.items() if name != "id" and value not in UNSEEN}
    if "nodes" in kept:
        kept["nodes"] = [lean(child) for child in kept["nodes"]]
    if "textData" in kept:
        kept["textData"] = {name: value for name, value in kept["textData"].items() if value != []}
    return kept


def _without_last_gap(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return nodes[:-1] if nodes and nodes[-1] == {"type": "PARAGRAPH"} else nodes
