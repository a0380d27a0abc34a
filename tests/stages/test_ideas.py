"""Several ideas, and the choice of one."""

import json

import pytest

from blogworker.stages import ideas
from blogworker.stages.writing import Unfit

from .conftest import idea

pytestmark = pytest.mark.anyio


async def test_the_best_idea_is_chosen_and_the_rest_kept(work, writer, checkpoints):
    checkpoints.saved["source"] = {"kind": "product", "name": "Low Water Mug", "url": ""}
    writer.will_write({"ideas": [idea(score=60), idea(score=90, title="A mug for a heavy morning"), idea(score=10)]})

    output = await ideas.run(work)

    assert output["chosen"]["title"] == "A mug for a heavy morning"
    assert [other["score"] for other in output["others"]] == [60, 10]
    assert output["prompt_version"].startswith("ideas-")
    assert writer.asked[0]["input"].startswith("<source>\n{")


async def test_ideas_without_use_do_not_spoil_the_rest(work, writer, checkpoints):
    checkpoints.saved["source"] = {"keyword": "mug"}
    writer.will_write({"ideas": [idea(outline=[]), idea(title=""), idea()]})

    output = await ideas.run(work)

    assert output["others"] == []


def test_a_worn_headline_loses_to_a_plain_one():
    """The model rates its own clichés highly."""
    worn = ideas.Idea.model_validate(idea(title="The Ultimate Guide to Mugs", score=80))
    fresh = ideas.Idea.model_validate(idea(score=70))

    assert ideas.merit(fresh, {}) > ideas.merit(worn, {})


def test_an_idea_beside_the_topic_loses():
    off = ideas.Idea.model_validate(idea(title="How to brew green tea", keywords=["green tea"], score=75))
    on = ideas.Idea.model_validate(idea(score=70))

    assert ideas.merit(on, {"keyword": "heavy mug"}) > ideas.merit(off, {"keyword": "heavy mug"})


@pytest.mark.parametrize(
    "answer", ["", "[]", "{}", '{"ideas": 3}', '{"ideas": []}', json.dumps({"ideas": [idea(angle="")]})]
)
def test_an_answer_without_ideas_is_unfit(answer):
    with pytest.raises(Unfit):
        ideas.read_ideas(answer)


def test_markup_is_taken_out_of_ideas():
    found = ideas.read_ideas(
        json.dumps({"ideas": [idea(title="<b>How</b> a mug keeps warm", keywords=["a", "a", " "])]})
    )

    assert found[0].title == "How a mug keeps warm"
    assert found[0].keywords == ["a"]
