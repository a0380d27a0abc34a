"""Stages while the circuit breaker of a provider is open, and what a failure there means for the attempt."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from anyio import create_task_group

from blogworker.db.pool import Database
from blogworker.errors import ProviderDown, RateLimited, Rejected, Unavailable, Unsent
from blogworker.queue.job import PauseSite, PutOff, Reject, Retry, Wait
from blogworker.quota import breaker as room_of_breakers
from blogworker.quota.breaker import Breakers
from blogworker.quota.breaker_snapshot import PARK_S
from blogworker.quota.limiter import OWN_QUOTA
from blogworker.stages import image
from blogworker.stages.content import read_post
from blogworker.stages.pipeline import LONGEST_WAIT_S, attempt, failure, outcome
from blogworker.stages.work import Work

from .conftest import SITE, claimed, idea, post
from .simulated_clients import Room, json_of, simulated

pytestmark = pytest.mark.anyio


@dataclass
class Wary:
    """Real breakers on a real database, a real pipeline on the simulator."""

    work: Work
    room: Room
    database: Database
    breakers: Breakers

    async def run(self, **fields: object) -> object:
        return await attempt(claimed(self.work, **fields), retry_base_s=1, retry_cap_s=10)

    async def sql(self, text: str) -> None:
        async with self.database.connection() as connection:
            await connection.execute(text.encode())
        await self.breakers.sync()

    async def shut(self, provider: str) -> None:
        await self.sql(
            "update provider_health set state = 'open', reason = '503', epoch = epoch + 1, "
            f"retry_at = clock_timestamp() + interval '30 s' where provider = '{provider}'"
        )


@pytest.fixture
async def wary(work: Work, database: Database, monkeypatch) -> AsyncIterator[Wary]:
    monkeypatch.setattr(room_of_breakers, "VERDICT_S", 0.05)
    breakers = Breakers(database)
    async with simulated() as (clients, room):
        wary = Wary(replace(work, clients=clients, breakers=breakers), room, database, breakers)
        await wary.sql("update provider_health set succeeded_at = clock_timestamp()")
        yield wary


@pytest.fixture
def written(checkpoints) -> None:
    checkpoints.saved["content"] = read_post(json_of(post()), source={}, idea=idea())


@pytest.mark.parametrize("provider", ["openai", "replicate", "wix"])
async def test_a_job_waits_at_the_stage_whose_breaker_is_open(wary, checkpoints, limiter, provider):
    """With its attempt unspent, and with all it has paid for until then."""
    await wary.shut(provider)

    ended = await wary.run()

    assert isinstance(ended, Wait)
    assert PARK_S <= ended.delay_s <= PARK_S + room_of_breakers.JITTER_S
    assert ended.failure is None, "no call was made: there is nothing to record"
    stages = {"openai": {"source"}, "replicate": {"content"}, "wix": {"image"}}[provider]
    assert stages <= checkpoints.saved.keys()
    assert await wary.room.operations(provider) == []
    if provider == "openai":
        assert limiter.granted == [], "it took nothing of the quota"


async def test_attempts_that_fail_in_an_outage_wait(wary, checkpoints):
    """Those that failed before the breaker opened too; what they met is recorded."""
    await wary.room.fault(kind="status", vendor="openai", status=503)
    ends = []

    async def one(job_id: int) -> None:
        ends.append(await wary.run(job_id=job_id))

    async with create_task_group() as tasks:
        for job_id in range(6):
            tasks.start_soon(one, job_id)

    assert {type(end) for end in ends} == {Wait}
    assert {end.failure.kind for end in ends if end.failure} == {"Unavailable"}


async def test_a_lone_failure_is_retried(wary):
    await wary.room.fault(kind="status", vendor="openai", status=503, times=1)

    assert isinstance(await wary.run(), Retry)


async def test_an_account_without_credit_parks_the_job_with_the_message_of_the_provider(wary):
    await wary.room.fault(kind="quota_exhausted", vendor="openai", code="insufficient_quota")

    ended = await wary.run()

    assert isinstance(ended, Wait)
    assert (ended.failure.kind, ended.failure.code) == ("Misconfigured", "insufficient_quota")
    assert wary.breakers.open_breakers == ["openai"]


async def test_a_site_that_revoked_its_token_does_not_affect_others(wary, checkpoints):
    await wary.room.fault(kind="revoked", vendor="wix", site=SITE)

    for _ in range(6):
        assert isinstance(await wary.run(), PauseSite)

    assert wary.breakers.open_breakers == []


async def test_a_failed_prediction_does_not_open_the_breaker(wary, checkpoints, written):
    """A model that fails on one prompt says nothing of the next one."""
    await wary.room.fault(kind="failed", vendor="replicate")

    for _ in range(6):
        with pytest.raises(Unavailable):
            await image.run(wary.work)

    assert wary.breakers.open_breakers == []


@pytest.mark.parametrize("own", [None, "perhaps", "wait"])
async def test_a_post_waits_for_its_picture_by_default(wary, written, own):
    await wary.shut("replicate")

    with pytest.raises(ProviderDown):
        await image.run(claimed(wary.work, site={"image_trouble": own}))


@pytest.mark.parametrize(("setting", "own"), [("skip", None), ("wait", "skip"), ("fail", "skip")])
async def test_a_post_is_published_without_its_picture_where_a_setting_says_so(wary, written, setting, own):
    await wary.shut("replicate")

    output = (await image.run(claimed(replace(wary.work, image_trouble=setting), site={"image_trouble": own}))).dump()

    assert output["url"] is None
    assert output["reason"].startswith("no picture: the circuit breaker of replicate is open: 503")
    assert output["alt"]


@pytest.mark.parametrize(("setting", "own"), [("fail", None), ("wait", "fail"), ("skip", "fail")])
async def test_a_post_without_its_picture_fails_where_a_setting_says_so(wary, written, setting, own):
    await wary.shut("replicate")

    with pytest.raises(Rejected) as refusal:
        await image.run(claimed(replace(wary.work, image_trouble=setting), site={"image_trouble": own}))

    ended = outcome(refusal.value, stage="image", delay_s=1)
    assert isinstance(ended, Reject)
    assert "set image_trouble to wait or skip" in ended.failure.message


@pytest.mark.parametrize(("named_s", "rests_s"), [(20, 20), (86_400, LONGEST_WAIT_S)])
def test_no_refusal_delays_a_job_for_long(named_s, rests_s):
    """Otherwise a block that is lifted in a minute would delay its jobs for days."""
    refused = RateLimited("no", provider="openai", code="rate_limit_exceeded").after(named_s)

    ended = outcome(refused, stage="ideas", delay_s=1)

    assert isinstance(ended, Wait)
    assert ended.delay_s == rests_s


@pytest.mark.parametrize("away_s", [6, 86_400])
def test_a_job_that_finds_the_fleets_quota_used_up_keeps_its_place_in_line(away_s):
    """A claim takes it again once its quota lets it go on: no time to come back is guessed."""
    ended = outcome(RateLimited("no", provider="openai", code=OWN_QUOTA).after(away_s), stage="ideas", delay_s=1)

    assert isinstance(ended, Wait)
    assert (ended.delay_s, ended.failure) == (0, None)


async def test_a_picture_is_tried_three_times_before_the_post_continues_without(wary, written):
    await wary.room.fault(kind="failed", vendor="replicate")
    skipping = replace(wary.work, image_trouble="skip")

    for failures in (0, 1):
        with pytest.raises(Unavailable):
            await image.run(claimed(skipping, failures=failures))
    output = (await image.run(claimed(skipping, failures=2))).dump()

    assert output["url"] is None


async def test_a_post_with_a_refused_picture_prompt_continues_without(wary, written):
    body = {"detail": "- input.prompt: too long"}
    await wary.room.fault(kind="status", vendor="replicate", operation="predictions.create", status=422, body=body)

    output = (await image.run(replace(wary.work, image_trouble="skip"))).dump()

    assert output["url"] is None
    with pytest.raises(Rejected):
        await image.run(wary.work)


def test_an_unsent_call_has_the_same_error_kind_as_the_others():
    """`blogworker retry --kind Unavailable` after an outage must find all that it cost."""
    assert failure(Unsent("could not connect", provider="openai"), "ideas").kind == "Unavailable"


async def test_a_post_that_is_made_ahead_shows_that_wix_works(wary, written, checkpoints):
    """Such posts made a draft per probe, and closed no breaker until the time of the first one came."""
    checkpoints.saved["image"] = {"url": None}
    await wary.shut("wix")
    await wary.sql("update provider_health set openings = 1, retry_at = clock_timestamp() where provider = 'wix'")
    assert await wary.breakers.take_probe() is not None

    ended = await wary.run(publish_in_s=3600.0)

    assert isinstance(ended, PutOff)
    assert "publish.draft" in checkpoints.saved
    assert wary.breakers.open_breakers == []


async def test_a_post_whose_draft_waits_for_its_time_shows_nothing(wary, written, checkpoints):
    """It calls nobody."""
    checkpoints.saved["image"] = {"url": None}
    assert isinstance(await wary.run(publish_in_s=3600.0), PutOff)
    await wary.shut("wix")
    await wary.sql("update provider_health set openings = 1, retry_at = clock_timestamp() where provider = 'wix'")
    probe = await wary.breakers.take_probe()

    assert isinstance(await wary.run(publish_in_s=3600.0), PutOff)

    await wary.breakers.return_probe(probe)
    assert wary.breakers.open_breakers == ["wix"]


async def test_a_job_with_its_picture_returns_the_probe_before_it_publishes(wary, written, checkpoints):
    await image.run(wary.work)
    await wary.sql(
        "update provider_health set state = 'open', openings = 1, epoch = epoch + 1, misconfigured = true, "
        "refused_main = true, retry_at = clock_timestamp() where provider = 'replicate'"
    )
    assert await wary.breakers.take_probe() is not None

    await image.run(wary.work)

    async with wary.database.connection() as connection:
        found = await connection.execute(b"select state from provider_health where provider = 'replicate'")
        assert await found.fetchall() == [{"state": "open"}]
