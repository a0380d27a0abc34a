"""The post: cleaned where possible, otherwise sent back to its writer."""

import json

import pytest

from blogworker.post.judging import forbidden_in
from blogworker.post.ricos import ricos
from blogworker.stages import content
from blogworker.stages.writing import InvalidOutput

from .conftest import body, idea, post

pytestmark = pytest.mark.anyio

SOURCE = {"kind": "product", "name": "Mug", "url": "https://shop.example/mug"}


def read(**fields):
    return content.read_post(json.dumps(post(**fields)), source=SOURCE, idea=idea())


@pytest.mark.parametrize("change", [lambda text: f"\ufeff{text}", lambda text: text.replace("\\n", "\n")])
def test_a_mark_or_raw_lines_in_the_json_need_no_repair(change):
    """The answer is paid for and can be read."""
    written = json.dumps(post())

    assert content.read_post(change(written), source=SOURCE, idea=idea()) == read()


async def test_a_post_is_written_cleaned_and_stored(work, writer, checkpoints):
    checkpoints.saved |= {"source": SOURCE, "ideas": {"chosen": idea(), "others": []}}
    writer.will_write(post())

    output = (await content.run(work)).dump()

    assert output["word_count"] >= 300
    assert output["html"].startswith("<p>")
    assert checkpoints.post["title"] == output["title"]
    asked = writer.asked[0]
    assert asked["input"].index("</source>") < asked["input"].index("<idea>")
    assert (asked["model"], asked["max_output_tokens"]) == (work.openai.content_model, work.openai.content_tokens)


def test_links_lead_only_to_the_product():
    links = "[mug](https://shop.example/mug/) [bad](https://evil.example/x). <https://evil.example> See https://evil.example/y."
    markdown = read(body_markdown=f"{links} ![p](https://evil.example/p.png)\n\n{body()}\n\n[r]: https://evil.example")[
        "markdown"
    ]

    assert "https://shop.example/mug" in markdown
    assert "evil" not in markdown
    assert "bad" in markdown


@pytest.mark.parametrize(
    "address",
    [
        "https://shop.example/größe",
        "https://müller.example/mug",
        "https://shop.example/%D7%9B%D7%95%D7%A1?a=1&b=2",
        "https://shop.example/mug_(large)",
        "https://shop.example/p?id=5",
    ],
)
@pytest.mark.parametrize("mention", ["[the mug]({})", '[the mug](<{}> "Mug")', "Look at {}.", "<{}>"])
def test_the_product_is_linked_whatever_its_address_looks_like(address, mention):
    """Half of all shops have addresses in their own language. A parser writes those in another way than the shop."""
    text = f"{mention.format(address)}\n\n{body()}"
    made = content.read_post(json.dumps(post(body_markdown=text)), source=SOURCE | {"url": address}, idea=idea())

    assert made["html"].count("<a href=") == 1
    links = json.dumps(ricos(made["markdown"], own_url=address), ensure_ascii=False)
    assert links.count(f'"url": "{address}"') == 1


def test_html_and_repeated_titles_are_removed():
    output = read(body_markdown=f"# How a heavy mug keeps coffee warm\n\n<div>Hello</div>\n\n# Another\n\n{body()}")

    assert output["markdown"].startswith("Hello")
    assert "\n## Another\n" in output["markdown"]
    assert "&lt;div" not in output["html"]


def test_soft_limits_are_kept_by_cutting_on_a_word():
    long = "word " * 200
    output = read(excerpt=long, seo_title=long, seo_description=long, image_alt=long, tags=["a"] * 20 + [long])

    assert len(output["excerpt"]) <= 500
    assert len(output["seo_title"]) <= 60
    assert len(output["seo_description"]) <= 160
    assert len(output["image_alt"]) <= 125
    assert output["tags"][0] == "a"
    assert len(output["tags"]) == 2


def test_missing_fields_are_filled_from_the_others():
    output = read(slug="", seo_title="", seo_description="", tags=[], image_alt="")

    assert output["slug"] == "how-a-heavy-mug-keeps-coffee-warm"
    assert output["seo_title"] == output["title"]
    assert output["tags"] == idea()["keywords"]
    assert output["seo_description"]
    assert output["image_alt"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"body_markdown": body(sections=2, paragraphs=1)}, "words"),
        ({"body_markdown": body().replace("## ", "")}, "sections"),
        ({"body_markdown": f"{body()}\n\nBuy [insert product name]."}, "place to fill in"),
        ({"body_markdown": ""}, "words"),
        ({"title": ""}, "title"),
        ({"excerpt": "short"}, "excerpt"),
        ({"image_prompt": ""}, "image_prompt"),
        ({"tags": "mug"}, "tags"),
    ],
)
def test_faults_that_need_a_rewrite_are_sent_back(fields, message):
    with pytest.raises(InvalidOutput, match=message):
        read(**fields)


@pytest.mark.parametrize("answer", ["", "[]", '{"title":', "null"])
def test_an_answer_that_is_not_a_post_is_unfit(answer):
    with pytest.raises(InvalidOutput):
        content.read_post(answer, source=SOURCE, idea=idea())


@pytest.mark.parametrize(
    "sentence",
    ["陶瓷杯子保温的时间比玻璃杯更长。", "厚い陶器のカップは温かさを長く保ちます。", "แก้วเซรามิกหนาเก็บความร้อนได้นานกว่า "],
)
def test_words_are_counted_in_languages_without_spaces(sentence):
    """Counted by its spaces every post in Chinese, Japanese or Thai is too short, and fails after a paid repair."""
    sections = "\n\n".join(f"## {sentence[:8]}\n\n{part}. {sentence * 14}" for part in range(5))

    link = "[Mug](https://shop.example/mug)"

    assert 300 < read(body_markdown=f"{link}\n\n{sections}")["word_count"] < 1_200
    with pytest.raises(InvalidOutput, match="words"):
        read(body_markdown=f"## {sentence}\n\n{sentence}\n\n## {sentence}\n\n{sentence}")
    assert forbidden_in(sentence, [sentence[2:4]]) == [sentence[2:4]]


async def test_forbidden_words_of_the_idea_are_not_used_as_a_fallback(work, writer, checkpoints):
    """The idea's title and keywords stand in where the post's own are taken or none."""
    site = {"forbidden_words": ["heavy"]}
    checkpoints.saved |= {"source": SOURCE | {"site": site}, "ideas": {"chosen": idea(), "others": []}}
    own = post(title="How a mug keeps coffee warm", seo_title="Mugs that stay warm", tags=["heavy mug"])
    checkpoints.titles = [own["title"]]
    writer.will_write(own)

    output = (await content.run(work)).dump()

    assert output["title"] == own["title"]
    assert output["tags"] == ["stoneware mug"]


def test_the_body_has_no_repeated_blank_lines():
    assert "\n\n\n" not in read(body_markdown=body().replace("\n\n", "\n\n\n\n"))["markdown"]
