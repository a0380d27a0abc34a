"""Which jobs probe a provider: none of them may keep the others from it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.daemon.claimer import Claimer
from blogworker.daemon.gate import Gate
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.errors import Misconfigured, ProviderDown, ProviderError, Unavailable
from blogworker.queue.job import Claim, Done, Outcome, Stage, Wait
from blogworker.queue.lease import Lease
from blogworker.quota import breaker, breaker_snapshot
from blogworker.quota.breaker import Breakers

from .test_gate import WITHIN_S, Fleet

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FASTER = 10
PAUSE = """
create or replace function breaker_pause(openings integer, misconfigured boolean) returns interval
language sql immutable as $$
    select case
        when misconfigured then make_interval(secs => least(60, 5 * 2 ^ least(openings - 1, 10)) / 10)
        else make_interval(secs => least(5, 2 ^ least(openings - 1, 10)) / 10)
    end
$$
"""


class Faulty(Fleet):
    """A fleet in which some jobs fail at every call, whatever the provider does."""

    def __init__(self, database: Database, kind: type[ProviderError]) -> None:
        super().__init__(database)
        self.kind = kind
        self.faulty: set[int] = set()
        self.order: list[int] = []

    def _pipeline(self, breakers: Breakers) -> Any:
        async def attempt(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
            self.order.append(claim.job_id)
            try:
                async with breakers.guarding("replicate"):
                    if claim.job_id in self.faulty:
                        raise self.kind(
                            "refused", provider="replicate", status=503 if self.kind is Unavailable else 422
                        )
            except ProviderDown as down:
                return Wait(down.retry_after_s, str(down))
            return Done()

        return attempt


@pytest.mark.parametrize(("kind", "faulty"), [(Misconfigured, 1), (Unavailable, 2), (Unavailable, 4)])
async def test_faulty_jobs_of_one_site_are_not_the_only_probes(
    database: Database, monkeypatch: pytest.MonkeyPatch, kind: type[ProviderError], faulty: int
) -> None:
    """Each was the first of its site again before the next probe was due, and a failed probe uses no attempt: the
    breaker never closed."""
    for name in ("JITTER_S", "STEP_BACK_S", "PROBE_S"):
        monkeypatch.setattr(breaker, name, getattr(breaker, name) / FASTER)
    monkeypatch.setattr(breaker_snapshot, "PARK_S", breaker_snapshot.PARK_S / FASTER)
    monkeypatch.setattr(breaker, "FRESH_S", 0.02)
    fleet = Faulty(database, kind)
    await fleet.sql(PAUSE)
    await fleet.sql(
        "insert into blog_generations (instance_id, source_type, source_id, stage) "
        "select 'site', 'keyword', 'k', 'image' from generate_series(1, 20)"
    )
    fleet.faulty = {row["id"] for row in await fleet.sql(f"select id from blog_generations order by id limit {faulty}")}
    await fleet.open_breaker("replicate")
    ours = kind is Misconfigured
    await fleet.sql(
        f"update provider_health set openings = 3, misconfigured = {ours}, refused_main = {ours} "
        "where provider = 'replicate'"
    )

    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            tasks.start_soon(fleet.work, "one")
            while not (await fleet.statuses())["image DONE"]:
                await sleep(0.05)
            tasks.cancel_scope.cancel()

    probes = next(n for n, job_id in enumerate(fleet.order) if job_id not in fleet.faulty)
    assert probes < 10 * faulty, fleet.order


@pytest.fixture
async def fleet(database: Database) -> Fleet:
    return Fleet(database)


async def claims(fleet: Fleet, gate: Gate, *groups: list[str]) -> list[Claim]:
    """What the groups of slots claim in turn until one of them has a probe."""
    worker_id = (await Lease(fleet.database, name="w", lease_s=60, concurrency=10).begin()).worker_id
    claimer = Claimer(fleet.database, gate, DatabaseHealth(), name="w", site_window=5, suspects_only=False)
    with fail_after(WITHIN_S):
        while True:
            await gate.breakers.sync()
            for stages in groups:
                found, _ = await claimer.take(worker_id, 5, stages)
                if found.claims:
                    return found.claims
            await sleep(0.1)


@pytest.mark.parametrize(
    "groups",
    [[["source", "ideas", "content", "image"], ["publish"]], [["source", "ideas"], ["content", "image", "publish"]]],
)
async def test_a_shop_is_probed_by_slots_that_publish_nothing(fleet: Fleet, groups: list[list[str]]) -> None:
    """With slots for each stage, nobody ever called Wix again while all jobs were at their source."""
    await fleet.open_breaker("wix")
    await fleet.add(Stage.SOURCE, 6, source_type="product")

    (claim,) = await claims(fleet, Gate(Breakers(fleet.database), "wait"), *groups)

    assert (claim.source_type, claim.stage) == ("product", Stage.SOURCE)


@pytest.mark.parametrize("stopped", ["paused", "other workers"])
async def test_new_jobs_probe_nothing_while_ideas_cannot_follow(fleet: Fleet, stopped: str) -> None:
    """Each took a probe and made no call, so that the posts waited for all new jobs."""
    stages = [stage for stage in Stage if stopped == "paused" or stage != Stage.IDEAS]
    gate = Gate(Breakers(fleet.database), "wait", stages=stages)
    if stopped == "paused":
        gate.apply(replace(gate.budget, paused=frozenset({"ideas"})))
    await fleet.open_breaker("openai")
    await fleet.add(Stage.SOURCE, 20)
    await fleet.add(Stage.CONTENT, 1)

    (claim,) = await claims(fleet, gate, list(Stage))

    assert claim.stage == Stage.CONTENT
