"""The cover picture, against the simulated Replicate."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from blogworker.errors import LeaseLost, RateLimited
from blogworker.providers.replicate_answers import PredictionFailed, PredictionGone
from blogworker.quota import ProviderLimits
from blogworker.stages import image
from blogworker.stages.content import read_post
from blogworker.stages.work import Work

from .conftest import idea, post
from .simulated_clients import Room, json_of, simulated

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(work: Work, checkpoints) -> AsyncIterator[tuple[Work, Room]]:
    checkpoints.saved["content"] = read_post(json_of(post()), source={}, idea=idea())
    async with simulated() as (clients, room):
        yield replace(work, clients=clients), room


async def test_a_picture_is_generated_paid_for_and_stored(world, checkpoints, limiter):
    work, _ = world

    output = (await image.run(work)).dump()

    assert output["url"].startswith("http")
    assert output["type"] == "image/jpeg"
    assert checkpoints.post["image"].startswith(b"\xff\xd8\xff")
    assert checkpoints.post["image_type"] == "image/jpeg"
    assert checkpoints.post["image_prompt"] == output["prompt"]
    assert checkpoints.spends["image.prediction"].cost_usd == 0.003
    asked, known, *_ = checkpoints.events
    assert (asked, known) == ("save image.prediction_asked", "save image.prediction")  # before it is waited for
    assert [granted.bucket for granted in limiter.granted] == ["replicate/predictions"]


async def test_a_paid_prediction_is_resumed(world, checkpoints):
    work, room = world
    first = (await image.run(work)).dump()

    second = (await image.run(work)).dump()

    assert second["prediction_id"] == first["prediction_id"]
    assert (await room.operations("replicate")).count("predictions.create") == 1


async def test_an_account_low_on_credit_slows_the_fleet(world, limiter):
    """Refused creates are paid for in time: each tells the limit that holds until there is credit again."""
    work, room = world
    await room.fault(kind="low_credit", vendor="replicate", times=1)
    with pytest.raises(RateLimited):
        await image.run(work)

    await image.run(work)

    assert [(bucket, limits) for bucket, limits in limiter.learned if limits != ProviderLimits()] == [
        ("replicate/predictions", ProviderLimits(requests_limit=600))  # six at the simulator's speed
    ]


async def test_an_unsafe_picture_is_requested_again_with_a_softer_prompt(world, checkpoints):
    work, room = world
    await room.fault(kind="nsfw", vendor="replicate", times=1)

    output = (await image.run(work)).dump()

    assert output["url"]
    assert "calm still life" in output["prompt"]
    assert set(checkpoints.spends) == {"image.prediction", "image.softened"}


async def test_a_post_can_be_published_without_a_picture(world, checkpoints):
    """The writing is worth more than its cover."""
    work, room = world
    await room.fault(kind="nsfw", vendor="replicate")

    output = (await image.run(work)).dump()

    assert output["url"] is None
    assert "NSFW" in output["reason"]
    assert "image" not in checkpoints.post


async def test_a_failed_prediction_is_repeated_by_the_next_attempt(world, checkpoints):
    work, room = world
    await room.fault(kind="aborted", vendor="replicate", times=1)
    with pytest.raises(PredictionFailed):
        await image.run(work)

    output = (await image.run(work)).dump()

    assert output["url"]
    assert (await room.operations("replicate")).count("predictions.create") == 2


async def test_an_unknown_prediction_is_repeated(world, checkpoints):
    work, _ = world
    checkpoints.saved["image.prediction"] = {"id": "forgotten", "prompt": "x"}

    assert (await image.run(work)).dump()["url"]


async def test_nothing_is_stored_for_a_lost_claim(world, checkpoints):
    work, _ = world
    checkpoints.lost = True

    with pytest.raises(LeaseLost):
        await image.run(work)

    assert checkpoints.post == {}


async def test_no_mixture_of_faults_buys_a_third_picture(world, checkpoints):
    """A deleted file, then an output without a picture: each has its own remedy, and each costs a picture."""
    work, room = world
    await room.fault(kind="gone", vendor="replicate", operation="predictions.create", times=1)
    with pytest.raises(PredictionGone):
        await image.run(work)
    await room.fault(kind="altered", vendor="replicate", operation="predictions.get", body={"output": []})

    output = (await image.run(work)).dump()

    assert output["url"] is None
    assert (await room.operations("replicate")).count("predictions.create") == 2
