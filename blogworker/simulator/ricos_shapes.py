"""The node types of Wix rich content: which children each can have, and which fields, with their types.

A field is written `name:type`, a list `name:type*`, a required field `name!:type`. A type is a JSON type (`any` accepts
every value), a name in ENUMS, or a name in OBJECTS.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LISTS = frozenset({"BULLETED_LIST", "ORDERED_LIST"})
FRAMED = frozenset({"IMAGE", "VIDEO", "GIF"})
MEDIA = FRAMED | {"AUDIO", "FILE", "HTML", "EMBED", "DIVIDER", "BUTTON", "LINK_PREVIEW"}
LINES = frozenset({"PARAGRAPH", "HEADING"})
IN_CELL = LINES | LISTS | MEDIA | {"BLOCKQUOTE", "CODE_BLOCK"}
BLOCKS = IN_CELL | {"TABLE", "GALLERY"}
STYLED = LINES | {"BLOCKQUOTE", "CODE_BLOCK"}

ENUMS: Mapping[str, frozenset[str]] = {
    "alignment": frozenset({"AUTO", "LEFT", "RIGHT", "CENTER", "JUSTIFY"}),
    "target": frozenset({"SELF", "BLANK", "PARENT", "TOP"}),
    "side": frozenset({"CENTER", "LEFT", "RIGHT"}),
    "fit": frozenset({"CONTENT", "SMALL", "ORIGINAL", "FULL_WIDTH"}),
    "stroke": frozenset({"SINGLE", "DOUBLE", "DASHED", "DOTTED"}),
    "length": frozenset({"LARGE", "MEDIUM", "SMALL"}),
    "upright": frozenset({"TOP", "MIDDLE", "BOTTOM"}),
}


def _fields(written: str) -> Mapping[str, str]:
    return dict(field.split(":") for field in written.split())


OBJECTS: Mapping[str, Mapping[str, str]] = {
    name: _fields(written)
    for name, written in {
        "document": "nodes!:any metadata:any documentStyle:any",
        "padding": "paddingTop:str paddingBottom:str backgroundColor:str",
        "style": "textAlignment:alignment lineHeight:str",
        "rel": "nofollow:bool sponsored:bool ugc:bool noreferrer:bool",
        "link": "url:str anchor:str target:target rel:rel customData:str",
        "linkData": "link:link",
        "width": "size:fit custom:str",
        "height": "custom:str",
        "container": "width:width alignment:side spoiler:any height:height textWrap:bool",
        "source": "id:str url:str private:bool",
        "media": "src!:source width:int height:int duration:number",
        "dimensions": "colsWidthRatio:number* rowsHeight:size* colsMinWidth:size*",
        "cellStyle": "verticalAlignment:upright backgroundColor:str",
        "borders": "left:str right:str top:str bottom:str",
    }.items()
}
EITHER: Mapping[str, tuple[str, str]] = {"link": ("url", "anchor"), "source": ("id", "url")}  # exactly one of the two


@dataclass(frozen=True, slots=True)
class Shape:
    """A node type: its data field (empty: none), the fields of that, and the children it can have."""

    data: str
    fields: Mapping[str, str]
    children: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()  # allowed types of the first child; empty: as `children`
    at_least: int = 0
    at_most: int | None = None
    needs_data: bool = False


def _shape(
    data: str, fields: str, children: frozenset[str] | set[str] = frozenset(), *, at_least: int = 0,
    at_most: int | None = None, first: frozenset[str] | set[str] = frozenset(), needs_data: bool = False,
) -> Shape:  # fmt: skip
    return Shape(data, _fields(fields), frozenset(children), frozenset(first), at_least, at_most, needs_data)


_TEXT_ONLY = frozenset({"TEXT"})
_IN_ITEM = LINES | FRAMED | {"GALLERY"}
SHAPES: Mapping[str, Shape] = {
    "TEXT": _shape("textData", "text!:str decorations:any*", needs_data=True),
    "PARAGRAPH": _shape("paragraphData", "textStyle:style indentation:int level:int", _TEXT_ONLY),
    "HEADING": _shape("headingData", "level:int textStyle:style indentation:int", _TEXT_ONLY, needs_data=True),
    "BULLETED_LIST": _shape("bulletedListData", "indentation:int offset:int", {"LIST_ITEM"}, at_least=1),
    "ORDERED_LIST": _shape("orderedListData", "indentation:int offset:int start:int", {"LIST_ITEM"}, at_least=1),
    "LIST_ITEM": _shape("", "", _IN_ITEM | LISTS, at_least=1, first=_IN_ITEM),
    "BLOCKQUOTE": _shape("blockquoteData", "indentation:int", {"PARAGRAPH"}, at_least=1, at_most=1),
    "CODE_BLOCK": _shape("codeBlockData", "textStyle:style", _TEXT_ONLY),
    "IMAGE": _shape(
        "imageData",
        "containerData:container image!:media link:link disableExpand:bool altText:str caption:str "
        "disableDownload:bool",
        needs_data=True,
    ),
    "DIVIDER": _shape("dividerData", "containerData:container lineStyle:stroke width:length alignment:side"),
    "TABLE": _shape(
        "tableData", "containerData:container dimensions:dimensions rowHeader:bool columnHeader:bool",
        {"TABLE_ROW"}, at_least=1,
    ),
    "TABLE_ROW": _shape("", "", {"TABLE_CELL"}, at_least=1),
    "TABLE_CELL": _shape("tableCellData", "cellStyle:cellStyle borderColors:borders", IN_CELL, at_least=1),
    "BUTTON": _shape("buttonData", "containerData:container type!:any text!:str styles:any link:any", needs_data=True),
    "VIDEO": _shape(
        "videoData", "containerData:container video!:media thumbnail:any disableDownload:bool title:str options:any",
        needs_data=True,
    ),
    "GALLERY": _shape(
        "galleryData", "containerData:container items!:any* options:any disableExpand:bool disableDownload:bool",
        needs_data=True,
    ),
    "HTML": _shape("htmlData", "containerData:container url:str html:str source:any", needs_data=True),
    "LINK_PREVIEW": _shape(
        "linkPreviewData",
        "containerData:container link:link title:str thumbnailUrl:str description:str html:str", needs_data=True,
    ),
    "GIF": _shape(
        "gifData", "containerData:container original:any downsized:any height:int width:int", needs_data=True
    ),
    "AUDIO": _shape(
        "audioData",
        "containerData:container audio:media disableDownload:bool coverImage:media name:str authorName:str html:str",
    ),
    "FILE": _shape(
        "fileData",
        "containerData:container src:source name:str type:str size:int sizeInKb:any pdfSettings:any mimeType:str "
        "path:str",
        needs_data=True,
    ),
    "EMBED": _shape("embedData", "containerData:container oembed:any src:str", needs_data=True),
}  # fmt: skip
DECORATIONS: Mapping[str, Mapping[str, str]] = {
    "BOLD": _fields("fontWeightValue:number"),
    "ITALIC": _fields("italicData:bool"),
    "UNDERLINE": _fields("underlineData:bool"),
    "SPOILER": _fields("spoilerData:any"),
    "ANCHOR": _fields("anchorData:any"),
    "MENTION": _fields("mentionData:any"),
    "LINK": _fields("linkData:linkData"),
    "COLOR": _fields("colorData:any"),
    "FONT_SIZE": _fields("fontSizeData:any"),
}
