"""The rules of Ricos that our documents must keep, checked before one is sent: Wix refuses a post for any breach."""

from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]

LISTS = frozenset({"BULLETED_LIST", "ORDERED_LIST"})
MEDIA = frozenset({"IMAGE", "DIVIDER"})
TEXT = frozenset({"TEXT"})
HOLDS: Mapping[str, frozenset[str]] = {  # those not listed hold nothing
    "document": frozenset({"PARAGRAPH", "HEADING", "BLOCKQUOTE", "CODE_BLOCK"}) | LISTS | MEDIA,
    "PARAGRAPH": TEXT,
    "HEADING": TEXT,
    "CODE_BLOCK": TEXT,
    "BULLETED_LIST": frozenset({"LIST_ITEM"}),
    "ORDERED_LIST": frozenset({"LIST_ITEM"}),
    "LIST_ITEM": frozenset({"PARAGRAPH", "HEADING"}) | LISTS | MEDIA,
    "BLOCKQUOTE": frozenset({"PARAGRAPH"}),
}
NEVER_EMPTY = LISTS | {"LIST_ITEM", "BLOCKQUOTE", "document"}
DATA = {
    "TEXT": ("textData", {"text", "decorations"}),
    "PARAGRAPH": ("paragraphData", {"textStyle", "indentation"}),
    "HEADING": ("headingData", {"level", "textStyle", "indentation"}),
    "CODE_BLOCK": ("codeBlockData", {"textStyle"}),
    "BULLETED_LIST": ("bulletedListData", {"indentation"}),
    "ORDERED_LIST": ("orderedListData", {"indentation", "start"}),
    "LIST_ITEM": ("listItemData", set[str]()),
    "BLOCKQUOTE": ("blockquoteData", {"indentation"}),
    "IMAGE": ("imageData", {"containerData", "image", "altText"}),
    "DIVIDER": ("dividerData", {"lineStyle", "width", "alignment"}),
}
DECORATIONS = {"BOLD": "fontWeightValue", "ITALIC": "italicData", "UNDERLINE": "underlineData", "LINK": "linkData"}
TARGETS = frozenset({"SELF", "BLANK", "PARENT", "TOP"})
DEEPEST = 30


def ricos_faults(document: Node) -> list[str]:
    """Every rule the document breaks, with the place; empty if it may be sent."""
    ids: set[str] = set()
    faults = [f"document: unknown property {key}" for key in document if key not in ("nodes", "metadata")]
    return faults + list(_held("document", document.get("nodes"), "document", ids=ids, depth=0))


def _held(kind: str, nodes: object, path: str, *, ids: set[str], depth: int) -> Iterator[str]:
    """What is wrong with the children of a node, and below."""
    if not isinstance(nodes, list):
        yield f"{path}: nodes must be a list"
        return
    if not nodes and kind in NEVER_EMPTY:
        yield f"{path}: {kind} must hold something"
    if nodes and kind == "LIST_ITEM" and _kind(nodes[0]) in LISTS:
        yield f"{path}: a list item may not begin with a list"
    for index, node in enumerate(nodes):
        place = f"{path}.{index}"
        if _kind(node) not in HOLDS.get(kind, frozenset()):
            yield f"{place}: {_kind(node)} may not stand in {kind}"
        elif depth > DEEPEST:
            yield f"{place}: nested deeper than {DEEPEST}"
        else:
            yield from _own(node, place, ids)
            yield from _held(_kind(node), node.get("nodes", []), place, ids=ids, depth=depth + 1)


def _kind(node: object) -> str:
    return str(node.get("type")) if isinstance(node, Mapping) else "no node"


def _own(node: Node, path: str, ids: set[str]) -> Iterator[str]:
    """What is wrong with a node itself."""
    kind = _kind(node)
    name, known = DATA[kind]
    data = node.get(name, {})
    for key in node.keys() - {"type", "id", "nodes", name}:
        yield f"{path}: unknown property {key}"
    for key in data.keys() - known:
        yield f"{path}: unknown property {name}.{key}"
    if (own_id := node.get("id")) and own_id in ids:
        yield f"{path}: id {own_id} is used twice"
    ids.add(str(own_id))
    match kind:
        case "TEXT":
            yield from _text(data, path)
        case "HEADING" if data.get("level") not in range(1, 7):
            yield f"{path}: heading level {data.get('level')} is not 1 to 6"
        case "IMAGE":
            yield from _image(data, path)


def _text(data: Node, path: str) -> Iterator[str]:
    text = data.get("text")
    if not isinstance(text, str) or not text:
        yield f"{path}: text must not be empty"
    elif "\n" in text:
        yield f"{path}: text must not hold a line break"
    for decoration in data.get("decorations", []):
        kind = decoration.get("type")
        if kind not in DECORATIONS:
            yield f"{path}: unknown decoration {kind}"
        elif extra := decoration.keys() - {"type", DECORATIONS[kind]}:
            yield f"{path}: unknown property {min(extra)} of {kind}"
        elif kind == "LINK":
            yield from _link((decoration.get("linkData") or {}).get("link") or {}, path)


def _link(link: Node, path: str) -> Iterator[str]:
    if not link.get("url"):
        yield f"{path}: a link needs a url"
    if link.get("target", "SELF") not in TARGETS:
        yield f"{path}: unknown link target {link['target']}"


def _image(data: Node, path: str) -> Iterator[str]:
    image = data.get("image") or {}
    if not (image.get("src") or {}).get("id"):
        yield f"{path}: an image needs the id of a file"
    if not image.get("width") or not image.get("height"):
        yield f"{path}: an image needs width and height"
