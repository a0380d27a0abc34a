"""Good articles in six languages, and the ways in which a model spoils them."""

import json
import re
from typing import Any

import pytest

from blogworker.post.language import most_likely_language, other_language
from blogworker.post.render import text
from blogworker.simulator.misbehaviours import MISBEHAVIOURS, misbehaved
from blogworker.simulator.misbehaviours.draft import words_of
from blogworker.simulator.writer import Quality, write
from blogworker.simulator.writer.languages import languages

from .wire_schemas import IDEAS, POST

LANGUAGES = ("en", *languages())
MUG = {
    "kind": "product",
    "name": "Krug Nordwind",
    "description": "Ein bauchiger Krug, auf der Scheibe gedreht.",
    "price": "54.00",
    "currency": "EUR",
    "vendor": "Brandt",
    "url": "https://brandt.example/krug-nordwind",
}


def prompt(language: str) -> str:
    return f"<source>\n{json.dumps(MUG | {'site': {'language': language}})}\n</source>"


def answered(asked: str, schema: dict[str, Any] = POST) -> Any:
    return write(asked, schema, seed=1, take=1, quality=Quality.GOOD)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_site_is_written_for_in_its_language(language: str) -> None:
    post = answered(prompt(language))
    ideas = answered(prompt(language), IDEAS)["ideas"]

    read = text(post["body_markdown"])
    assert other_language(read, language) is None
    assert most_likely_language(re.findall(r"[^\W\d_]+", read.lower())) == language
    assert "{" not in json.dumps(post, ensure_ascii=False).removeprefix("{")
    assert post["body_markdown"].count(f"]({MUG['url']})") == 1
    assert "54" in post["body_markdown"]
    assert len({idea["title"] for idea in ideas}) == len(ideas) >= 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_misbehaviour_spoils_a_post(language: str) -> None:
    good = answered(prompt(language))

    spoilt = {kind: misbehaved(good, kind=kind, prompt=prompt(language), write=answered) for kind in MISBEHAVIOURS}

    assert all(post.keys() == good.keys() for post in spoilt.values())
    unspoilt = {kind for kind, post in spoilt.items() if post == good}
    assert unspoilt <= {"glued_table", "task_list"}, "only a post without a table or a list escapes"


def test_each_language_has_a_word_for_all_that_is_planted() -> None:
    known = {language: set(words_of(language)) - {"prose"} for language in LANGUAGES}

    assert all(words == known["en"] for words in known.values())


def test_ideas_and_other_answers_are_left_alone() -> None:
    ideas = answered(prompt("de"), IDEAS)

    assert misbehaved(ideas, kind="footnotes", prompt=prompt("de"), write=answered) == ideas
