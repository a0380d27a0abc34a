"""The rules of Wix rich content, applied to a document.

Strict as the provider's schema is: an unknown property, a misplaced node or a wrong value is a violation that names its
path and the rule it breaks. The shapes are in `ricos_shapes`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from blogworker.simulator.ricos_shapes import BLOCKS, DECORATIONS, EITHER, ENUMS, OBJECTS, SHAPES, STYLED, Shape

__all__ = ["SHAPES", "Violation", "violations"]

Json = Mapping[str, Any]

DEEPEST = 30
NODE_ID = re.compile(r"[-_a-zA-Z0-9]*")
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "size": int,
    "number": (int, float),
}
BOUNDS = {"int": range(-(2**31), 2**31), "size": range(2**32)}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule."""

    field: str
    description: str
    rule: str

    def as_json(self) -> dict[str, str]:
        return {"field": self.field, "description": self.description, "violatedRule": self.rule}


def violations(document: Any, path: str = "richContent") -> list[Violation]:
    """Every rule a document breaks; empty when it may be published."""
    checker = _Checker()
    checker.document(document, path)
    return checker.found


class _Checker:
    def __init__(self) -> None:
        self.found: list[Violation] = []
        self._ids: set[str] = set()

    def document(self, document: Any, path: str) -> None:
        if not self._is_object(document, path):
            return
        self._fields(document, OBJECTS["document"], path)
        if not isinstance(document.get("nodes"), list):
            self._broken(f"{path}.nodes", "must be an array of nodes", "REQUIRED_FIELD")
            return
        for index, node in enumerate(document["nodes"]):
            self._node(node, f"{path}.nodes[{index}]", BLOCKS, parent="root", depth=0)

    def _node(self, node: Any, path: str, allowed: frozenset[str], *, parent: str, depth: int) -> None:
        if not self._is_object(node, path):
            return
        kind = node.get("type")
        if not isinstance(kind, str) or kind not in SHAPES:
            self._broken(f"{path}.type", f"unknown node type {kind!r}", "INVALID_ENUM_VALUE")
            return
        if kind not in allowed:
            wanted = "a paragraph node" if "PARAGRAPH" in allowed else " or ".join(sorted(allowed)) or "no node"
            self._broken(path, f"Expected {wanted} but found {kind} in {parent}", "INVALID_NESTING")
            return
        if depth > DEEPEST:
            self._broken(path, f"nested deeper than {DEEPEST}", "MAX_DEPTH")
            return
        self._own(node, kind, path, in_code=parent == "CODE_BLOCK")
        self._children(node, kind, path, depth)

    def _own(self, node: Json, kind: str, path: str, *, in_code: bool) -> None:
        shape = SHAPES[kind]
        known = {"type": "str", "id": "str", "nodes": "any"}
        known |= {"style": "padding"} if kind in STYLED else {}
        self._fields({name: value for name, value in node.items() if name != shape.data}, known, path)
        self._id(node.get("id", ""), f"{path}.id")
        before = len(self.found)
        if shape.data in node:
            data = node[shape.data]
            if self._is_object(data, f"{path}.{shape.data}"):
                self._fields(data, shape.fields, f"{path}.{shape.data}")
        elif shape.needs_data:
            self._broken(f"{path}.{shape.data}", "is required", "REQUIRED_FIELD")
        if len(self.found) > before:
            return  # of a misshapen thing there is no more to say
        match kind:
            case "TEXT":
                self._text(node["textData"], f"{path}.textData", in_code=in_code)
            case "HEADING":
                self._between(node["headingData"].get("level"), 1, 6, f"{path}.headingData.level")
            case "IMAGE":
                for name in ("width", "height"):
                    self._between(
                        node["imageData"]["image"].get(name), 1, 100_000, f"{path}.imageData.image.{name}"
                    )  # fmt: skip
            case "TABLE":
                self._table(node, path)

    def _children(self, node: Json, kind: str, path: str, depth: int) -> None:
        shape: Shape = SHAPES[kind]
        children = node.get("nodes", [])
        if not isinstance(children, list):
            self._broken(f"{path}.nodes", "must be an array", "INVALID_TYPE")
            return
        if len(children) < shape.at_least:
            self._broken(f"{path}.nodes", f"{kind} needs at least {shape.at_least} child", "MIN_SIZE")
        if shape.at_most is not None and len(children) > shape.at_most:
            self._broken(f"{path}.nodes", f"{kind} takes at most {shape.at_most} child", "MAX_SIZE")
        for index, child in enumerate(children):
            allowed = shape.first if index == 0 and shape.first else shape.holds
            self._node(child, f"{path}.nodes[{index}]", allowed, parent=kind, depth=depth + 1)

    def _id(self, node_id: Any, path: str) -> None:
        if not isinstance(node_id, str) or not NODE_ID.fullmatch(node_id):
            self._broken(path, "must be made of letters, digits, hyphens and underscores", "INVALID_FORMAT")
        elif node_id and node_id in self._ids:
            self._broken(path, f"node id {node_id!r} is used twice", "UNIQUE")
        else:
            self._ids.add(node_id)

    def _text(self, data: Json, path: str, *, in_code: bool) -> None:
        if not data["text"]:
            self._broken(f"{path}.text", "must be a string of at least one character", "MIN_LENGTH")
        elif "\n" in data["text"] and not in_code:
            self._broken(f"{path}.text", "must not contain line breaks; use paragraphs", "INVALID_CHARACTER")
        kinds = set[str]()
        for index, decoration in enumerate(data.get("decorations", [])):
            at = f"{path}.decorations[{index}]"
            kind = self._decoration(decoration, at)
            if kind in kinds:
                self._broken(f"{at}.type", f"{kind} is repeated", "UNIQUE_TAGS")
            kinds.add(kind)

    def _decoration(self, decoration: Any, path: str) -> str:
        """Its type."""
        if not self._is_object(decoration, path):
            return "none"
        kind = str(decoration.get("type"))
        if kind not in DECORATIONS:
            self._broken(f"{path}.type", f"unknown decoration {kind!r}", "INVALID_ENUM_VALUE")
            return kind
        before = len(self.found)
        self._fields(decoration, {**DECORATIONS[kind], "type": "str"}, path)
        if len(self.found) > before:
            return kind
        weight = decoration.get("fontWeightValue")
        if kind == "BOLD" and weight is not None:
            self._between(weight, 100, 1000, f"{path}.fontWeightValue")
        if kind == "LINK" and not (decoration.get("linkData") or {}).get("link"):
            self._broken(f"{path}.linkData.link", "is required", "REQUIRED_FIELD")
        return kind

    def _table(self, node: Json, path: str) -> None:
        nodes = node.get("nodes")
        rows = [row.get("nodes") for row in nodes if isinstance(row, dict)] if isinstance(nodes, list) else []
        widths = {len(cells) for cells in rows if isinstance(cells, list)}
        if len(widths) > 1:
            self._broken(f"{path}.nodes", "every row must have as many cells", "INVALID_SIZE")
        columns = max(widths, default=0)
        dimensions = (node.get("tableData") or {}).get("dimensions")
        at = f"{path}.tableData.dimensions"
        if dimensions is None:
            self._broken(at, "is required", "REQUIRED_FIELD")
            return
        for name, size in (("colsWidthRatio", columns), ("colsMinWidth", columns), ("rowsHeight", len(rows))):
            if name in dimensions and len(dimensions[name]) != size:
                self._broken(f"{at}.{name}", f"must have {size} entries", "INVALID_SIZE")

    def _fields(self, value: Json, known: Mapping[str, str], path: str) -> None:
        """An object's fields: none unknown, none missing, each of its type."""
        types = {name.removesuffix("!"): wanted for name, wanted in known.items()}
        for name in value:
            if name in types:
                self._typed(value[name], types[name], f"{path}.{name}")
            else:
                self._broken(f"{path}.{name}", f"must NOT have additional property {name!r}", "UNKNOWN_PROPERTY")
        for name in known:
            if name.endswith("!") and name.removesuffix("!") not in value:
                self._broken(f"{path}.{name.removesuffix('!')}", "is required", "REQUIRED_FIELD")

    def _typed(self, value: Any, wanted: str, path: str) -> None:
        if wanted.endswith("*"):
            if not isinstance(value, list):
                self._broken(path, "must be an array", "INVALID_TYPE")
                return
            for index, entry in enumerate(value):
                self._typed(entry, wanted.removesuffix("*"), f"{path}[{index}]")
        elif wanted in ENUMS:
            if not isinstance(value, str) or value not in ENUMS[wanted]:
                self._broken(path, f"must be one of {', '.join(sorted(ENUMS[wanted]))}", "INVALID_ENUM_VALUE")
        elif wanted in OBJECTS:
            if self._is_object(value, path):
                self._fields(value, OBJECTS[wanted], path)
                self._either(value, wanted, path)
        elif wanted != "any":
            self._simple(value, wanted, path)

    def _simple(self, value: Any, wanted: str, path: str) -> None:
        if not isinstance(value, TYPES[wanted]) or (wanted != "bool" and isinstance(value, bool)):
            self._broken(path, f"must be a {wanted}", "INVALID_TYPE")
        elif wanted in BOUNDS and value not in BOUNDS[wanted]:
            self._broken(path, f"must be in {BOUNDS[wanted]}", "INVALID_TYPE")

    def _either(self, value: Json, wanted: str, path: str) -> None:
        one, other = EITHER.get(wanted, ("", ""))
        if not one:
            return
        if not value.get(one) and not value.get(other):
            self._broken(path, f"needs {one} or {other}", "REQUIRED_FIELD")
        elif one in value and other in value:
            self._broken(path, f"takes only one of {one} and {other}", "ONE_OF")

    def _between(self, value: Any, low: int, high: int, path: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self._broken(path, f"must be a number between {low} and {high}", "INVALID_VALUE")

    def _is_object(self, value: Any, path: str) -> TypeGuard[dict[str, Any]]:
        if isinstance(value, dict):
            return True
        self._broken(path, "must be an object", "REQUIRED_FIELD" if value is None else "INVALID_TYPE")
        return False

    def _broken(self, path: str, description: str, rule: str) -> None:
        self.found.append(Violation(path, description, rule))
