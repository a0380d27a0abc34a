"""Ways in which models spoil a good post, in four languages: each is repaired or sent back, and a good post is
left as it is.
"""

import json
import re
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.demo.campaign import shops
from blogworker.post.defects import DEFECTS, repair_fields
from blogworker.post.defects.claims import count_unknown
from blogworker.post.defects.kind import PostContext
from blogworker.post.prompts import IDEAS, POST, fenced
from blogworker.simulator.writer import Quality, write
from blogworker.stages.content import read_post
from blogworker.stages.material import material
from blogworker.stages.source import normalised
from blogworker.stages.writing import InvalidOutput

from .good_posts import BODIES, FIELDS, LANGUAGES, OWN, SOURCE, good
from .spoilt_posts import CASES, PLAIN, Case


def read(answer: dict[str, Any]) -> dict[str, Any]:
    return dict(read_post(json.dumps(answer), source=SOURCE, idea={}))


def named(case: Case) -> str:
    return f"{case.defect} {CASES.index(case)}".replace(" ", "-")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_good_post_is_not_changed(language: str) -> None:
    """A check that finds what is not there costs a repair of every post, and then the post."""
    post = good(language)

    made = read(post)

    assert made["defects"] == []
    assert made["markdown"] == BODIES[language].replace(f"({OWN})", f"(<{OWN}>)")
    assert {name: made[name] for name in FIELDS[language]} == FIELDS[language]


@pytest.mark.parametrize(
    ("language", "case"),
    [pytest.param(language, case, id=f"{language}-{named(case)}") for case in CASES for language in case.languages],
)
def test_each_defect_is_repaired_or_sent_back(language: str, case: Case) -> None:
    post = good(language)
    assert case.spoil is not None
    post["body_markdown"] = case.spoil(post["body_markdown"])
    assert post["body_markdown"] != BODIES[language], "nothing was planted"

    if not (case.gone or case.whole or case.keeps):
        with pytest.raises(InvalidOutput) as unfit:
            read(post)
        assert case.defect in unfit.value.defects
        return
    made = read(post)

    assert case.defect in made["defects"]
    if case.gone:
        assert (
            re.search(case.gone, made["markdown"], re.M | re.I if case.defect == "heading that is a label" else re.M)
            is None
        )
    if case.whole:
        assert made["markdown"] == BODIES[language].replace(f"({OWN})", f"(<{OWN}>)")
    assert all(kept in made["markdown"] for kept in case.keeps)
    assert made["html"].count("<a href=") == 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("name", "spoilt", "expected", "defect"), PLAIN)
def test_a_plain_field_is_plain(language: str, name: str, spoilt: str, expected: str | None, defect: str) -> None:
    post = good(language)
    post[name] = spoilt.format(post[name])

    checked = repair_fields(post, source=SOURCE, idea={})

    assert defect in [*checked.repaired, *checked.returned]
    if expected is not None:
        assert checked.faults == []
        assert checked.fields[name].strip() == expected.format(good(language)[name])


def test_every_defect_of_the_table_has_a_case() -> None:
    planted = {case.defect for case in CASES} | {defect for *_, defect in PLAIN}

    assert {defect.name for defect in DEFECTS} == planted
    assert len(planted) >= 25


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_has_a_repair_or_a_sentence_for_its_writer(defect: Any) -> None:
    assert (defect.repair is None) == (defect.find is not None) == bool(defect.message)


def test_posts_of_every_kind_that_the_simulator_writes_pass_unchanged() -> None:
    blogs = [job for shop in shops() for job in shop.jobs]
    for number, blog in enumerate(blogs[::8]):
        source = {**normalised(blog.source_type, blog.source_id, blog.source_data), "site": {}}
        prompt = fenced("source", material(source))
        ideas = write(prompt, IDEAS.schema, seed=1, repetition=1, quality=Quality.GOOD)["ideas"]
        asked = f"{prompt}\n\n{fenced('idea', ideas[number % len(ideas)])}"
        post = write(asked, POST.schema, seed=1, repetition=1, quality=Quality.GOOD)

        checked = repair_fields(post, source=source, idea={})

        assert (checked.repaired, checked.faults) == ([], []), post["title"]


WITHOUT_END = (
    "[a](", "![", "[a](b ", "[a](x(y)", "<!--", "<table><tr>", "<sup>", "{{", "{%", "%a", "<|", "| a ", "|--|",
    "~~a ", "*a ", "**a", "_a", "`", "【", "[1", "[^", "- [ ] ",
    "https://a(", "a@b.", "a-", "a. ", "$1", "1,000", "12 cm ", " ",
    "\n", "\n\n", "\\n", "turn0search", "\u043ea", "[a][", "Low Water Mug. ", "([a](b)", "# a\n", "Sure! ", '"',
    "<think>", "\U0001f31f ", "\u00c3\u00a9", "AA_", "<AAAA", "\u201d says ", "Low Water Mug won ", "%(a", "\u8d28 ",
)  # fmt: skip


@pytest.mark.parametrize("sign", WITHOUT_END)
def test_endless_repetition_is_cleaned_in_linear_time(sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a text is stored: a worker that hung over it would lose its lease, and the next would hang too.

    Eight times the text takes about eight times as long, and 64 times where a pattern looks back. What the Markdown
    parser takes is not counted.
    """
    monkeypatch.setattr("blogworker.post.render.text", lambda markdown: markdown)

    def seconds(length: int) -> float:
        text = sign * (length // len(sign))
        started = process_time()
        repair_fields({"title": text, "body_markdown": text}, source=SOURCE, idea={})
        return process_time() - started

    seconds(1_000)  # compiles patterns that are made when they are needed
    short, long = (min(seconds(length + n) for n in range(0, 30, 10)) for length in (1_000, 8_000))
    assert long < max(0.1, 24 * short)


@given(st.integers(13, 99), st.sampled_from(["cm", "mm", "kg", "g", "ml"]))
def test_a_measure_of_the_source_is_not_a_number_of_pieces(number: int, unit: str) -> None:
    """A mug of 9 cm was taken for a set of nine."""

    def unknown(description: str) -> str:
        source = {"kind": "product", "name": "Low Water Mug", "description": description}
        return count_unknown(f"The Low Water Mug comes in a set of {number}.", PostContext(source, {}, title=""))

    assert unknown(f"It measures {number} {unit}.")
    assert not unknown(f"It measures 8 {unit}. A set of {number}.")
