"""The posts of the demo. Users judge the program by them, so what a post says about a product must be true."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.demo.campaign import SITUATIONS, campaign, shops
from blogworker.post.prompts import IDEAS, POST, fenced
from blogworker.queue.validation import NewJob
from blogworker.simulator.writer import Quality, write
from blogworker.simulator.writer.kinds import ANY, PRODUCT, Kind, kinds
from blogworker.simulator.writer.subject import read_subject
from blogworker.stages.content import read_post
from blogworker.stages.ideas import read_ideas
from blogworker.stages.material import material
from blogworker.stages.source import normalised

KNOWN = {name: kind for name, kind in kinds().items() if name != ANY}
JOBS = [(shop.name, job) for shop in shops() for job in shop.jobs]
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
ORDER = re.compile(r"^\d+\. ", re.MULTILINE)  # the number of a step is not a fact
COUNTS = "two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|forty|fifty|sixty|hundred|thousand"
UNITS = "seconds?|minutes?|hours?|days?|weeks?|months?|years?|degrees?|millimetres?|centimetres?|metres?|grams?|litres?"
MEASURE = re.compile(rf"\b(?:{COUNTS})[ -](?:{UNITS})\b", re.IGNORECASE)


def source_of(job: NewJob) -> dict[str, Any]:
    return {**normalised(job.source_type, job.source_id, job.source_data), "site": {}}


def posts_of(source: Mapping[str, Any], seed: int = 1) -> Iterator[dict[str, Any]]:
    """The ideas for a source and a post for each, with the prompts of a worker."""
    prompt = fenced("source", material(source))
    for idea in write(prompt, IDEAS.schema, seed=seed, repetition=1, quality=Quality.GOOD)["ideas"]:
        requested = f"{prompt}\n\n{fenced('idea', idea)}"
        yield {"idea": idea, **write(requested, POST.schema, seed=seed, repetition=1, quality=Quality.GOOD)}


@pytest.fixture(scope="module")
def demo_posts() -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """All sources of the demo, and the posts for each."""
    return [(source, list(posts_of(source))) for source in (source_of(job) for _, job in JOBS)]


def unsupported(post: Mapping[str, Any], source: Mapping[str, Any]) -> set[str]:
    """Numbers and measures in a post that are not in its source."""
    written = "\n".join(str(post[part]) for part in ("title", "excerpt", "seo_description", "body_markdown"))
    known = json.dumps(source, ensure_ascii=False)
    numbers = set(NUMBER.findall(ORDER.sub("", written))) - set(NUMBER.findall(known))
    return numbers | {measure for measure in MEASURE.findall(written) if measure.lower() not in known.lower()}


def sentences(text: str) -> set[str]:
    return {part.strip("-|>*# ") for part in re.split(r"(?<=[.!?:])\s+|\n|\|", text) if len(part.split()) > 3}


def words_of(kind: Kind) -> str:
    """All texts of a kind."""
    angles = [text for angle in kind.angles.values() for text in (*angle.intros, angle.about)]
    sections = [text for section in kind.sections.values() for text in section.blocks]
    return "\n".join([*angles, *sections, *(answer.text for answer in kind.answers.values())])


def test_no_post_has_a_measure_that_is_not_in_its_source(demo_posts: Any) -> None:
    for source, posts in demo_posts:
        for post in posts:
            assert unsupported(post, source) == set(), post["title"]


def test_every_post_of_a_product_has_its_name_and_its_facts(demo_posts: Any) -> None:
    for source, posts in demo_posts:
        if source["kind"] == "product":
            record = read_subject(fenced("source", source)).description_facts
            assert len(record) >= 4, source["name"]
            for post in posts:
                assert source["name"] in post["title"]
                assert post["body_markdown"].count(source["name"]) >= 3, post["title"]
                assert all(f"| {label} |" in post["body_markdown"] for label in record), post["title"]


def test_every_post_of_a_keyword_begins_with_its_answer(demo_posts: Any) -> None:
    for source, posts in demo_posts:
        if source["kind"] == "keyword":
            answer = read_subject(fenced("source", source)).answer
            assert answer is not None, source["keyword"]
            assert all(post["excerpt"] in answer.text for post in posts if post["title"] == answer.title)
            titles = [
                post["title"] for post in posts if post["body_markdown"].replace("**", "").startswith(answer.text)
            ]
            assert titles == [answer.title]


def test_every_post_can_be_published(demo_posts: Any) -> None:
    """They pass the checks of a worker. A sample is enough, because the posts of a kind have the same sections."""
    for number, (source, posts) in enumerate(demo_posts[::3]):
        post = posts[number % len(posts)]
        read_ideas(json.dumps({"ideas": [post["idea"]]}))
        read_post(json.dumps(post), source=source, idea=post["idea"])


def test_a_shop_has_one_or_two_kinds_of_products_and_keywords_about_them() -> None:
    sold: dict[str, set[str]] = {}
    requested: dict[str, set[str]] = {}
    for shop, job in JOBS:
        kind = read_subject(fenced("source", source_of(job))).kind.name
        (sold if job.source_type == "product" else requested).setdefault(shop, set()).add(kind)

    assert set.union(*sold.values()) == set(KNOWN)
    assert 10 <= len(KNOWN) <= 14
    assert all(len(found) <= 2 for found in sold.values())
    assert all(requested[shop] <= sold[shop] for shop in sold)


def test_no_sentence_belongs_to_two_kinds() -> None:
    seen: dict[str, str] = {}
    for name, kind in kinds().items():
        for sentence in sentences(words_of(kind)):
            assert seen.setdefault(sentence, name) == name, sentence


@pytest.mark.parametrize("name", sorted(kinds()))
def test_the_text_of_a_kind_has_no_measures(name: str) -> None:
    """A measure would be wrong for some product of the kind. Measures come from the description, through a slot."""
    text = ORDER.sub("", words_of(kinds()[name]))

    assert NUMBER.findall(text) == []
    assert MEASURE.findall(text) == []


@pytest.mark.parametrize("name", sorted(kinds()))
def test_a_kind_has_all_its_parts(name: str) -> None:
    kind = kinds()[name]

    assert len(kind.angles) >= 4
    assert kind.closings
    assert PRODUCT in kind.sections
    assert all(section in kind.sections for angle in kind.angles.values() for section in angle.sections)
    assert all(answer.angle in kind.angles for answer in kind.answers.values())
    assert all(60 <= len(angle.about) <= 155 for angle in kind.angles.values())
    assert len({heading for section in kind.sections.values() for heading in section.headings}) == sum(
        len(section.headings) for section in kind.sections.values()
    )


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(KNOWN)),
    amounts=st.lists(st.integers(2, 9_999), min_size=1, max_size=6, unique=True),
    seed=st.integers(0, 1_000),
)
def test_the_facts_of_any_product_are_not_changed(name: str, amounts: list[int], seed: int) -> None:
    kind = KNOWN[name]
    noun = sorted(kind.nouns or kind.ambiguous_nouns)[0].title()
    facts = " ".join(f"Fact {chr(97 + n) * 3}: {amount} units." for n, amount in enumerate(amounts))
    about = f"It is sold by us. {' '.join(sorted(kind.context_words))}. {facts}"
    source = normalised("product", "p", {"name": f"Harbour {noun}", "description": about}) | {"site": {}}

    for post in posts_of(source, seed):
        assert unsupported(post, source) == set()
        assert all(f"| {amount} units |" in post["body_markdown"] for amount in amounts)


@pytest.mark.parametrize("jobs", [12, 120, 400])
def test_no_two_jobs_of_a_shop_have_the_same_source(jobs: int) -> None:
    for shop, dealt in campaign(jobs, 12):
        written = [json.dumps(job.source_data, sort_keys=True) for job in dealt]
        assert len(written) == len(set(written)), shop.name


def test_a_keyword_with_a_situation_gets_the_answer_of_the_keyword() -> None:
    kind = KNOWN["candle"]
    phrase = next(iter(kind.answers))

    for situation in SITUATIONS:
        source = normalised("keyword", None, {"keyword": f"{phrase} {situation}, part 2"})
        assert read_subject(fenced("source", source)).answer == kind.answers[phrase]
