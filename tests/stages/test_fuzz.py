"""Texts as producers, shops and models might send them: each is cleaned, none raises.

Of each kind 2,000 are tried here and 8,000 others in `make proof`.
"""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from blogworker.errors import Rejected
from blogworker.post import render
from blogworker.post.plain import cut, cut_clean, plain, slug, web_address
from blogworker.post.ricos import ricos
from blogworker.post.ricos_html import ricos_html
from blogworker.post.ricos_rules import ricos_faults
from blogworker.stages.source import normalised

pytestmark = pytest.mark.slow

INPUTS = 2_000
SEEDS = [0, *(pytest.param(more, marks=pytest.mark.proof) for more in range(1, 5))]
HTML = (
    "<p>Hi &amp; <b>you</b></p>", "<![S-M]>", "<![if !x]>", "<![CDATA[x]]>", "<!-- a -->", '<a href="x">y</a>',
    "<script>a</script>", "&#8364;", "&#xD800;", "&#" + "9" * 4400 + ";", "<p", "</", "<!", "<?xml ?>", "]]>",
    "--!>", '="', "='", "&nbsp;&lt;", "\0", "\ud800", "\udcff", "\u202e", "\u2028", "😀", "word", "http://[",
    "https://x.example/a", "https://[::1", "//", "%zz",
)  # fmt: skip
MARKDOWN = (
    "# a", "## b", "- c", "1. d", "> e", "| a | b |\n|---|---|\n| c | d |", "```js\nx\n```", "**bold**",
    "*it*", "[a](https://x.example)", "![p](https://x/y.png)", "`code`", "<b>html</b>", "---", "  \n", "\t",
    "\\", "&#x110000;", "[a][b]\n\n[b]: https://x", "~~~", "\r", "\0", "\ud800", "| |", "|-|",
    "999999999999. x", "0. x", "[[", "]]", "((", "![", "<http://a.b>", "<a@b.c>", "http://[", "[a](http://[)",
    "[x](javascript:a)", "😀", "\u2028", "    x", "-\n  -", ">\n> >",
)  # fmt: skip
WORDS = ("name", "title", "Body (HTML)", "tags", "price", "url", "image", "keyword", "text", "labels", "\ud800", "")


def joined(random: Random, pieces: Sequence[str], most: int) -> str:
    return "".join(
        random.choice(pieces) + random.choice(("", "\n", " ", "\n\n")) for _ in range(random.randint(0, most))
    )


def value(random: Random, depth: int = 0) -> Any:
    kind = random.random()
    if kind < 0.2 and depth < 4:
        return {random.choice(WORDS): value(random, depth + 1) for _ in range(random.randint(0, 3))}
    if kind < 0.4 and depth < 4:
        return [value(random, depth + 1) for _ in range(random.randint(0, 3))]
    return random.choice((None, True, 0, -1, 1e308, 10**300, "", joined(random, HTML, 3)))


@pytest.mark.parametrize("seed", SEEDS)
def test_any_text_is_cleaned(seed: int) -> None:
    random = Random(21 + seed)
    for _ in range(INPUTS):
        text = joined(random, HTML, 8)
        for cleaned in (plain(text, limit=80), cut(text, 80), cut_clean(text, 80)):
            assert len(cleaned) <= 80
        plain(text, limit=80).encode()
        slug(text[:300]).encode()
        assert web_address(text) == "" or " " not in web_address(text)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_source_data_is_a_source_or_is_rejected(seed: int) -> None:
    random = Random(22 + seed)
    for _ in range(INPUTS):
        data = {random.choice(WORDS): value(random) for _ in range(random.randint(0, 4))}
        try:
            source = normalised(
                random.choice(("keyword", "text", "product")), random.choice((None, "p", "\ud800")), data
            )
        except Rejected:
            continue
        json.dumps(source)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_markdown_is_a_document_that_keeps_the_rules(seed: int) -> None:
    random = Random(23 + seed)
    for _ in range(INPUTS):
        document = ricos(f"opening\n\n{joined(random, MARKDOWN, 3)}", own_url="https://x.example")
        assert ricos_faults(document) == []
        ricos_html(document)


@pytest.mark.parametrize("piece", ["[", "![", "![a ", "[a](<"])
def test_unclosed_brackets_are_text(piece: str) -> None:
    """The parser searches for the end of each one separately: 20,000 of them took minutes."""
    markdown = piece * 10_000

    read = render.text(markdown)

    assert read.replace(" ", "").count("[") == 10_000
