"""The rules of Wix rich content: which node may hold which, and which fields each may carry.

Strict as the vendor's schema is: an unknown property, a misplaced node or a wrong value is a violation that names its
path and the rule it breaks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

Json = Mapping[str, Any]

LISTS = frozenset({"BULLETED_LIST", "ORDERED_LIST"})
MEDIA = frozenset(
    {"IMAGE", "VIDEO", "GIF", "GALLERY", "AUDIO", "FILE", "HTML", "EMBED", "DIVIDER", "BUTTON", "LINK_PREVIEW"}
)
BLOCKS = frozenset({"PARAGRAPH", "HEADING", "BLOCKQUOTE", "CODE_BLOCK", "TABLE"}) | LISTS | MEDIA
ALIGNMENTS = frozenset({"AUTO", "LEFT", "RIGHT", "CENTER", "JUSTIFY"})
TARGETS = frozenset({"SELF", "BLANK", "PARENT", "TOP"})
DEEPEST = 30


@dataclass(frozen=True, slots=True)
class Shape:
    """A node type: its data field, the keys that field may have, and the nodes it may hold."""

    data: str
    keys: frozenset[str]
    holds: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()  # what the first child must be; empty for anything held
    at_least: int = 0


def _shape(
    data: str, keys: str, holds: frozenset[str] | set[str] = frozenset(), *, at_least: int = 0,
    first: frozenset[str] | set[str] = frozenset(),
) -> Shape:  # fmt: skip
    return Shape(data, frozenset(keys.split()), frozenset(holds), frozenset(first), at_least)


_TEXT_ONLY = frozenset({"TEXT"})
SHAPES: Mapping[str, Shape] = {
    "TEXT": _shape("textData", "text decorations"),
    "PARAGRAPH": _shape("paragraphData", "textStyle indentation", _TEXT_ONLY),
    "HEADING": _shape("headingData", "level textStyle indentation", _TEXT_ONLY),
    "BULLETED_LIST": _shape("bulletedListData", "indentation offset", {"LIST_ITEM"}, at_least=1),
    "ORDERED_LIST": _shape("orderedListData", "indentation offset start", {"LIST_ITEM"}, at_least=1),
    "LIST_ITEM": _shape(
        "listItemData", "", {"PARAGRAPH", "HEADING"} | LISTS | MEDIA, at_least=1, first={"PARAGRAPH", "HEADING"} | MEDIA
    ),
    "BLOCKQUOTE": _shape("blockquoteData", "indentation", {"PARAGRAPH"}, at_least=1),
    "CODE_BLOCK": _shape("codeBlockData", "textStyle", _TEXT_ONLY),
    "IMAGE": _shape(
        "imageData", "containerData image link disableExpand altText caption disableDownload decorative styles crop",
        {"CAPTION"},
    ),
    "CAPTION": _shape("captionData", "textStyle", _TEXT_ONLY),
    "DIVIDER": _shape("dividerData", "containerData lineStyle width alignment"),
    "TABLE": _shape(
        "tableData", "dimensions header rowHeader columnHeader cellSpacing cellPadding", {"TABLE_ROW"}, at_least=1
    ),
    "TABLE_ROW": _shape("tableRowData", "header", {"TABLE_CELL"}, at_least=1),
    "TABLE_CELL": _shape(
        "tableCellData", "cellStyle borderColors borderWidths colspan rowspan", BLOCKS - {"TABLE"}, at_least=1
    ),
    "BUTTON": _shape("buttonData", "containerData type styles text link"),
    "VIDEO": _shape("videoData", "containerData video thumbnail disableDownload title options"),
    "GALLERY": _shape("galleryData", "containerData items options disableExpand disableDownload"),
    "HTML": _shape("htmlData", "containerData url html source autoHeight"),
    "LINK_PREVIEW": _shape("linkPreviewData", "containerData link title thumbnailUrl description html config"),
    "GIF": _shape("gifData", "containerData original downsized height width gifType"),
    "AUDIO": _shape("audioData", "containerData audio disableDownload coverImage name authorName html"),
    "FILE": _shape("fileData", "containerData src name type size pdfSettings mimeType path sizeInKb"),
    "EMBED": _shape("embedData", "containerData oembed src"),
}  # fmt: skip
DECORATIONS: Mapping[str, frozenset[str]] = {
    "BOLD": frozenset({"fontWeightValue"}),
    "ITALIC": frozenset({"italicData"}),
    "UNDERLINE": frozenset({"underlineData"}),
    "SPOILER": frozenset({"spoilerData"}),
    "ANCHOR": frozenset({"anchorData"}),
    "MENTION": frozenset({"mentionData"}),
    "LINK": frozenset({"linkData"}),
    "COLOR": frozenset({"colorData"}),
    "FONT_SIZE": frozenset({"fontSizeData"}),
}


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
        self._by_type: Mapping[str, Callable[[Json, str], None]] = {
            "TEXT": self._text,
            "HEADING": self._heading,
            "IMAGE": self._image,
            "TABLE": self._table,
            "DIVIDER": self._divider,
        }

    def document(self, document: Any, path: str) -> None:
        if not self._object(document, path):
            return
        self._only(document, {"nodes", "metadata", "documentStyle"}, path)
        if not isinstance(document.get("nodes"), list):
            self._broken(f"{path}.nodes", "must be an array of nodes", "REQUIRED_FIELD")
            return
        for index, node in enumerate(document["nodes"]):
            self._node(node, f"{path}.nodes[{index}]", BLOCKS, parent="root", depth=0)

    def _node(self, node: Any, path: str, allowed: frozenset[str], *, parent: str, depth: int) -> None:
        if not self._object(node, path):
            return
        kind = node.get("type")
        if kind not in SHAPES:
            self._broken(f"{path}.type", f"unknown node type {kind!r}", "INVALID_ENUM_VALUE")
            return
        if kind not in allowed:
            wanted = "a paragraph node" if "PARAGRAPH" in allowed else " or ".join(sorted(allowed)) or "no node"
            self._broken(path, f"Expected {wanted} but found {kind} in {parent}", "INVALID_NESTING")
            return
        if depth > DEEPEST:
            self._broken(path, f"nested deeper than {DEEPEST}", "MAX_DEPTH")
            return
        shape = SHAPES[kind]
        self._only(node, {"type", "id", "nodes", "style", shape.data}, path)
        self._id(node, path)
        self._data(node, shape, path)
        self._by_type.get(kind, _nothing)(node, path)
        self._children(node, kind, shape, path, depth)

    def _children(self, node: Json, kind: str, shape: Shape, path: str, depth: int) -> None:
        children = node.get("nodes", [])
        if not isinstance(children, list):
            self._broken(f"{path}.nodes", "must be an array", "INVALID_TYPE")
            return
        if len(children) < shape.at_least:
            self._broken(f"{path}.nodes", f"{kind} needs at least {shape.at_least} child", "MIN_SIZE")
        for index, child in enumerate(children):
            allowed = shape.first if index == 0 and shape.first else shape.holds
            self._node(child, f"{path}.nodes[{index}]", allowed, parent=kind, depth=depth + 1)

    def _id(self, node: Json, path: str) -> None:
        node_id = node.get("id", "")
        if not isinstance(node_id, str):
            self._broken(f"{path}.id", "must be a string", "INVALID_TYPE")
        elif node_id and node_id in self._ids:
            self._broken(f"{path}.id", f"node id {node_id!r} is used twice", "UNIQUE")
        self._ids.add(str(node_id))

    def _data(self, node: Json, shape: Shape, path: str) -> None:
        data = node.get(shape.data)
        if data is None:
            if node["type"] in ("TEXT", "HEADING", "IMAGE", "TABLE"):
                self._broken(f"{path}.{shape.data}", "is required", "REQUIRED_FIELD")
            return
        if not self._object(data, f"{path}.{shape.data}"):
            return
        self._only(data, shape.keys, f"{path}.{shape.data}")
        style = data.get("textStyle")
        if style is not None and self._object(style, f"{path}.{shape.data}.textStyle"):
            self._only(style, {"textAlignment", "lineHeight"}, f"{path}.{shape.data}.textStyle")
            self._enum(style, "textAlignment", ALIGNMENTS, f"{path}.{shape.data}.textStyle")

    def _text(self, node: Json, path: str) -> None:
        data = node.get("textData")
        if not isinstance(data, dict):
            return
        text = data.get("text")
        if not isinstance(text, str) or not text:
            self._broken(f"{path}.textData.text", "must be a string of at least one character", "MIN_LENGTH")
        elif "\n" in text:
            self._broken(f"{path}.textData.text", "must not contain line breaks; use paragraphs", "INVALID_CHARACTER")
        decorations = data.get("decorations", [])
        if not isinstance(decorations, list):
            self._broken(f"{path}.textData.decorations", "must be an array", "INVALID_TYPE")
            return
        for index, decoration in enumerate(decorations):
            self._decoration(decoration, f"{path}.textData.decorations[{index}]")

    def _decoration(self, decoration: Any, path: str) -> None:
        if not self._object(decoration, path):
            return
        kind = str(decoration.get("type"))
        if kind not in DECORATIONS:
            self._broken(f"{path}.type", f"unknown decoration {kind!r}", "INVALID_ENUM_VALUE")
            return
        self._only(decoration, DECORATIONS[kind] | {"type"}, path)
        weight = decoration.get("fontWeightValue")
        if kind == "BOLD" and weight is not None and not _whole(weight, 100, 1000):
            self._broken(f"{path}.fontWeightValue", "must be a number between 100 and 1000", "INVALID_VALUE")
        if kind == "ITALIC" and not isinstance(decoration.get("italicData", True), bool):
            self._broken(f"{path}.italicData", "must be a boolean", "INVALID_TYPE")
        if kind == "LINK":
            self._link(decoration.get("linkData"), f"{path}.linkData")

    def _link(self, data: Any, path: str) -> None:
        if not self._object(data, path) or not self._object(data.get("link"), f"{path}.link"):
            return
        link = data["link"]
        self._only(data, {"link"}, path)
        self._only(link, {"url", "anchor", "target", "rel", "customData"}, f"{path}.link")
        if not (isinstance(link.get("url"), str) and link["url"]) and not link.get("anchor"):
            self._broken(f"{path}.link", "needs url or anchor", "REQUIRED_FIELD")
        self._enum(link, "target", TARGETS, f"{path}.link")
        rel = link.get("rel")
        if rel is not None and self._object(rel, f"{path}.link.rel"):
            self._only(rel, {"nofollow", "sponsored", "ugc", "noreferrer"}, f"{path}.link.rel")

    def _heading(self, node: Json, path: str) -> None:
        level = (node.get("headingData") or {}).get("level")
        if not _whole(level, 1, 6):
            self._broken(f"{path}.headingData.level", "must be a number between 1 and 6", "INVALID_VALUE")

    def _image(self, node: Json, path: str) -> None:
        image = (node.get("imageData") or {}).get("image")
        at = f"{path}.imageData.image"
        if not self._object(image, at):
            return
        self._only(image, {"src", "width", "height", "duration"}, at)
        source = image.get("src")
        if not isinstance(source, dict) or not (source.get("id") or source.get("url")):
            self._broken(f"{at}.src", "needs id or url", "REQUIRED_FIELD")
        for name in ("width", "height"):
            if not _whole(image.get(name), 1, 100_000):
                self._broken(f"{at}.{name}", "must be a positive number", "INVALID_VALUE")

    def _table(self, node: Json, path: str) -> None:
        rows = [row for row in node.get("nodes") or [] if isinstance(row, dict)]
        widths = {len(row.get("nodes") or []) for row in rows}
        if len(widths) > 1:
            self._broken(f"{path}.nodes", "every row must have as many cells", "INVALID_SIZE")
        dimensions = (node.get("tableData") or {}).get("dimensions")
        at = f"{path}.tableData.dimensions"
        if not self._object(dimensions, at):
            return
        self._only(dimensions, {"colsWidthRatio", "rowsHeight", "colsMinWidth"}, at)
        for name, size in (("colsWidthRatio", max(widths, default=0)), ("colsMinWidth", max(widths, default=0)),
                           ("rowsHeight", len(rows))):  # fmt: skip
            if name in dimensions and len(dimensions[name]) != size:
                self._broken(f"{at}.{name}", f"must have {size} entries", "INVALID_SIZE")

    def _divider(self, node: Json, path: str) -> None:
        data = node.get("dividerData") or {}
        self._enum(data, "lineStyle", frozenset({"SINGLE", "DOUBLE", "DASHED", "DOTTED"}), f"{path}.dividerData")
        self._enum(data, "width", frozenset({"LARGE", "MEDIUM", "SMALL"}), f"{path}.dividerData")

    def _object(self, value: Any, path: str) -> TypeGuard[dict[str, Any]]:
        if isinstance(value, dict):
            return True
        self._broken(path, "must be an object", "REQUIRED_FIELD" if value is None else "INVALID_TYPE")
        return False

    def _only(self, value: Json, known: frozenset[str] | set[str], path: str) -> None:
        for name in value:
            if name not in known:
                self._broken(f"{path}.{name}", f"must NOT have additional property {name!r}", "UNKNOWN_PROPERTY")

    def _enum(self, value: Json, name: str, allowed: frozenset[str], path: str) -> None:
        if name in value and value[name] not in allowed:
            self._broken(f"{path}.{name}", f"must be one of {', '.join(sorted(allowed))}", "INVALID_ENUM_VALUE")

    def _broken(self, path: str, description: str, rule: str) -> None:
        self.found.append(Violation(path, description, rule))


def _nothing(_node: Json, _path: str) -> None:
    """Most node types have no rule beyond their shape."""


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
