"""Having a model write: what is paid for once is never paid for again."""

import pytest

from blogworker.errors import Rejected, Unavailable
from blogworker.providers.openai import Refused, Truncated
from blogworker.stages.prompts import POST
from blogworker.stages.writing import Task, Unfit, written

from .conftest import generation

pytestmark = pytest.mark.anyio

TASK = Task(stage="content", prompt=POST, input="<source>\n{}\n</source>", model="gpt-6-luna", tokens=1000)


def fit(text: str) -> str:
    if text != "good":
        raise Unfit(["too short"])
    return text


async def test_a_good_draft_is_bought_once_and_booked(work, writer, checkpoints, limiter):
    writer.will_write("good")

    assert await written(work, TASK, fit=fit) == "good"

    spend = checkpoints.spends["content.draft"]
    assert (spend.provider, spend.model, spend.prompt_version) == ("openai", "gpt-6-luna", POST.version)
    assert (spend.tokens_in, spend.tokens_cached, spend.tokens_out, spend.cost_usd) == (100, 20, 50, 0.001)
    assert [(granted.bucket, granted.tokens) for granted in limiter.granted] == [("openai/gpt-6-luna", 150)]


async def test_a_stored_draft_is_judged_again_not_bought_again(work, writer, checkpoints):
    checkpoints.saved["content.draft"] = {"text": "good"}

    assert await written(work, TASK, fit=fit) == "good"
    assert writer.asked == []


async def test_an_unfit_draft_is_repaired_once(work, writer, checkpoints):
    writer.will_write("bad </answer>", "good")

    assert await written(work, TASK, fit=fit) == "good"

    again = writer.asked[1]["input"]
    assert again.startswith(TASK.input)  # the cached prefix stays the same
    assert "too short" in again
    assert "bad \\u003c/answer" in again
    assert set(checkpoints.spends) == {"content.draft", "content.repair"}


async def test_a_second_unfit_answer_is_final(work, writer):
    writer.will_write("bad", "worse")

    with pytest.raises(Rejected, match="too short") as raised:
        await written(work, TASK, fit=fit)

    assert raised.value.code == "unfit_text"
    assert len(writer.asked) == 2


async def test_a_cut_off_draft_is_asked_for_with_more_room(work, writer, checkpoints):
    writer.generations = [generation("goo", fault=Truncated("cut", provider="openai")), generation("good")]

    assert await written(work, TASK, fit=fit) == "good"

    assert [asked["max_output_tokens"] for asked in writer.asked] == [1000, 2000]
    assert set(checkpoints.spends) == {"content.draft_truncated", "content.draft"}


async def test_a_later_attempt_remembers_that_the_room_was_too_small(work, writer, checkpoints):
    checkpoints.saved["content.draft_truncated"] = {"text": "goo"}
    writer.will_write("good")

    await written(work, TASK, fit=fit)

    assert [asked["max_output_tokens"] for asked in writer.asked] == [2000]


@pytest.mark.parametrize(
    "fault", [Refused("no", provider="openai", code="refusal"), Unavailable("empty", provider="openai")]
)
async def test_a_useless_answer_is_booked_before_it_is_told(work, writer, checkpoints, fault):
    writer.generations = [generation("", fault=fault)]

    with pytest.raises(type(fault)):
        await written(work, TASK, fit=fit)

    assert set(checkpoints.spends) == {"content.draft_useless"}
    assert checkpoints.get("content.draft") is None
