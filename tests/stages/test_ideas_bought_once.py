"""A call gives several ideas: concurrent jobs of one source share a call, and pay for it once."""

import json
from dataclasses import replace
from typing import Any

import pytest
from anyio import Event, create_task_group, sleep, sleep_forever
from psycopg.types.json import Json

from blogworker.providers.openai_answers import Generation
from blogworker.queue.job import Claim
from blogworker.queue.rescue import MOST, MOST_LONE
from blogworker.settings import OpenAISettings
from blogworker.stages import ideas
from blogworker.stages.cache import StoredCache
from blogworker.stages.ideas import LATEST_S, SOONEST_S
from blogworker.stages.preview import Recalled, UnqueuedCheckpoints, preview
from blogworker.stages.work import STAGE_DEADLINE_S, Flight, Work

from .conftest import SITE, ClosedBreakers, idea
from .pipeline_harness import Harness

pytestmark = pytest.mark.anyio

BLOGS = 10
MODEL = OpenAISettings(_env_file=None).ideas_model
CURTAINS = {"kind": "keyword", "keyword": "curtains"}
BOUGHT = """
select output from generation_stages
where stage in ('ideas.draft', 'ideas.repair', 'ideas.more', 'ideas.more_repair') order by created_at
"""
LIKE_ONE = "select l.title from titles_like(%s, title_key(%s), null, title_limit()) as l"


async def ideas_calls(harness: Harness) -> int:
    return [call["model"] for call in await harness.room.requests("openai")].count(MODEL)


async def buyers(harness: Harness) -> list[Any]:
    return [row["value"]["job_id"] for row in await harness.run("select value from cache where key like '%/lock'")]


async def shelf(harness: Harness) -> str:
    """The key under which the ideas for the harness's first blog are kept, as the stage names it."""
    [made] = await harness.run("select key from cache where key like 'ideas/%' and key not like '%/lock'")
    await harness.run("delete from cache")
    return str(made["key"])


def cache_of(harness: Harness) -> StoredCache:
    return StoredCache(harness.database, product_s=60, ideas_s=60)


@pytest.fixture
async def dying(harness: Harness) -> Claim:
    """A blog whose worker dies as it is about to buy; another blog of its source stands behind it."""
    first = await harness.attempt()
    assert first["status"] == "DONE"
    key = await shelf(harness)
    await harness.add(SITE)
    await harness.add(SITE)
    [taken] = await harness.claims(1)
    assert (await cache_of(harness).begin_single_flight(key, taken, ttl_s=STAGE_DEADLINE_S)).ours
    return taken


async def rescue(harness: Harness) -> None:
    """What the fleet does when a worker's lease has ended; the worker begins another one."""
    await harness.run("update workers set lease_until = now() - interval '1 s'")
    await harness.database.execute("queue/rescue", batch=10, most_lone=MOST_LONE, most=MOST, only=None, skipped=[])
    await harness.run("update workers set lease_until = now() + interval '1 h'")


async def test_ten_concurrent_jobs_of_one_source_pay_only_for_the_calls_they_need(harness):
    """The usual campaign: all of them found the shelf empty, and each paid for a call of its own."""
    for _ in range(BLOGS - 1):
        await harness.add(SITE)

    rounds = [await harness.attempts()]
    while any(job["status"] != "DONE" for job in rounds[-1]):
        rounds.append(await harness.attempts())

    bought = [json.loads(row["output"]["text"])["ideas"] for row in await harness.run(BOUGHT)]
    used_up = [each["title"] for offered in bought[:-1] for each in offered]
    assert [title for title in used_up if not await harness.run(LIKE_ONE, SITE, title)] == [], "a call too soon"
    assert 1 < len(bought) < BLOGS / 2
    assert await ideas_calls(harness) == len(bought)
    [booked] = await harness.run("select sum(requests) as calls from provider_usage where model = %s", MODEL)
    assert booked["calls"] == len(bought)
    titles = await harness.run("select title from site_titles")
    assert len(titles) == len({title["title"] for title in titles}) == BLOGS
    assert await harness.run("select id from blog_generations where failures > 0") == []
    assert await buyers(harness) == []


async def test_waiting_for_ideas_uses_no_slot_and_no_attempt_and_has_a_reason(harness, dying):
    """And those that wait do not come back all at once."""
    for _ in range(18):
        await harness.add(SITE)

    waiting = await harness.attempts()

    assert {(job["status"], job["failures"], job["kind"]) for job in waiting} == {("PENDING", 0, None)}
    assert {job["error"] for job in waiting} == {"waits for ideas that another job of this source requests"}
    assert all(SOONEST_S - 3 < job["wait_s"] <= LATEST_S for job in waiting)
    assert max(job["wait_s"] for job in waiting) > 1 + min(job["wait_s"] for job in waiting), "19 of 6 seconds"
    assert await ideas_calls(harness) == 1, "the one before all this"


async def test_a_dead_buyer_continues_after_its_rescue(harness, dying):
    await rescue(harness)

    job = await harness.attempt()

    assert (job["id"], job["status"]) == (dying.job_id, "DONE")
    assert await buyers(harness) == []


async def test_the_lock_of_a_dead_attempt_ends_after_a_while(harness, dying):
    """No job may wait for ever for a buyer that died unnoticed."""
    assert (await harness.attempt())["status"] == "PENDING"
    [left] = await harness.run("select extract(epoch from expires_at - now()) as s from cache where key like '%/lock'")
    assert STAGE_DEADLINE_S - 60 < left["s"] <= STAGE_DEADLINE_S

    await harness.run("update cache set expires_at = now() where key like '%/lock'")

    assert (await harness.attempt())["status"] == "DONE"


