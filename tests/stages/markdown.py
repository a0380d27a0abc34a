"""Markdown that hypothesis makes up: every block and mark a model may use, nested as no person would."""

from typing import Any

from hypothesis import strategies as st

from blogworker.post.ricos import Picture

OWN = "https://shop.example/mug"
PICTURES = {"https://own.example/p.jpg": Picture("abc~mv2.jpg", 1024, 576)}

WORDS = st.text("ab é<>&\"'\\*_`~|", min_size=1, max_size=8)
INLINE = st.one_of(
    WORDS,
    WORDS.map(lambda word: f"**{word}**"),
    WORDS.map(lambda word: f"*{word}*"),
    WORDS.map(lambda word: f"***{word}*" + "* end**"),
    WORDS.map(lambda word: f"`{word}`"),
    st.sampled_from(
        [
            f"[x *y*]({OWN}?a=1)",
            f"**[q]({OWN})**",
            "[z](https://evil.example)",
            "![p](https://x/y.png)",
            "![own **p**](https://own.example/p.jpg)",
            f"[![own](https://own.example/p.jpg)]({OWN})",
            "<b>raw</b>",
            "<script>alert(1)</script>",
            "&amp; &copy;",
            "  \n",
            "\n",
        ]
    ),
)
PARAGRAPHS = st.lists(INLINE, min_size=1, max_size=6).map(" ".join)


def indented(text: str, mark: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([mark + first, *(" " * len(mark) + line for line in rest)])


def table(rows: list[list[str]]) -> str:
    head, *body = [f"| {' | '.join(cell.replace(chr(10), ' ') for cell in row)} |" for row in rows]
    return "\n".join([head, "|" + "|".join([" --- ", " :-: ", " --: "][: len(rows[0])]) + "|", *body])


TABLES = st.integers(1, 3).flatmap(
    lambda width: st.lists(
        st.lists(st.one_of(PARAGRAPHS, st.just("")), min_size=width, max_size=width), min_size=1, max_size=4
    ).map(table)
)
LEAVES = st.one_of(
    PARAGRAPHS,
    st.tuples(st.integers(1, 6), WORDS).map(lambda pair: f"{'#' * pair[0]} {pair[1]}"),
    TABLES,
    st.sampled_from(
        ["---", "```\na\n\n\tb\n```", "```\n\n```", "    code", "two\n===", "<div>\nblock\n</div>", "", "-", ">", "#"]
    ),
)
BLOCKS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda text: "\n".join(f"> {line}" for line in text.split("\n"))),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: "\n".join(indented(item, "- ") for item in items)),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: "\n".join(indented(item, "7. ") for item in items)),
        st.lists(inner, min_size=1, max_size=3).map("\n\n".join),
    ),
    max_leaves=12,
)


def text_node(text: Any = "a", **data: Any) -> dict[str, Any]:
    return {"type": "TEXT", "id": "", "nodes": [], "textData": {"text": text, "decorations": [], **data}}


def paragraph(*nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "PARAGRAPH", "id": "", "nodes": list(nodes), "paragraphData": {}, **fields}


def cell(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "TABLE_CELL", "nodes": list(nodes), "tableCellData": {}}


def texts(node: dict[str, Any]) -> list[str]:
    found = [node["textData"]["text"]] if node.get("type") == "TEXT" else []
    return found + [text for child in node.get("nodes", []) for text in texts(child)]
