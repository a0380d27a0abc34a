"""Links of a post to other posts of its site: allowed addresses only, each once."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from blogworker.post import render
from blogworker.post.ricos import ricos
from blogworker.post.ricos_html import ricos_html
from blogworker.post.ricos_rules import ricos_faults
from blogworker.simulator.ricos_rules import violations
from blogworker.stages import content, ideas, library
from blogworker.stages.content import read_post
from blogworker.stages.library import (
    CLOSE_SHARE,
    MOST_LINKS,
    SHOWN,
    known,
    offered,
    stored,
    with_list,
)
from blogworker.stages.work import Related
from blogworker.stages.writing import InvalidOutput

from .conftest import body, idea, post
from .related_posts import OIL, OWN, PAN, TITLES

pytestmark = pytest.mark.anyio
# --- linking -------------------------------------------------------------------------------------------------------

ADDRESSES = st.sampled_from(
    [
        None,
        PAN,
        OIL,
        OWN,
        f"{OWN}?a=1",
        f"http://www.{PAN[8:]}/",
        "javascript:alert(1)",
        "https://x.example/a b",
        "ftp://x",
    ]
)
POSTS = st.lists(st.builds(Related, TITLES, TITLES, ADDRESSES, st.floats(0, 1)), max_size=12)


@given(POSTS)
def test_at_most_two_pages_are_offered_without_the_product_page(found):
    kept = offered(found, own_url=OWN)
    urls = [each.url for each in kept if each.url]

    assert len(kept) <= SHOWN
    assert len(urls) <= MOST_LINKS
    assert not any(render.same_page(url, OWN) for url in urls)
    assert not any(render.same_page(one, other) for one in urls for other in urls if one is not other)
    assert all(url.startswith("http") and " " not in url for url in urls)
    assert known(json.loads(json.dumps(stored(kept)))) == [each for each in kept if each.title]


@given(st.recursive(st.none() | st.text(max_size=5) | st.floats(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["title", "angle", "url", "share"]), x)))  # fmt: skip
def test_any_checkpoint_can_be_read(value):
    known(value)


RELATED = [Related("How to season a pan", "Thin layers", PAN, 0.5), Related("Oil *for* [wood]", "", OIL, 0.3)]
SNIPPETS = (
    f"Read [how to season]({PAN}) first.", f"See <{PAN}>.", f"More at {PAN}.", f"[pan](<{PAN}/?utm=1>)", f"({OIL})",
    f"[oil]({OIL}) and [the mug]({OWN}).", f"[mug](<{OWN}>)", f"The mug is at {OWN}.", "[x](https://evil.example/a)",
    "Go to https://evil.example now.", "https://shop.example/post/other is good.", "[y](javascript:alert(1))",
    f"[z](https://shop.example/post/season-a-pan-too) and [w]({PAN}#part)", "![a](https://x.example/y.png)",
    '<a href="https://evil.example">here</a>', f'<a href="{PAN}">there</a>', "[ref][1]", f"[1]: {PAN}", "`code`",
    "**b**",
    f"- item [a]({PAN})", f"| a | [b]({OIL}) |", f"> quote {PAN}", "## A heading that says something", "```",
    "plain words",
    "[a](https://shop.example/post/season-a-pan@evil.example)", "www.evil.example",
    f"[s](https://evil.example/?u={PAN})",
)  # fmt: skip
HREF = re.compile(r'href="([^"]*)"')


def targets(node):
    if isinstance(node, dict):
        if node.get("type") == "LINK":
            yield node["linkData"]["link"]["url"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SNIPPETS), max_size=8), st.sampled_from(["\n\n", " ", "\n"]))
def test_only_allowed_addresses_survive_in_every_form_each_once(snippets, between):
    own_link = f"The [low mug](<{OWN}>) stays."
    text = f"{own_link}\n\n{body()}\n\n{between.join(snippets)}\n\n{body()}"
    answer = json.dumps(post(body_markdown=text))

    try:
        made = read_post(answer, source={"url": OWN}, idea=idea(), related=RELATED)
    except InvalidOutput:  # such as a paragraph without an end: it is returned to its writer
        reject()

    document = ricos(made["markdown"], own_url=made["own_url"], links=made["links"])
    in_html, in_ricos = HREF.findall(made["html"]), list(targets(document))
    assert in_html == in_ricos == HREF.findall(ricos_html(document))
    assert set(in_html) <= {OWN, PAN, OIL}
    assert len(in_html) == len(set(in_html))
    assert set(made["links"]) == set(in_html) - {OWN}
    assert "evil" not in render.text(made["markdown"])
    assert ricos_faults(document) == []
    assert violations(document, "richContent") == []


@given(TITLES, st.sampled_from([PAN, OIL, "https://shop.example/post/%D0%BA%D1%80?x=(1)&y=*_2"]))
def test_a_post_without_a_link_lists_the_most_similar_post(title, url):
    closest = Related(title, "", url, CLOSE_SHARE)

    made = with_list("Words.", [closest, Related("Loosely related", "", None, 1.0)], own_url=OWN)

    read = " ".join(render.text(made).split())
    assert read == " ".join(f"Words. {re.sub(r'[][]', '', title)}".split())
    assert render.linked_in(made, links=[url]) == {url}
    assert with_list(made, [closest], own_url=OWN) == made


@pytest.mark.parametrize(
    ("text", "post"),
    [
        (f"See [the pan](<{PAN}>).", RELATED[0]),  # the writer has linked it
        ("Words.", replace(RELATED[0], share=CLOSE_SHARE - 0.01)),
        ("Words.", replace(RELATED[0], url=None)),
        ("```\nan open fence", RELATED[0]),  # it would be code
    ],
)
def test_nothing_is_listed_if_not_needed_or_not_linkable(text, post):
    assert with_list(text, [post], own_url=OWN) == text


def test_a_bare_address_of_a_related_post_becomes_its_title():
    made = read_post(
        json.dumps(post(body_markdown=f"{body()}\n\nRead more at {PAN}.")), source={}, idea=idea(), related=RELATED
    )

    assert f"Read more at [How to season a pan](<{PAN}>)." in made["markdown"]


async def test_both_prompts_list_the_related_posts(work, checkpoints, writer):
    checkpoints.library = [*RELATED, *(Related(f"Post {n}", "a" * 900, None, 0.3) for n in range(10))]
    checkpoints.saved["source"] = {"kind": "keyword", "keyword": "Low Water Mug", "site": {"language": "en"}}
    writer.will_write({"ideas": [idea()]}, post())
    checkpoints.saved["ideas"] = (await ideas.run(work)).dump()

    await content.run(work)

    first, second = (asked["input"] for asked in writer.asked)
    taken = json.loads(first.partition("<taken>\n")[2].partition("\n</taken>")[0])
    listed = json.loads(second.partition("<related>\n")[2].partition("\n</related>")[0])
    assert taken[0] == "How to season a pan: Thin layers"
    assert len(taken) == library.TAKEN_SHOWN
    assert [each.get("url") for each in listed] == [PAN, OIL, None, None]
    assert len(json.dumps(taken)) < 2_000
    assert len(json.dumps(listed)) < 1_200
    assert checkpoints.recorded["title"] == post()["title"]
    assert "mug" in checkpoints.recorded["terms"]


async def test_an_older_checkpoint_of_ideas_has_no_related_posts(work, checkpoints, writer):
    checkpoints.saved |= {"source": {"kind": "keyword", "keyword": "low water mug"}, "ideas": {"chosen": idea()}}
    writer.will_write(post())

    made = (await content.run(work)).dump()

    assert made["links"] == []
    assert "<related>" not in writer.asked[0]["input"]
