"""Good articles in six languages, and the mistakes that the simulator inserts into them."""

import json
import re
from typing import Any

import pytest

from blogworker.post.language import most_likely_language, other_language
from blogworker.post.render import text
from blogworker.simulator.misbehaviours import MISBEHAVIOURS, misbehave
from blogworker.simulator.misbehaviours.draft import phrases_of
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


def answer(prompt_text: str, schema: dict[str, Any] = POST) -> Any:
    return write(prompt_text, schema, seed=1, repetition=1, quality=Quality.GOOD)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_article_is_in_the_language_of_its_site(language: str) -> None:
    post = answer(prompt(language))
    ideas = answer(prompt(language), IDEAS)["ideas"]

    read = text(post["body_markdown"])
    assert other_language(read, language) is None
    assert most_likely_language(re.findall(r"[^\W\d_]+", read.lower())) == language
    assert "{" not in json.dumps(post, ensure_ascii=False).removeprefix("{")
    assert post["body_markdown"].count(f"]({MUG['url']})") == 1
    assert "54" in post["body_markdown"]
    assert len({idea["title"] for idea in ideas}) == len(ideas) >= 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_misbehaviour_changes_a_post(language: str) -> None:
    good = answer(prompt(language))

    changed = {kind: misbehave(good, kind=kind, prompt=prompt(language), write=answer) for kind in MISBEHAVIOURS}

    assert all(post.keys() == good.keys() for post in changed.values())
    unchanged = {kind for kind, post in changed.items() if post == good}
    assert unchanged <= {"glued_table", "task_list"}, "only for a post without a table or a list"


def test_each_language_has_the_same_phrases() -> None:
    keys = {language: set(phrases_of(language)) - {"prose"} for language in LANGUAGES}

    assert all(words == keys["en"] for words in keys.values())


def test_ideas_and_other_answers_are_not_changed() -> None:
    ideas = answer(prompt("de"), IDEAS)

    assert misbehave(ideas, kind="footnotes", prompt=prompt("de"), write=answer) == ideas
