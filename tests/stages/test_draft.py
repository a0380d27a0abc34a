"""Drafts keep every limit of Wix: a refused post has been paid for and is lost."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.errors import Rejected
from blogworker.post.draft import AROUND_POST, LARGEST_POST, covered, draft_of
from blogworker.post.ricos import ricos
from blogworker.post.ricos_html import ricos_html
from blogworker.post.ricos_rules import ricos_faults
from blogworker.post.ricos_size import compact, size_of, truncated
from blogworker.simulator.ricos_rules import violations
from blogworker.stages.content import read_post

from .conftest import body, idea, post
from .markdown import BLOCKS, OWN, PICTURES, texts

WIDE = "שלום עולם "  # two bytes a letter as it is sent, six when escaped


def draft(**fields):
    content = read_post(json.dumps(post(**fields)), source={}, idea=idea())
    return draft_of(content, member_id="m", language="en", keywords=["a", "b", "c", "d", "e", "f", "g"])


ONE_SCRIPT = st.characters(categories=["Ll", "Lu", "Nd"], max_codepoint=0x17F)  # what no check of a post objects to


@settings(max_examples=100)
@given(st.text(ONE_SCRIPT, min_size=20, max_size=50), st.text(ONE_SCRIPT, min_size=20), st.text())
def test_every_field_keeps_its_limit(title, excerpt, slug):
    try:
        made = draft(title=f"Title {title}", excerpt=f"A very good excerpt {excerpt}" * 40, slug=slug)
    except Rejected:
        pytest.fail("limits are kept by cutting")

    assert 0 < len(made["title"]) <= 200
    assert len(made["excerpt"]) <= 500
    assert 0 < len(quote(made["seoSlug"])) <= 100
    assert len(made["seoData"]["settings"]["keywords"]) == 5
    assert "slug" not in made


def test_a_post_is_as_large_as_it_is_sent():
    """Text of other scripts is not refused for bytes that only an escaped form would have."""
    long = "\n\n".join([body(), *(f"{n} {WIDE * 300}" for n in range(60))])

    made = draft(body_markdown=long)

    assert len(json.dumps(made).encode()) > LARGEST_POST
    assert made["richContent"] == ricos(read_post(json.dumps(post(body_markdown=long)), source={}, idea={})["markdown"])


def test_a_post_too_large_loses_its_last_sections():
    long = "\n\n".join([body(), *(f"## More {n}\n\nOf {n}: {'words and words ' * 2_000}end." for n in range(20))])

    made = covered(draft(body_markdown=long), file_id="f" * 60, alt="a" * 125)

    last = made["richContent"]["nodes"][-1]
    said = " ".join(texts(made["richContent"]))
    assert LARGEST_POST * 0.85 < size_of({"draftPost": made, "publish": False, "fieldsets": []}) <= LARGEST_POST
    assert ricos_faults(made["richContent"]) == []
    assert "More 0" in said
    assert "More 19" not in said
    assert last["type"] == "PARAGRAPH"
    assert "".join(texts(last)).endswith("words and words end.")


def test_invisible_parts_are_dropped_before_any_word():
    markdown = "\n\n".join(["a"] * 200)
    whole = ricos(markdown)

    kept = truncated(whole, room=size_of(whole) * 2 // 3)

    assert ricos_html(kept) == ricos_html(whole)


def test_a_post_that_cannot_be_shortened_is_refused_with_a_clear_message():
    """Better than Wix's answer: it says what a person can do."""
    long = "## One\n\n## Two\n\n" + "words and words " * 30_000

    with pytest.raises(Rejected, match="no section that can be removed") as raised:
        draft_of(
            {**read_post(json.dumps(post()), source={}, idea=idea()), "markdown": long.removeprefix("## One\n\n")},
            member_id="m",
            language=None,
            keywords=[],
        )
    assert raised.value.provider == "post"  # Wix has not answered


@settings(max_examples=200)
@given(BLOCKS)
def test_a_compact_document_looks_the_same(markdown):
    whole = ricos(f"opening\n\n{markdown}", own_url=OWN, pictures=PICTURES)
    lighter = {"nodes": [compact(node) for node in whole["nodes"]]}

    assert ricos_html(lighter) == ricos_html(whole)
    assert ricos_faults(lighter) == []
    assert violations(lighter) == []


def test_the_cover_fits_into_its_reserved_space():
    media = covered({}, file_id="f" * 200, alt="\N{SNOWMAN}" * 125)

    assert size_of({"draftPost": media, "publish": False, "fieldsets": []}) < AROUND_POST
