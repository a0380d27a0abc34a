"""Products of unknown kind, in each language of the simulated writer."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.post.prompts import IDEAS, POST, fenced
from blogworker.post.site import usable
from blogworker.simulator.writer import Quality, write
from blogworker.simulator.writer.cleaning import description_facts, features
from blogworker.simulator.writer.facts import pairs
from blogworker.simulator.writer.kinds import PRODUCT, goods
from blogworker.stages.content import read_post
from blogworker.stages.ideas import read_ideas
from blogworker.stages.material import material
from blogworker.stages.source import normalised

LANGUAGES = sorted(goods())
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NAMES = ("Gießkanne Lindau", "Plaid d'Été", "Tidal & Co. Shirt, blue", "急須 Kyusu", "Moka (3 tazze)", 'Bowl 12" deep')


def posts_of(source: dict[str, Any], seed: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    prompt = fenced("source", material(source))
    ideas = write(prompt, IDEAS.schema, seed=seed, repetition=1, quality=Quality.GOOD)["ideas"]
    read_ideas(json.dumps({"ideas": ideas}))
    asked = [f"{prompt}\n\n{fenced('idea', idea)}" for idea in ideas]
    return [
        (idea, write(text, POST.schema, seed=seed, repetition=1, quality=Quality.GOOD))
        for idea, text in zip(ideas, asked, strict=True)
    ]


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(LANGUAGES),
    st.sampled_from(NAMES),
    st.decimals(1, 9_000, places=2),
    st.sampled_from(["", "EUR", "CHF"]),
    st.sampled_from(["", "Tidal & Co.", "Maison Rive"]),
    st.integers(0, 99),
)
def test_a_post_is_valid_and_has_the_facts_of_its_product(
    language: str, name: str, price: Any, currency: str, vendor: str, seed: int
) -> None:
    data = {
        "name": name, "price": str(price), "currency": currency, "vendor": vendor, "availability": "in stock",
        "description": "✨ NEW ✨ Made by hand in a small workshop!!!\nStands on felt\nWrite to a@b.example",
        "options": [{"name": "Size", "values": ["S", "M"]}], "weight": "1.5 kg", "url": "https://shop.example/p/1",
    }  # fmt: skip
    site = usable({"language": language})
    source = normalised("product", "p", data) | {"site": site.facts()}

    for idea, post in posts_of(source, seed):
        made = read_post(json.dumps(post), source=source, idea=idea, site=site)
        body = made["markdown"]
        held = {value.replace(",", ".") for value in NUMBER.findall(json.dumps(source))}
        assert {value.replace(",", ".") for value in NUMBER.findall(body)} <= held
        assert body.count("https://shop.example/p/1") == 1
        assert "| Size | S, M |" in body
        assert ("1.5 kg" if language == "en" else "1,5 kg") in body
        assert "Stands on felt" in body
        assert not re.search(r"✨|!!|@|  |\{|\bCo\. (?!Shirt)[A-Z]|NEW", re.sub(r"(?m)^\|.*", "", body)), body
        assert made["title"] == idea["title"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_article_has_all_parts_in_each_language(language: str) -> None:
    kind, english = goods()[language], goods()["en"]

    assert kind.sections.keys() == english.sections.keys()
    assert kind.angles.keys() == english.angles.keys()
    assert kind.phrases.keys() == english.phrases.keys()
    assert pairs(kind.phrases["labels"]).keys() == pairs(english.phrases["labels"]).keys()
    assert kind.closings
    assert PRODUCT in kind.sections
    assert all(name in kind.sections for angle in kind.angles.values() for name in angle.sections)
    texts = [text for section in kind.sections.values() for text in section.blocks]
    assert NUMBER.findall("\n".join(texts)) == []
    assert all(len(angle.about) <= 155 for angle in kind.angles.values())


@given(st.lists(st.tuples(st.sampled_from(["Material", "Feature", "Info"]), st.sampled_from(["oak", "ash", "wax"]))))
def test_lines_with_a_known_label_are_facts(rows: list[tuple[str, str]]) -> None:
    text = "\n".join(["Stands on felt", *(f"{label}: {value}" for label, value in rows)])

    record, rest = description_facts(text)

    assert features(rest) == ["Stands on felt"]
    assert {label: value.split(", ") for label, value in record.items()} == {
        label: [value for other, value in rows if other == label] for label, _ in rows
    }
