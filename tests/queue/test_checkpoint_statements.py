"""Checkpoints are stored by the cheapest statement that does, with the result of the one that can store all of them."""

from collections.abc import Collection
from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Json

from blogworker.db.pool import connect
from blogworker.queue.job import Claim
from blogworker.spend.ledger import Spend
from blogworker.stages.cache import StoredCache
from blogworker.stages.checkpoint import EFFECT, StoredCheckpoints, load
from blogworker.stages.records import Output

from .outcomes import one_claim

pytestmark = pytest.mark.anyio

WITHIN_S = 45.0
ROWS = """
select
    s.stage, s.output, s.attempt, s.provider, s.model, s.prompt_version, s.requests, s.tokens_in, s.tokens_out,
    s.cost_usd, s.wasted, s.wasted_usd, s.made_of is not null as has_source
from generation_stages as s where s.generation_id = %s order by s.stage
"""
LEDGER = """
select
    u.provider, u.model, sum(u.requests), sum(u.tokens_in), sum(u.cost_usd), sum(u.unpriced), sum(u.wasted),
    sum(u.wasted_usd), sum(u.posts), sum(u.score_sum)
from provider_usage as u where u.instance_id = %s group by u.provider, u.model order by u.provider, u.model
"""
JOB = "select g.stage, g.rescues, g.lone_rescues, g.error, g.held_usd from blog_generations as g where g.id = %s"
UNLUCKY = """
update blog_generations
set rescues = 1, lone_rescues = 1, error = 'an obstacle', held_usd = 0.5, held_for = attempt
where id = %s
"""

names = st.sampled_from(
    ["ideas", "ideas.draft", "ideas.repair", "content.draft", "content.repair", "image.prediction"]  # a stage may cost
)
spends = st.builds(
    Spend,
    provider=st.sampled_from(["openai", "replicate"]),
    model=st.sampled_from(["a", "b"]),
    prompt_version=st.none() | st.just("1"),
    tokens_in=st.integers(0, 5_000),
    tokens_out=st.integers(0, 5_000),
    cost_usd=st.none() | st.sampled_from([0.0, 0.01, 0.7]),
    wasted=st.booleans(),
)
outputs = st.fixed_dictionaries({"text": st.sampled_from(["x", "y"])})
paid = st.tuples(names, outputs, spends, st.lists(names, max_size=1))
free = st.tuples(
    st.sampled_from(["source", "ideas", "content", "image", "publish"]),
    outputs | st.fixed_dictionaries({"score": st.integers(0, 100) | st.just("none") | st.none()}),
    st.none(),
    st.just([]),
)
steps = st.lists(paid | free | st.just("again") | st.just("new attempt"), max_size=8)


class Whole(StoredCheckpoints):
    """Stores everything but free effects with one statement."""

    def _statement(self, name: str, output: Output, spend: Spend | None, replaces: Collection[str]) -> Any:
        statement, parameters = super()._statement(name, output, spend, replaces)
        if statement == EFFECT:
            return statement, parameters
        return "stages/save_checkpoint", self._whole(name, spend, replaces)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_each_statement_stores_what_the_whole_one_stores(database, psql, claimer, steps):
    stored = []
    for number, kind in enumerate((StoredCheckpoints, Whole)):
        site = f"site-{number}"
        await psql.insert(site, 1)
        claim = next(each for each in (await claimer()).claims if each.instance_id == site)
        await psql.run(UNLUCKY, claim.job_id)
        await take(database, claimer.worker_id, claim, kind, steps)
        stored.append(
            [await psql.run(ROWS, claim.job_id), await psql.run(LEDGER, site), await psql.run(JOB, claim.job_id)]
        )
    for table in ("provider_usage", "site_spend"):
        await psql.run(f"delete from {table}")
    await psql.run("update blog_generations set status = 'CANCELLED' where status = 'PROCESSING'")

    assert stored[0] == stored[1]


async def take(database, worker_id, claim: Claim, kind: type[StoredCheckpoints], steps) -> None:
    """Save each step in turn. again: send the last statement once more, as after a lost answer. new attempt: continue
    with what is stored."""
    checkpoints, sent = kind(database, worker_id, claim, {}), None
    for step in steps:
        if step == "again":
            if sent is not None:
                await database.maybe(sent[0], **sent[1])
        elif step == "new attempt":
            checkpoints = kind(database, worker_id, claim, (await load(database, [claim.job_id]))[claim.job_id])
        else:
            name, output, spend, replaces = step
            sent = None
            statement, parameters = checkpoints._statement(name, output, spend, replaces)
            await checkpoints.save(name, output, spend, replaces=replaces)
            if statement != EFFECT:
                facts = {"stage": name, "output": Json(output), "duration_s": 1.0}
                sent = (statement, {**checkpoints._fence, **facts, **parameters})


async def test_a_paid_call_that_the_attempt_does_not_know_of_is_added_to(database, psql, claimer):
    """Its checkpoint was invalid, so it counts as missing, but what it cost stays."""
    claim = await one_claim(psql, claimer)
    for text in ("first", "second"):
        unaware = StoredCheckpoints(database, claimer.worker_id, claim, {})
        await unaware.save("ideas.draft", {"text": text}, Spend("openai", "m", cost_usd=0.25))

    [row] = await psql.run("select output ->> 'text' as text, requests, cost_usd::float from generation_stages")
    assert row == {"text": "second", "requests": 2, "cost_usd": 0.5}
    assert await psql.value("select sum(cost_usd)::float from provider_usage") == 0.5


async def test_the_owner_of_a_lock_sees_what_the_last_owner_stored(database, database_url, psql, claimer):
    """The value was not there when its statement began: it waited for the transaction that stored the value."""
    await psql.insert("shop", 2)
    first, second = (await claimer()).claims
    cache, found = StoredCache(database, product_s=60, ideas_s=60), []
    assert (await cache.begin_single_flight("k", first, ttl_s=60)).ours

    async def begin() -> None:
        found.append(await cache.begin_single_flight("k", second, ttl_s=60))

    async with await connect(database_url, timeout_s=5) as storing:
        with fail_after(WITHIN_S):
            async with create_task_group() as tasks, storing.transaction():
                await storing.execute("insert into cache values ('k', '[1]', now() + interval '1 hour')")
                await storing.execute("delete from cache where key = 'k/lock'")
                tasks.start_soon(begin)
                while not await psql.value("select count(*) from pg_locks where not granted"):
                    await sleep(0.01)

    assert [(flight.value, flight.ours) for flight in found] == [([1], True)]


async def test_a_list_is_extended_by_its_newest_entries(database, claimer, psql):
    claim = await one_claim(psql, claimer)
    cache = StoredCache(database, product_s=60, ideas_s=60)

    for found in ([1, 2], [], [3, 4]):
        await cache.end_single_flight("k", claim, found=found, most=3)

    assert await cache.recall("k") == [2, 3, 4]
    await psql.run("update cache set expires_at = now() where key = 'k'")
    await cache.end_single_flight("k", claim, found=[5], most=3)
    assert await cache.recall("k") == [5]
