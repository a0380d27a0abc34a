"""A preview: a post made by the same stages without a row in the queue, paid for once, not published."""

from dataclasses import replace

import pytest

from blogworker.errors import Rejected, Unavailable
from blogworker.spend.ledger import Spend
from blogworker.stages.preview import ATTEMPTS, Preview, UnqueuedCheckpoints, preview
from blogworker.stages.work import Work

from .simulated_clients import simulated

pytestmark = pytest.mark.anyio


class Ledger:
    """What was recorded as spent."""

    def __init__(self) -> None:
        self.spends: list[Spend] = []

    async def record(self, spend: Spend) -> None:
        self.spends.append(spend)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def made(work: Work, ledger: Ledger, *, illustrated: bool = True) -> Preview:
    kept = UnqueuedCheckpoints(ledger.record)
    return await preview(
        replace(work, checkpoints=kept),
        kept,
        illustrated=illustrated,
        retry_base_s=0.001,
        retry_cap_s=0.01,
        say=lambda _: None,
    )


async def test_a_preview_is_a_whole_blog_that_is_published_nowhere(work: Work, ledger: Ledger) -> None:
    async with simulated() as (clients, room):
        found = await made(replace(work, clients=clients), ledger)
        shown = await room.posts(work.claim.instance_id)

    assert shown == []
    assert found.post["html"].startswith("<p>")
    assert found.picture is not None
    assert found.trouble is None
    assert [call.name for call in found.calls] == ["ideas.draft", "content.draft", "image.prediction"]
    assert [spend.model for spend in ledger.spends] == [call.spend.model for call in found.calls]
    assert found.cost_usd == pytest.approx(sum(spend.cost_usd for spend in ledger.spends))


async def test_temporary_failures_are_retried_and_nothing_is_bought_twice(work: Work, ledger: Ledger) -> None:
    async with simulated() as (clients, room):
        await room.fault(kind="status", status=500, vendor="replicate", times=2)

        found = await made(replace(work, clients=clients), ledger)

    assert found.picture is not None
    assert [call.name for call in found.calls] == ["ideas.draft", "content.draft", "image.prediction"]


async def test_a_paid_post_is_shown_even_without_its_picture(work: Work, ledger: Ledger) -> None:
    async with simulated() as (clients, room):
        await room.fault(kind="status", status=500, vendor="replicate")

        found = await made(replace(work, clients=clients), ledger)

    assert found.post["title"]
    assert (found.image, found.picture) == (None, None)
    assert "replicate" in (found.trouble or "")


async def test_a_preview_gives_up_when_a_provider_stays_down(work: Work, ledger: Ledger) -> None:
    async with simulated() as (clients, room):
        await room.fault(kind="status", status=500, vendor="openai")

        with pytest.raises(Unavailable):
            await made(replace(work, clients=clients), ledger)
        assert len(await room.operations("openai")) == ATTEMPTS

    assert ledger.spends == []


async def test_a_second_refusal_is_final(work: Work, ledger: Ledger) -> None:
    async with simulated() as (clients, room):
        await room.fault(kind="refusal", vendor="openai")

        with pytest.raises(Rejected):
            await made(replace(work, clients=clients), ledger)
        assert len(await room.operations("openai")) == 2  # the second rephrased

    assert len(ledger.spends) == 2, "a refusal is paid for"


async def test_no_picture_is_requested_where_none_is_wanted(work: Work, ledger: Ledger) -> None:
    async with simulated() as (clients, room):
        found = await made(replace(work, clients=clients), ledger, illustrated=False)
        assert await room.operations("replicate") == []

    assert (found.image, found.picture, found.trouble) == (None, None, None)


async def test_a_preview_refuses_to_be_published(ledger: Ledger) -> None:
    """Whatever stage may ask: each asks before it shows something to the world."""
    with pytest.raises(RuntimeError, match="a preview is not published"):
        await UnqueuedCheckpoints(ledger.record).confirm()


async def test_an_unknown_cost_is_not_shown_as_zero(work: Work, ledger: Ledger) -> None:
    async with simulated() as (clients, _):
        found = await made(replace(work, clients=clients), ledger, illustrated=False)

    call = found.calls[0]
    unknown = replace(call, spend=replace(call.spend, cost_usd=None))
    assert replace(found, calls=(*found.calls, unknown)).cost_usd is None
