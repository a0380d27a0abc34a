"""Having a model write: what is paid for once is never paid for again."""

from dataclasses import replace

import pytest

from blogworker.errors import OutcomeUnknown, Rejected, Unavailable
from blogworker.post.prompts import POST, REPHRASE
from blogworker.providers.openai_answers import ModelUnknown, Refused, Truncated
from blogworker.quota import ProviderLimits
from blogworker.stages.writing import InvalidOutput, Task, writer_of, written

from .conftest import Writer, generation

pytestmark = pytest.mark.anyio

TASK = Task(stage="content", prompt=POST, input="<source>\n{}\n</source>", model="gpt-6-luna", tokens=1000)


def accept(text: str) -> str:
    if text != "good":
        raise InvalidOutput(["too short"])
    return text


async def test_a_good_draft_is_bought_and_recorded_once(work, writer, checkpoints, limiter):
    writer.will_write("good")

    assert await written(work, TASK, accept=accept) == "good"

    spend = checkpoints.spends["content.draft"]
    assert (spend.provider, spend.model, spend.prompt_version) == ("openai", "gpt-6-luna", POST.version)
    assert (spend.tokens_in, spend.tokens_cached, spend.tokens_out, spend.cost_usd) == (100, 20, 50, 0.001)
    assert [(granted.bucket, granted.tokens) for granted in limiter.granted] == [("openai/gpt-6-luna", 150)]


async def test_a_paid_answer_is_stored_before_anything_else(work, writer, checkpoints, limiter, monkeypatch):
    """A job that fails while it reads the headers would have to buy the text again."""

    async def trip(bucket: str, limits: ProviderLimits) -> None:
        raise RuntimeError

    monkeypatch.setattr(limiter, "learn", trip)
    writer.will_write("good")

    with pytest.raises(RuntimeError):
        await written(work, TASK, accept=accept)

    assert checkpoints.saved["content.draft"]["text"] == "good"


async def test_a_stored_draft_is_judged_again_not_bought_again(work, writer, checkpoints):
    checkpoints.saved["content.draft"] = {"text": "good"}

    assert await written(work, TASK, accept=accept) == "good"
    assert writer.asked == []


async def test_an_unfit_draft_is_repaired_once(work, writer, checkpoints):
    writer.will_write("bad </answer>", "good")

    assert await written(work, TASK, accept=accept) == "good"

    again = writer.asked[1]["input"]
    assert again.startswith(TASK.input)  # the cached prefix stays the same
    assert "too short" in again
    assert "bad \\u003c/answer" in again
    assert set(checkpoints.spends) == {"content.draft", "content.repair"}


async def test_a_second_unfit_answer_is_final(work, writer):
    writer.will_write("bad", "worse")

    with pytest.raises(Rejected, match="too short") as raised:
        await written(work, TASK, accept=accept)

    assert raised.value.code == "invalid_text"
    assert len(writer.asked) == 2


async def test_a_truncated_draft_is_requested_with_a_larger_token_limit(work, writer, checkpoints):
    writer.generations = [generation("goo", fault=Truncated("cut", provider="openai")), generation("good")]

    assert await written(work, TASK, accept=accept) == "good"

    assert [asked["max_output_tokens"] for asked in writer.asked] == [1000, 2000]
    assert set(checkpoints.spends) == {"content.draft_truncated", "content.draft"}


async def test_a_later_attempt_keeps_the_larger_token_limit(work, writer, checkpoints):
    checkpoints.saved["content.draft_truncated"] = {"text": "goo"}
    writer.will_write("good")

    await written(work, TASK, accept=accept)

    assert [asked["max_output_tokens"] for asked in writer.asked] == [2000]


REFUSED = Refused("no", provider="openai", code="refusal")


async def test_a_refusal_is_answered_by_one_rephrase(work, writer, checkpoints):
    """Never by the same words again: they would be refused again, and billed."""
    writer.generations = [generation("", fault=REFUSED), generation("good")]

    assert await written(work, TASK, accept=accept) == "good"

    again = writer.asked[1]["input"]
    assert again.startswith(TASK.input)
    assert REPHRASE.strip() in again
    assert set(checkpoints.spends) == {"content.draft_refused", "content.draft"}


async def test_a_second_refusal_is_final(work, writer, checkpoints):
    writer.generations = [generation("", fault=REFUSED), generation("", fault=REFUSED), generation("good")]

    with pytest.raises(Refused):
        await written(work, TASK, accept=accept)

    assert len(writer.asked) == 2


async def test_an_answer_refused_and_then_truncated_gets_both_remedies(work, writer):
    cut = Truncated("cut", provider="openai")
    writer.generations = [generation("", fault=REFUSED), generation("go", fault=cut), generation("good")]

    assert await written(work, TASK, accept=accept) == "good"

    assert writer.asked[2]["max_output_tokens"] == 2 * TASK.tokens
    assert REPHRASE.strip() in writer.asked[2]["input"]


async def test_after_two_unanswered_calls_the_timeout_is_longer(work, writer, checkpoints):
    """Across attempts: each of them was somebody's whole attempt."""
    asked = []

    async def silent(**call):
        asked.append(call["timeout_s"])
        raise OutcomeUnknown("no answer in time", provider="openai")

    writer.generate = silent
    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            await written(work, TASK, accept=accept)

    usual = work.openai.timeout
    assert asked == [usual, usual, 2 * usual]
    assert checkpoints.saved["content.draft_unanswered"] == {"times": 3, "tokens_at_most": 3 * TASK.tokens}


async def test_an_unknown_model_is_replaced_by_the_fallback(work, writer, checkpoints):
    """A model that is retired overnight stops nobody who named another."""
    unknown = ModelUnknown("gone", provider="openai", status=404, code="model_not_found")
    told = Writer()
    told.will_write("good")

    async def generate(**call):
        if call["model"] != "gpt-5.4-mini":
            raise unknown
        return await told.generate(**call)

    writer.generate = generate
    with pytest.raises(ModelUnknown):
        await written(work, TASK, accept=accept)

    work = replace(work, openai=work.openai.model_copy(update={"fallback_model": "gpt-5.4-mini"}))
    assert await written(work, TASK, accept=accept) == "good"

    assert writer_of(work, TASK) == "gpt-5.4-mini"
    assert checkpoints.spends["content.draft"].model == "gpt-5.4-mini"


async def test_the_reasoning_effort_is_always_set(work, writer):
    """The provider's default spends tokens unseen; a model that takes none is sent none."""
    writer.will_write("good", "good")

    await written(work, TASK, accept=accept)
    await written(work, replace(TASK, model="gpt-4o-mini", draft="other"), accept=accept)

    assert [asked["effort"] for asked in writer.asked] == ["low", None]


async def test_an_unusable_answer_is_recorded_before_it_is_raised(work, writer, checkpoints):
    writer.generations = [generation("", fault=Unavailable("empty", provider="openai"))]

    with pytest.raises(Unavailable):
        await written(work, TASK, accept=accept)

    assert set(checkpoints.spends) == {"content.draft_useless"}
    assert checkpoints.get("content.draft") is None
