"""The rules of Ricos, checked before a document is sent: Wix refuses a post that breaks one of them.

Only the kinds of node that we write are allowed. Everything that the schema of Wix refuses is refused here; a test
compares both. Some faults that the schema accepts are refused too, because the page would be wrong: an empty post, a
picture without its size, a heading of level seven, a line break inside a line, a duplicate id.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
# A type, a range of integers, a set of words, a list with the spec of its entries, or an object with optional keys.
Spec = type | range | frozenset[str] | list[Any] | Mapping[str, Any]

INT, SIZE = range(-(2**31), 2**31), range(2**32)
TEXT = frozenset({"TEXT"})
LISTS = frozenset({"BULLETED_LIST", "ORDERED_LIST"})
LINES = frozenset({"PARAGRAPH", "HEADING"})
BLOCKS = LINES | LISTS | {"BLOCKQUOTE", "CODE_BLOCK", "IMAGE", "DIVIDER"}
CHILDREN: Mapping[str, frozenset[str]] = {  # kind -> allowed children; kinds not listed have none
    "document": BLOCKS | {"TABLE"},
    "PARAGRAPH": TEXT,
    "HEADING": TEXT,
    "CODE_BLOCK": TEXT,
    "BULLETED_LIST": frozenset({"LIST_ITEM"}),
    "ORDERED_LIST": frozenset({"LIST_ITEM"}),
    "LIST_ITEM": LINES | LISTS | {"IMAGE"},
    "BLOCKQUOTE": frozenset({"PARAGRAPH"}),
    "TABLE": frozenset({"TABLE_ROW"}),
    "TABLE_ROW": frozenset({"TABLE_CELL"}),
    "TABLE_CELL": BLOCKS,
}
NEVER_EMPTY = LISTS | {"LIST_ITEM", "BLOCKQUOTE", "TABLE", "TABLE_ROW", "TABLE_CELL", "document"}

STYLE: Spec = {"textAlignment": frozenset({"AUTO", "LEFT", "RIGHT", "CENTER", "JUSTIFY"}), "lineHeight": str}
LINK: Spec = {
    "url": str,
    "anchor": str,
    "target": frozenset({"SELF", "BLANK", "PARENT", "TOP"}),
    "rel": {"nofollow": bool, "sponsored": bool, "ugc": bool, "noreferrer": bool},
}
SIDES = frozenset({"CENTER", "LEFT", "RIGHT"})
WIDTHS = frozenset({"CONTENT", "SMALL", "ORIGINAL", "FULL_WIDTH"})
DATA: Mapping[str, tuple[str, Spec]] = {
    "TEXT": ("textData", {"text": str, "decorations": [object]}),
    "PARAGRAPH": ("paragraphData", {"textStyle": STYLE, "indentation": INT, "level": INT}),
    "HEADING": ("headingData", {"level": INT, "textStyle": STYLE, "indentation": INT}),
    "CODE_BLOCK": ("codeBlockData", {"textStyle": STYLE}),
    "BULLETED_LIST": ("bulletedListData", {"indentation": INT, "offset": INT}),
    "ORDERED_LIST": ("orderedListData", {"indentation": INT, "offset": INT, "start": INT}),
    "BLOCKQUOTE": ("blockquoteData", {"indentation": INT}),
    "IMAGE": (
        "imageData",
        {
            "containerData": {"width": {"size": WIDTHS}, "alignment": SIDES, "textWrap": bool},
            "image": {"src": {"id": str, "url": str}, "width": INT, "height": INT},
            "altText": str,
            "caption": str,
        },
    ),
    "DIVIDER": (
        "dividerData",
        {
            "lineStyle": frozenset({"SINGLE", "DOUBLE", "DASHED", "DOTTED"}),
            "width": frozenset({"LARGE", "MEDIUM", "SMALL"}),
            "alignment": SIDES,
        },
    ),
    "TABLE": (
        "tableData",
        {
            "dimensions": {"colsWidthRatio": [float], "rowsHeight": [SIZE], "colsMinWidth": [SIZE]},
            "rowHeader": bool,
            "columnHeader": bool,
        },
    ),
    "TABLE_CELL": ("tableCellData", {"cellStyle": {"verticalAlignment": frozenset({"TOP", "MIDDLE", "BOTTOM"})}}),
}
WITHOUT_DATA = frozenset({"LIST_ITEM", "TABLE_ROW"})
DECORATIONS: Mapping[str, tuple[str, Spec]] = {
    "BOLD": ("fontWeightValue", float),
    "ITALIC": ("italicData", bool),
    "UNDERLINE": ("underlineData", bool),
    "LINK": ("linkData", {"link": LINK}),
}
ID = re.compile(r"[-_A-Za-z0-9]*")
DEEPEST = 30


def ricos_faults(document: Node) -> list[str]:
    """Return every rule that the document breaks, with the place; empty if it can be sent."""
    faults = [f"document: unknown property {key}" for key in document if key != "nodes"]
    return faults + list(_child_faults("document", document.get("nodes"), "document", ids=set(), depth=0))


def _child_faults(kind: str, nodes: object, path: str, *, ids: set[str], depth: int) -> Iterator[str]:
    """Yield the faults of the children of a node, and of their children."""
    if not isinstance(nodes, list):
        yield f"{path}: nodes must be a list"
        return
    if not nodes and kind in NEVER_EMPTY:
        yield f"{path}: {kind} must not be empty"
    if kind == "BLOCKQUOTE" and len(nodes) > 1:
        yield f"{path}: a quote contains one paragraph"
    if nodes and kind == "LIST_ITEM" and _kind(nodes[0]) in LISTS:
        yield f"{path}: a list item must not begin with a list"
    if kind == "TABLE" and len({len(_children(row)) for row in nodes}) > 1:
        yield f"{path}: all rows of a table must have the same length"
    for index, node in enumerate(nodes):
        place = f"{path}.{index}"
        if _kind(node) not in CHILDREN.get(kind, frozenset()):
            yield f"{place}: {_kind(node)} is not allowed in {kind}"
        elif depth > DEEPEST:
            yield f"{place}: nested deeper than {DEEPEST}"
        else:
            yield from _node_faults(node, place, ids, parent=kind)
            yield from _child_faults(_kind(node), node.get("nodes", []), place, ids=ids, depth=depth + 1)


def _kind(node: object) -> str:
    return str(node.get("type")) if isinstance(node, Mapping) else "no node"


def _children(node: object) -> list[Any]:
    nodes = node.get("nodes") if isinstance(node, Mapping) else None
    return nodes if isinstance(nodes, list) else []


def _node_faults(node: Node, path: str, ids: set[str], *, parent: str) -> Iterator[str]:
    """Yield the faults of a node itself."""
    kind = _kind(node)
    name, spec = ("", {}) if kind in WITHOUT_DATA else DATA[kind]
    for key in node.keys() - {"type", "id", "nodes", name}:
        yield f"{path}: unknown property {key}"
    yield from _id(node.get("id", ""), path, ids)
    data = node.get(name, {})
    if faults := list(_mismatches(data, spec, f"{path}: {name}")):
        yield from faults
        return
    match kind:
        case "TEXT":
            yield from _text(data, path, may_break=parent == "CODE_BLOCK")
        case "HEADING" if data.get("level") not in range(1, 7):
            yield f"{path}: heading level {data.get('level')} is not 1 to 6"
        case "IMAGE":
            yield from _image(data.get("image", {}), path)


def _id(own_id: object, path: str, ids: set[str]) -> Iterator[str]:
    if not isinstance(own_id, str) or not ID.fullmatch(own_id):
        yield f"{path}: an id consists of letters, digits, - and _"
    elif own_id and own_id in ids:
        yield f"{path}: duplicate id {own_id}"
    else:
        ids.add(own_id)


def _mismatches(value: object, spec: Spec, path: str) -> Iterator[str]:
    """Yield where a value does not match its spec."""
    if isinstance(spec, Mapping):
        if not isinstance(value, Mapping):
            yield f"{path} must be an object"
            return
        for key in value:
            if key in spec:
                yield from _mismatches(value[key], spec[key], f"{path}.{key}")
            else:
                yield f"{path}: unknown property {key}"
    elif isinstance(spec, list):
        if not isinstance(value, list):
            yield f"{path} must be a list"
            return
        for entry in value:
            yield from _mismatches(entry, spec[0], path)
    elif isinstance(spec, frozenset):
        if not isinstance(value, str) or value not in spec:
            yield f"{path}: {value!r} is not one of {', '.join(sorted(spec))}"
    elif isinstance(spec, range):
        if not isinstance(value, int) or isinstance(value, bool) or value not in spec:
            yield f"{path} must be a whole number from {spec.start} to {spec.stop - 1}"
    elif spec is float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            yield f"{path} must be a number"
    elif not isinstance(value, spec):
        yield f"{path} must be a {spec.__name__}"


def _text(data: Node, path: str, *, may_break: bool) -> Iterator[str]:
    text = data.get("text")
    if not text:
        yield f"{path}: text must not be empty"
    elif "\n" in text and not may_break:
        yield f"{path}: text must not contain a line break"
    kinds = [_kind(decoration) for decoration in data.get("decorations", [])]
    for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        yield f"{path}: duplicate decoration {kind}"
    for decoration in data.get("decorations", []):
        yield from _decoration(decoration, path)


def _decoration(decoration: Any, path: str) -> Iterator[str]:
    kind = _kind(decoration)
    if kind not in DECORATIONS:
        yield f"{path}: unknown decoration {kind}"
        return
    name, spec = DECORATIONS[kind]
    style = {key: value for key, value in decoration.items() if key != "type"}
    if faults := list(_mismatches(style, {name: spec}, f"{path}: {kind}")):
        yield from faults
    elif kind == "LINK":
        link = style.get(name, {}).get("link", {})
        if bool(link.get("url")) + bool(link.get("anchor")) != 1 or {"url", "anchor"} <= link.keys():
            yield f"{path}: a link needs a url or an anchor"


def _image(image: Node, path: str) -> Iterator[str]:
    source = image.get("src", {})
    if len(source) != 1 or not all(source.values()):
        yield f"{path}: an image needs the id of a file, or its address"
    if not all(image.get(side, 0) > 0 for side in ("width", "height")):
        yield f"{path}: an image needs width and height"