@pytest.mark.parametrize("end", ["CANCELLED", "PENDING"])
async def test_a_buyer_whose_attempt_is_over_is_replaced_at_once(harness, dying, end):
    """It was stopped by hand, or rescued and stands in line again: no need to wait for its time to run out."""
    await rescue(harness)
    await harness.run("update blog_generations set status = %s, priority = -1 where id = %s", end, dying.job_id)

    job = await harness.attempt()

    assert (job["id"] != dying.job_id, job["status"]) == (True, "DONE")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "status", "status": 500}, "PENDING"),
        ({"kind": "throttle", "retry_after_s": 30}, "PENDING"),
        ({"kind": "reset_after"}, "PENDING"),
        ({"kind": "quota_exhausted", "code": "insufficient_quota"}, "PENDING"),
        ({"kind": "refusal"}, "FAILED"),
    ],
    ids=["500", "429", "no answer", "no credit", "refused"],
)
async def test_a_buyer_without_a_result_lets_the_next_one_try(harness, fault, status):
    harness.breakers = ClosedBreakers()
    await harness.room.fault(vendor="openai", times=2, **fault)

    assert (await harness.attempt())["status"] == status

    assert await buyers(harness) == []


async def test_a_cancelled_buyer_lets_the_next_one_try(work, writer, checkpoints, cache):
    """By a person, or with its worker: its cancellation is held up for the one statement that frees the others."""
    checkpoints.saved["source"] = CURTAINS
    buying, ended = Event(), []

    async def generate(**_: Any) -> Generation:
        buying.set()
        return await sleep_forever()

    async def end_single_flight(key: str, claim: Claim, **_: object) -> None:
        await sleep(0.01)
        ended.append(claim)

    writer.generate, cache.end_single_flight = generate, end_single_flight

    async with create_task_group() as tasks:
        tasks.start_soon(ideas.run, work)
        await buying.wait()
        tasks.cancel_scope.cancel()

    assert ended == [work.claim]


async def test_blogs_of_another_source_or_site_do_not_wait(harness, dying):
    another = await harness.add(SITE, source_id="carpets")
    elsewhere = await harness.add("another site")

    ends = {job["id"]: job["status"] for job in await harness.attempts()}

    assert (ends.pop(another), ends.pop(elsewhere)) == ("DONE", "DONE")
    assert set(ends.values()) == {"PENDING"}


async def test_a_job_with_paid_ideas_does_not_wait(harness, dying):
    """And what it does not use is there for the others, who need not wait for the buyer then."""
    [waits] = await harness.run("select id from blog_generations where status = 'PENDING'")
    answer = {"text": json.dumps({"ideas": [idea(title="Paid for"), idea(title="And so is another one")]})}
    await harness.run(
        "insert into generation_stages (generation_id, stage, output, attempt) values (%s, 'ideas.draft', %s, 0)",
        waits["id"],
        Json(answer),
    )
    await harness.add(SITE)
    bought = await ideas_calls(harness)

    paid, behind = await harness.attempt(), await harness.attempt()

    assert (paid["id"], paid["status"], behind["status"]) == (waits["id"], "DONE", "DONE")
    assert await ideas_calls(harness) == bought
    assert await buyers(harness) == [dying.job_id], "whose right to buy is left alone"


async def test_a_preview_neither_waits_for_ideas_nor_delays_others(harness, dying):
    """It has no row in the queue to come back to."""
    spends: list[Any] = []

    async def record(spend: dict[str, Any]) -> None:
        spends.append(spend)

    kept = UnqueuedCheckpoints(record)
    cache = Recalled(harness.database, product_s=60, ideas_s=60)
    claim = replace(dying, job_id=0)
    work = Work(claim, kept, harness.clients, harness.limiter, harness.openai, harness.breakers, cache)

    found = await preview(work, kept, illustrated=False, retry_base_s=1, retry_cap_s=1, say=lambda _: None)

    assert found.post["title"]
    assert await buyers(harness) == [dying.job_id]


async def test_ideas_that_arrived_meanwhile_are_not_bought_again(work, writer, checkpoints, cache):
    """Between its look at the shelf and its turn to buy another one may have filled it."""
    checkpoints.saved["source"] = CURTAINS

    async def begin_single_flight(*_: Any, **__: Any) -> Flight:
        return Flight([idea(title="Bought just now")], ours=True)

    cache.begin_single_flight = begin_single_flight

    output = (await ideas.run(work)).dump()

    assert output["chosen"]["title"] == "Bought just now"
    assert writer.asked == []


async def test_a_lost_attempt_does_not_release_the_next_lock(harness, dying):
    """Its worker, back from the dead, cleans up after itself only."""
    cache, [key] = cache_of(harness), [row["key"] for row in await harness.run("select key from cache")]
    key = key.removesuffix("/lock")
    await rescue(harness)
    [again] = await harness.claims(1)
    assert (await cache.begin_single_flight(key, again, ttl_s=60)).ours

    await cache.end_single_flight(key, dying, found=[], most=9)
    assert await buyers(harness) == [again.job_id]
    assert (await cache.begin_single_flight(key, again, ttl_s=60)).ours, "said again, as after a lost answer"

    await cache.end_single_flight(key, again, found=[], most=9)
    assert await buyers(harness) == []


async def test_one_of_many_concurrent_jobs_becomes_the_buyer(harness):
    for _ in range(BLOGS - 1):
        await harness.add(SITE)
    cache, answers = cache_of(harness), []

    async def ask(taken: Claim) -> None:
        answers.append((await cache.begin_single_flight("k", taken, ttl_s=60)).ours)

    async with create_task_group() as tasks:
        for taken in await harness.claims(BLOGS):
            tasks.start_soon(ask, taken)

    assert sorted(answers) == [False] * (BLOGS - 1) + [True]
