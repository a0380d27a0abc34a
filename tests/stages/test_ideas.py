"""Several ideas, and the choice of one."""

import json
from dataclasses import replace

import pytest

from blogworker.errors import Rejected
from blogworker.stages import ideas, material
from blogworker.stages.writing import InvalidOutput

from .conftest import claimed, idea

pytestmark = pytest.mark.anyio


async def test_the_best_idea_is_chosen_and_the_rest_kept(work, writer, checkpoints):
    checkpoints.saved["source"] = {"kind": "product", "name": "Low Water Mug", "url": ""}
    writer.will_write({"ideas": [idea(score=60), idea(score=90, title="A mug for a heavy morning"), idea(score=10)]})

    output = (await ideas.run(work)).dump()

    assert output["chosen"]["title"] == "A mug for a heavy morning"
    assert [other["score"] for other in output["others"]] == [60, 10]
    assert output["prompt_version"].startswith("ideas-")
    assert writer.asked[0]["input"].startswith("<source>\n{")


async def test_unusable_ideas_do_not_affect_the_others(work, writer, checkpoints):
    checkpoints.saved["source"] = {"keyword": "mug"}
    writer.will_write({"ideas": [idea(outline=[]), idea(title=""), idea()]})

    output = (await ideas.run(work)).dump()

    assert output["others"] == []


def test_a_cliche_headline_loses_to_a_plain_one():
    """The model rates its own clichés highly."""
    worn = ideas.Idea.model_validate(idea(title="The Ultimate Guide to Mugs", score=80))
    fresh = ideas.Idea.model_validate(idea(score=70))

    assert ideas.merit(fresh, {}) > ideas.merit(worn, {})


def test_an_idea_off_the_topic_loses():
    off = ideas.Idea.model_validate(idea(title="How to brew green tea", keywords=["green tea"], score=75))
    on = ideas.Idea.model_validate(idea(score=70))

    assert ideas.merit(on, {"keyword": "heavy mug"}) > ideas.merit(off, {"keyword": "heavy mug"})


@pytest.mark.parametrize(
    "answer", ["", "[]", "{}", '{"ideas": 3}', '{"ideas": []}', json.dumps({"ideas": [idea(angle="")]})]
)
def test_an_answer_without_ideas_is_unfit(answer):
    with pytest.raises(InvalidOutput):
        ideas.read_ideas(answer)


@pytest.mark.parametrize("change", [lambda text: f"\ufeff{text}", lambda text: text.replace("\\n", "\n")])
def test_a_mark_or_raw_lines_in_the_json_lose_no_idea(change):
    answer = json.dumps({"ideas": [idea(angle="Weight\nbeats any lid.")]})

    assert ideas.read_ideas(change(answer)) == ideas.read_ideas(answer)


@pytest.mark.parametrize("score", ["null", '"high"', "Infinity", "NaN", "[]", "1e999"])
def test_an_invalid_score_needs_no_repair_and_loses_no_idea(score):
    """All ideas of the answer were thrown away for it, and others paid for."""
    scored, odd = idea(score=60), idea(title="How to choose a mug", score="?")

    found = ideas.read_ideas(json.dumps({"ideas": [scored, odd]}).replace('"?"', score))

    assert [each.score for each in found] == [60, ideas.NEUTRAL_SCORE]


def test_markup_is_taken_out_of_ideas():
    found = ideas.read_ideas(
        json.dumps({"ideas": [idea(title="<b>How</b> a mug keeps warm", keywords=["a", "a", " "])]})
    )

    assert found[0].title == "How a mug keeps warm"
    assert found[0].keywords == ["a"]


SOURCE = {"kind": "keyword", "keyword": "mug"}


async def test_the_next_job_of_a_source_takes_a_remaining_idea(work, writer, checkpoints):
    """Nothing already paid for is bought again."""
    checkpoints.saved["source"] = SOURCE
    writer.will_write({"ideas": [idea(title="The first title", score=90), idea(title="The second title", score=50)]})
    await ideas.run(work)
    checkpoints.saved, checkpoints.titles = {"source": SOURCE}, ["The first title"]

    output = (await ideas.run(work)).dump()

    assert output["chosen"]["title"] == "The second title"
    assert len(writer.asked) == 1


async def test_another_site_is_given_ideas_of_its_own(work, writer, checkpoints):
    """The same post on two sites harms both."""
    checkpoints.saved["source"] = SOURCE
    writer.will_write({"ideas": [idea(), idea(title="Left over here")]}, {"ideas": [idea(title="Bought there")]})
    await ideas.run(work)
    checkpoints.saved = {"source": SOURCE}

    output = (await ideas.run(claimed(work, instance_id="another"))).dump()

    assert output["chosen"]["title"] == "Bought there"


async def test_a_changed_prompt_or_source_needs_new_ideas(work, cache, monkeypatch):
    before = material.digest(SOURCE)

    assert material.digest({**SOURCE, "keyword": "cup"}) != before
    monkeypatch.setattr(material, "IDEAS", replace(material.IDEAS, version="ideas-2"))
    assert material.digest(SOURCE) != before


async def test_new_ideas_are_requested_once_when_all_are_taken(work, writer, checkpoints):
    """The model is told what the site has."""
    checkpoints.saved["source"], checkpoints.titles = SOURCE, ["Taken title"]
    writer.will_write({"ideas": [idea(title="Taken title")]}, {"ideas": [idea(title="Something new")]})

    output = (await ideas.run(work)).dump()

    assert output["chosen"]["title"] == "Something new"
    assert '<taken>\n[\n "Taken title"\n]\n</taken>' in writer.asked[1]["input"]
    assert set(checkpoints.spends) == {"ideas.draft", "ideas.more"}


async def test_a_source_without_new_ideas_ends_its_job_with_the_reason(work, writer, checkpoints):
    checkpoints.saved["source"], checkpoints.titles = SOURCE, ["Taken title"]
    writer.will_write({"ideas": [idea(title="Taken title")]}, {"ideas": [idea(title="Taken title")]})

    with pytest.raises(Rejected, match="a similar post for every idea about this keyword: 'Taken title'") as raised:
        await ideas.run(work)

    assert raised.value.code == "nothing_new"
