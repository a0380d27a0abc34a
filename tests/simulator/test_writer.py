"""The writer: its posts fit the schema and the limits of the providers, and differ from each other."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.paragraph_language import paragraph_in_other_language
from blogworker.simulator.writer import Quality, write
from blogworker.simulator.writer.cleaning import description_facts, sentences
from blogworker.simulator.writer.grammar import gerund, singular, title_case
from blogworker.simulator.writer.kinds import ANY, GOODS, goods
from blogworker.simulator.writer.subject import read_subject
from blogworker.simulator.writer.topics import topic_of

from .wire_schemas import IDEAS, POST, TEXT, strict

SHIRT = {
    "kind": "product",
    "name": "Ocean Blue Shirt",
    "description": "<p>Cotton &amp; linen, with a <b>narrow</b> collar.</p>"
    "<ul><li>Cut for long summer days.</li><li>Washing: at 30 °C.</li></ul>",
    "price": "50.00",
    "currency": "USD",
    "vendor": "Tidal",
    "tags": ["men", "summer"],
    "url": "https://shop.example/p/ocean-blue-shirt",
}
THINGS = ("Candle", "Shirt", "Ring", "Chair", "Planter", "Mugs", "Face Oil", "Tote", "Notebook", "Boots")
MAKES = ("Harbour", "Quiet", "Amber", "Northern", "Field", "Slow", "Copper", "Juniper", "Winter", "Old Mill")
PHRASES = ("how to care for a monstera", "best ceramic mugs 2026", "home office lighting ideas", "sourdough starter",
           "why does my candle tunnel", "soy vs beeswax candles", "what is oolong tea", "running shoes for beginners",
           "how often to water an orchid", "repairing a torn jacket")  # fmt: skip


def sources() -> list[dict[str, Any]]:
    """Two hundred different sources."""
    things = [SHIRT | {"name": f"{make} {thing}", "url": ""} for make in MAKES for thing in THINGS]
    phrases = [{"kind": "keyword", "keyword": f"{phrase} {place}".strip()} for phrase in PHRASES
               for place in ("", "at home", "in winter", "for two", "in the city")]  # fmt: skip
    texts = [{"kind": "text", "text": f"We are a {trade} in {town}. We open early."}
             for trade in ("dental clinic", "bakery", "photo studio", "hotel", "bike shop")
             for town in ("Porto", "Lyon", "Gent", "Cork", "Turin", "Bern", "Oslo", "Riga", "Bath", "Ulm")]  # fmt: skip
    return [*things, *phrases, *texts]


def prompt(source: dict[str, Any], idea: dict[str, Any] | None = None) -> str:
    chosen = f"\n<idea>\n{json.dumps(idea)}\n</idea>" if idea else ""
    return f"Write.\n<source>\n{json.dumps(source)}\n</source>{chosen}"


def ideas_for(source: dict[str, Any], repetition: int = 1) -> list[dict[str, Any]]:
    answer = write(prompt(source), IDEAS, seed=1, repetition=repetition, quality=Quality.GOOD)
    return list(answer["ideas"])


def post_for(source: dict[str, Any], idea: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    settings = {"seed": 1, "repetition": 1, "quality": Quality.GOOD} | more
    return dict(write(prompt(source, idea), POST, **settings))


def test_four_ideas_differ_in_angle_and_title() -> None:
    ideas = ideas_for(SHIRT)

    assert len(ideas) == len({idea["angle"] for idea in ideas}) == len({idea["title"] for idea in ideas}) == 4
    assert all(0 <= idea["score"] <= 10 and 5 <= len(idea["outline"]) <= 7 and idea["keywords"] for idea in ideas)


def test_a_repeated_prompt_gives_other_ideas() -> None:
    """Two jobs for one product must not look like one job that was done twice."""
    assert ideas_for(SHIRT, repetition=1) != ideas_for(SHIRT, repetition=2)
    assert ideas_for(SHIRT, repetition=1) == ideas_for(SHIRT, repetition=1)


def test_posts_of_two_hundred_sources_are_valid_and_differ() -> None:
    posts = [post_for(source, ideas_for(source)[0]) for source in sources()]

    assert len(posts) == 200
    assert len({post["title"] for post in posts}) == 200
    assert len({post["body_markdown"] for post in posts}) == 200
    for post in posts:
        assert_valid(post)
    text = "\n\n".join(post["body_markdown"] for post in posts)
    for mark in (r"^- \S", r"^1\. \S", r"^> \S", r"^\| --- ", r"\*\*[^*]+\*\*"):
        assert re.search(mark, text, re.MULTILINE), f"no post has {mark}, so its rendering is not tested"


@pytest.mark.parametrize("kind", ["keyword", "product", "text"])
@pytest.mark.parametrize("text", ["{0} mugs", "{short} mugs", "mugs [a|b] {{x}}", "%s %(x)s {0} {x} $1 ${x} mugs'; --"])
def test_placeholders_in_a_source_are_only_text(kind: str, text: str) -> None:
    """The simulated OpenAI answered 500 to each of them."""
    source = {"kind": kind, "name": text, "keyword": text, "text": text, "description": text}

    ideas = ideas_for(source)

    assert_fits(post_for(source, ideas[0]))


def assert_fits(post: dict[str, Any]) -> None:
    assert len(post["title"]) <= 100
    assert 600 <= len(post["body_markdown"].split()) <= 1_100


def assert_valid(post: dict[str, Any]) -> None:
    body = post["body_markdown"]
    assert 600 <= len(body.split()) <= 1_100, post["title"]
    assert len(post["title"]) <= 100
    assert len(post["excerpt"]) <= 300
    assert len(post["seo_title"]) <= 60
    assert len(post["seo_description"]) <= 155
    assert 3 <= len(post["tags"]) <= 6
    assert re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", post["slug"])
    assert len(re.findall(r"^## \S", body, re.MULTILINE)) >= 5, body
    assert not re.search(r"[{}\[\]|]{2}|\x00|\ban [bcdfgjklmnpqrstvwxyz]|\s,|\.\.", body), body
    paragraphs = [block for block in body.split("\n\n") if len(block) > 60]
    assert len(paragraphs) == len(set(paragraphs)), body


def test_a_post_follows_its_idea_and_names_its_product() -> None:
    idea = ideas_for(SHIRT)[0]

    post = post_for(SHIRT, idea)

    headings = re.findall(r"^## (.+)$", post["body_markdown"], re.MULTILINE)
    assert headings[: len(idea["outline"])] == idea["outline"]
    assert post["title"] == idea["title"]
    assert post["body_markdown"].count("Ocean Blue Shirt") >= 4
    assert post["body_markdown"].count("](https://shop.example/p/ocean-blue-shirt)") == 1
    assert "Cotton & linen, with a narrow collar." in post["body_markdown"]
    assert "<" not in post["body_markdown"]
    assert "&amp;" not in post["body_markdown"]


def test_a_fact_with_a_label_becomes_a_row_of_the_table() -> None:
    assert "| Washing | At 30 °C |" in post_for(SHIRT)["body_markdown"]


def test_only_sentences_at_the_end_of_a_description_are_facts() -> None:
    description = "Cut to grow: the cuffs turn back. It lasts. Fabric: 85 % wool. Fabric weight: 1.5 kg."

    assert description_facts(description) == (
        {"Fabric": "85 % wool", "Fabric weight": "1.5 kg"},
        "Cut to grow: the cuffs turn back. It lasts.",
    )


@pytest.mark.parametrize("abbreviation", ["ca.", "approx.", "env.", "aprox.", "z. B.", "z.B."])
def test_a_sentence_does_not_end_with_an_abbreviation(abbreviation: str) -> None:
    description = f"Der Becher fasst {abbreviation} 350 ml. Er passt in beide Hände."

    assert sentences(description) == description.replace(". Er", ".\nEr").split("\n")


@given(st.text(st.sampled_from("Ab: .\n<>&;|*")))
def test_any_description_can_be_parsed(description: str) -> None:
    record, rest = description_facts(description)

    assert len(rest) <= len(description)
    assert all(label and fact is not None for label, fact in record.items())


@pytest.mark.parametrize("piece", ["Aa: b. ", "Aa: ", "a", "Aa bb cc: d", ". ", "A"])
@pytest.mark.timeout(10)
def test_a_long_description_is_parsed_quickly(piece: str) -> None:
    description_facts(piece * 50_000 + "!")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (
            {"kind": "product", "name": "Jam Jar", "description": "For furniture soap.", "product_type": "Harness"},
            GOODS,
        ),
        ({"kind": "product", "name": "Linen Tea Towel"}, GOODS),
        ({"kind": "product", "name": "Oak Coffee Table"}, GOODS),
        ({"kind": "product", "name": "Brass Candle Holder"}, GOODS),
        ({"kind": "product", "name": "Harbour Sock", "description": "Pure cotton.", "product_type": "Socks"}, GOODS),
        ({"kind": "product", "name": "Harbour Ring", "description": "Eighteen carat gold."}, GOODS),
        ({"kind": "product", "name": "Camping Mug", "description": "Enamelled steel."}, GOODS),
        ({"kind": "product", "name": "Denim Jacket", "tags": ["cotton"]}, GOODS),
        ({"kind": "keyword", "keyword": "how to clean a bicycle chain"}, ANY),
        ({"kind": "keyword", "keyword": "green bean salad"}, ANY),
        ({"kind": "keyword", "keyword": "best olives for pizza"}, ANY),
        ({"kind": "text", "text": "We are a small tea room in Porto. We open early."}, ANY),
        ({"kind": "product", "name": "Harbour Ring", "description": "Sterling silver."}, "silver"),
        ({"kind": "product", "name": "Harbour", "product_type": "Mugs", "tags": ["stoneware"]}, "mug"),
        ({"kind": "keyword", "keyword": "sharpen a harness knife with a whetstone"}, "knife"),
        ({"kind": "keyword", "keyword": "how often to water an orchid"}, "plant"),
    ],
)
def test_a_source_has_a_kind_only_if_a_noun_names_it(source: dict[str, Any], kind: str) -> None:
    """An article about stoneware mugs is not true of a steel mug: a guess could make a post wrong."""
    assert read_subject(prompt(source)).kind.name == kind


def test_a_product_without_a_url_gets_no_link() -> None:
    assert "](" not in post_for(SHIRT | {"url": ""})["body_markdown"]


def test_weak_posts_fit_the_schema() -> None:
    short = post_for(SHIRT, quality=Quality.SHORT)
    poor = post_for(SHIRT, quality=Quality.POOR)

    assert set(short) == set(poor) == set(POST["properties"])
    assert len(short["body_markdown"].split()) < 100
    assert "##" not in poor["body_markdown"]


def test_unknown_properties_get_values_of_their_type() -> None:
    schema = strict(
        mood={"type": "string", "enum": ["calm", "bright"]},
        count={"type": "integer", "minimum": 3, "maximum": 5},
        ok={"type": "boolean"},
        note={"anyOf": [TEXT, {"type": "null"}]},
        parts={"type": "array", "items": {"$ref": "#/$defs/part"}},
    ) | {"$defs": {"part": strict(name=TEXT)}}

    value = write(prompt(SHIRT), schema, seed=1, repetition=1, quality=Quality.GOOD)

    assert value["mood"] in ("calm", "bright")
    assert 3 <= value["count"] <= 5
    assert isinstance(value["ok"], bool)
    assert isinstance(value["note"], str)
    assert all(isinstance(part["name"], str) for part in value["parts"])


def test_an_integer_score_is_of_a_hundred() -> None:
    schema = strict(ideas={"type": "array", "items": strict(title=TEXT, score={"type": "integer"})})

    answer = write(prompt(SHIRT), schema, seed=1, repetition=1, quality=Quality.GOOD)

    assert all(isinstance(idea["score"], int) and 50 <= idea["score"] <= 100 for idea in answer["ideas"])


@pytest.mark.parametrize(
    ("phrase", "topic"),
    [
        ("how to care for a monstera", "caring for a monstera"),
        ("best ceramic coffee mugs 2026", "ceramic coffee mugs"),
        ("sourdough starter", "a sourdough starter"),
        ("why does my candle tunnel", "a candle"),
        ("how often to water an orchid", "watering an orchid"),
        ("is handmade pottery dishwasher safe", "handmade pottery"),
        ("what does reduction firing mean", "reduction firing"),
        ("make a closed terrarium", "making a closed terrarium"),
        ("soy vs beeswax candles", "soy versus beeswax candles"),
    ],
)
def test_a_search_phrase_becomes_a_topic(phrase: str, topic: str) -> None:
    assert topic_of(phrase).phrase == topic


def test_a_text_without_a_name_gets_one_from_its_first_sentence() -> None:
    subject = read_subject(prompt({"kind": "text", "text": "We are a small dental clinic in Porto. We open early."}))

    assert subject.phrase == "a small dental clinic in Porto"


def test_grammar_rules() -> None:
    assert [gerund(verb) for verb in ("care", "plan", "water", "tie")] == ["caring", "planning", "watering", "tying"]
    assert [singular(noun) for noun in ("dresses", "berries", "glass")] == ["dress", "berry", "glass"]
    assert title_case("a guide to the oak chair") == "A Guide to the Oak Chair"


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it"])
def test_the_link_to_a_related_post_is_in_the_language_of_the_post(language: str) -> None:
    sentence = goods()[language].phrases["related"].format(title="Tea", url="https://shop.example/post/tea")

    assert "[Tea](https://shop.example/post/tea)" in sentence
    assert paragraph_in_other_language([sentence], language) == ("", "")
    assert sentence.startswith("What belongs") == (language == "en")
