"""Validates documents of Wix rich content.

It is as strict as the provider: an unknown property, a node in a wrong place or an invalid value is a violation, with
its path and the rule. The node types are in `ricos_shapes`.
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
    """One violation of a rule."""

    field: str
    description: str
    rule: str

    def as_json(self) -> dict[str, str]:
        return {"field": self.field, "description": self.description, "violatedRule": self.rule}


def violations(document: Any, path: str = "richContent") -> list[Violation]:
    """All violations of a document; empty if it is valid."""
    checker = _Checker()
    checker.check_document(document, path)
    return checker.found


class _Checker:
    def __init__(self) -> None:
        self.found: list[Violation] = []
        self._ids: set[str] = set()

    def check_document(self, document: Any, path: str) -> None:
        if not self._check_is_object(document, path):
            return
        self._check_fields(document, OBJECTS["document"], path)
        if not isinstance(document.get("nodes"), list):
            self._violation(f"{path}.nodes", "must be an array of nodes", "REQUIRED_FIELD")
            return
        for index, node in enumerate(document["nodes"]):
            self._check_node(node, f"{path}.nodes[{index}]", BLOCKS, parent="root", depth=0)

    def _check_node(self, node: Any, path: str, allowed: frozenset[str], *, parent: str, depth: int) -> None:
        if not self._check_is_object(node, path):
            return
        kind = node.get("type")
        if not isinstance(kind, str) or kind not in SHAPES:
            self._violation(f"{path}.type", f"unknown node type {kind!r}", "INVALID_ENUM_VALUE")
            return
        if kind not in allowed:
            expected = "a paragraph node" if "PARAGRAPH" in allowed else " or ".join(sorted(allowed)) or "no node"
            self._violation(path, f"Expected {expected} but found {kind} in {parent}", "INVALID_NESTING")
            return
        if depth > DEEPEST:
            self._violation(path, f"nested deeper than {DEEPEST}", "MAX_DEPTH")
            return
        self._check_node_data(node, kind, path, in_code=parent == "CODE_BLOCK")
        self._check_children(node, kind, path, depth)

    def _check_node_data(self, node: Json, kind: str, path: str, *, in_code: bool) -> None:
        shape = SHAPES[kind]
        known = {"type": "str", "id": "str", "nodes": "any"}
        known |= {"style": "padding"} if kind in STYLED else {}
        self._check_fields({name: value for name, value in node.items() if name != shape.data}, known, path)
        self._check_id(node.get("id", ""), f"{path}.id")
        before = len(self.found)
        if shape.data in node:
            data = node[shape.data]
            if self._check_is_object(data, f"{path}.{shape.data}"):
                self._check_fields(data, shape.fields, f"{path}.{shape.data}")
        elif shape.needs_data:
            self._violation(f"{path}.{shape.data}", "is required", "REQUIRED_FIELD")
        if len(self.found) > before:
            return  # the checks below need valid fields
        match kind:
            case "TEXT":
                self._check_text(node["textData"], f"{path}.textData", in_code=in_code)
            case "HEADING":
                self._check_between(node["headingData"].get("level"), 1, 6, f"{path}.headingData.level")
            case "IMAGE":
                for name in ("width", "height"):
                    self._check_between(
                        node["imageData"]["image"].get(name), 1, 100_000, f"{path}.imageData.image.{name}"
                    )  # fmt: skip
            case "TABLE":
                self._check_table(node, path)

    def _check_children(self, node: Json, kind: str, path: str, depth: int) -> None:
        shape: Shape = SHAPES[kind]
        children = node.get("nodes", [])
        if not isinstance(children, list):
            self._violation(f"{path}.nodes", "must be an array", "INVALID_TYPE")
            return
        if len(children) < shape.at_least:
            self._violation(f"{path}.nodes", f"{kind} needs at least {shape.at_least} child", "MIN_SIZE")
        if shape.at_most is not None and len(children) > shape.at_most:
            self._violation(f"{path}.nodes", f"{kind} takes at most {shape.at_most} child", "MAX_SIZE")
        for index, child in enumerate(children):
            allowed = shape.first if index == 0 and shape.first else shape.children
            self._check_node(child, f"{path}.nodes[{index}]", allowed, parent=kind, depth=depth + 1)

    def _check_id(self, node_id: Any, path: str) -> None:
        if not isinstance(node_id, str) or not NODE_ID.fullmatch(node_id):
            self._violation(path, "must be made of letters, digits, hyphens and underscores", "INVALID_FORMAT")
        elif node_id and node_id in self._ids:
            self._violation(path, f"node id {node_id!r} is used twice", "UNIQUE")
        else:
            self._ids.add(node_id)

    def _check_text(self, data: Json, path: str, *, in_code: bool) -> None:
        if not data["text"]:
            self._violation(f"{path}.text", "must be a string of at least one character", "MIN_LENGTH")
        elif "\n" in data["text"] and not in_code:
            self._violation(f"{path}.text", "must not contain line breaks; use paragraphs", "INVALID_CHARACTER")
        kinds = set[str]()
        for index, decoration in enumerate(data.get("decorations", [])):
            at = f"{path}.decorations[{index}]"
            kind = self._check_decoration(decoration, at)
            if kind in kinds:
                self._violation(f"{at}.type", f"{kind} is repeated", "UNIQUE_TAGS")
            kinds.add(kind)

    def _check_decoration(self, decoration: Any, path: str) -> str:
        """Check a decoration; returns its type."""
        if not self._check_is_object(decoration, path):
            return "none"
        kind = str(decoration.get("type"))
        if kind not in DECORATIONS:
            self._violation(f"{path}.type", f"unknown decoration {kind!r}", "INVALID_ENUM_VALUE")
            return kind
        before = len(self.found)
        self._check_fields(decoration, {**DECORATIONS[kind], "type": "str"}, path)
        if len(self.found) > before:
            return kind
        weight = decoration.get("fontWeightValue")
        if kind == "BOLD" and weight is not None:
            self._check_between(weight, 100, 1000, f"{path}.fontWeightValue")
        if kind == "LINK" and not (decoration.get("linkData") or {}).get("link"):
            self._violation(f"{path}.linkData.link", "is required", "REQUIRED_FIELD")
        return kind

    def _check_table(self, node: Json, path: str) -> None:
        nodes = node.get("nodes")
        rows = [row.get("nodes") for row in nodes if isinstance(row, dict)] if isinstance(nodes, list) else []
        widths = {len(cells) for cells in rows if isinstance(cells, list)}
        if len(widths) > 1:
            self._violation(f"{path}.nodes", "every row must have as many cells", "INVALID_SIZE")
        columns = max(widths, default=0)
        dimensions = (node.get("tableData") or {}).get("dimensions")
        at = f"{path}.tableData.dimensions"
        if dimensions is None:
            self._violation(at, "is required", "REQUIRED_FIELD")
            return
        for name, size in (("colsWidthRatio", columns), ("colsMinWidth", columns), ("rowsHeight", len(rows))):
            if name in dimensions and len(dimensions[name]) != size:
                self._violation(f"{at}.{name}", f"must have {size} entries", "INVALID_SIZE")

    def _check_fields(self, value: Json, known: Mapping[str, str], path: str) -> None:
        """Check the fields of an object: none is unknown, none is missing, and each has its type."""
        types = {name.removesuffix("!"): expected for name, expected in known.items()}
        for name in value:
            if name in types:
                self._check_type(value[name], types[name], f"{path}.{name}")
            else:
                self._violation(f"{path}.{name}", f"must NOT have additional property {name!r}", "UNKNOWN_PROPERTY")
        for name in known:
            if name.endswith("!") and name.removesuffix("!") not in value:
                self._violation(f"{path}.{name.removesuffix('!')}", "is required", "REQUIRED_FIELD")

    def _check_type(self, value: Any, expected: str, path: str) -> None:
        if expected.endswith("*"):
            if not isinstance(value, list):
                self._violation(path, "must be an array", "INVALID_TYPE")
                return
            for index, entry in enumerate(value):
                self._check_type(entry, expected.removesuffix("*"), f"{path}[{index}]")
        elif expected in ENUMS:
            if not isinstance(value, str) or value not in ENUMS[expected]:
                self._violation(path, f"must be one of {', '.join(sorted(ENUMS[expected]))}", "INVALID_ENUM_VALUE")
        elif expected in OBJECTS:
            if self._check_is_object(value, path):
                self._check_fields(value, OBJECTS[expected], path)
                self._check_either(value, expected, path)
        elif expected != "any":
            self._check_simple_type(value, expected, path)

    def _check_simple_type(self, value: Any, expected: str, path: str) -> None:
        if not isinstance(value, TYPES[expected]) or (expected != "bool" and isinstance(value, bool)):
            self._violation(path, f"must be a {expected}", "INVALID_TYPE")
        elif expected in BOUNDS and value not in BOUNDS[expected]:
            self._violation(path, f"must be in {BOUNDS[expected]}", "INVALID_TYPE")

    def _check_either(self, value: Json, expected: str, path: str) -> None:
        one, other = EITHER.get(expected, ("", ""))
        if not one:
            return
        if not value.get(one) and not value.get(other):
            self._violation(path, f"needs {one} or {other}", "REQUIRED_FIELD")
        elif one in value and other in value:
            self._violation(path, f"takes only one of {one} and {other}", "ONE_OF")

    def _check_between(self, value: Any, low: int, high: int, path: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self._violation(path, f"must be a number between {low} and {high}", "INVALID_VALUE")

    def _check_is_object(self, value: Any, path: str) -> TypeGuard[dict[str, Any]]:
        if isinstance(value, dict):
            return True
        self._violation(path, "must be an object", "REQUIRED_FIELD" if value is None else "INVALID_TYPE")
        return False

    def _violation(self, path: str, description: str, rule: str) -> None:
        self.found.append(Violation(path, description, rule))
