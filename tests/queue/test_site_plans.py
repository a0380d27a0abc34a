"""Plans: which values a site has, and what a priority is worth. Query plans are tested in test_plans.py."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from blogworker.db.pool import Database
from blogworker.queue.claim import claim
from blogworker.settings import DatabaseSettings

pytestmark = pytest.mark.anyio
EXAMPLES = 60 if settings.default.max_examples >= 300 else 9
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # each example is a database's work: a failure is short enough
VALUES = "weight, priority, max_in_flight, max_pending, budget_day_usd, budget_month_usd"
NEEDS = """
insert into workers (name, worker_id, host, pid, version, concurrency, lease_until, stats) values (
    'w', gen_random_uuid(), 'h', 1, '0', 50, now() + interval '1 hour',
    '{"needs": {"buckets": ["openai/a"], "tokens": [0], "blog_s": 60, "leads": [0, 0, 0, 0, 0, 60]}}'
);
insert into quotas (name, provider, requests_per_minute) values ('openai/a', 'openai', 100)
"""


async def values(psql, site: str) -> tuple[object, ...]:
    row = (await psql.run(f"select {VALUES} from sites where instance_id = %s", site))[0]
    return tuple(row.values())


async def test_a_site_has_its_plans_values_and_its_own_win(passing_psql):
    psql = passing_psql
    await psql.run("insert into plans values ('gold', 4, 2, 9, 90, 5, 50)")
    await psql.run("insert into sites (instance_id, plan) values ('plain', 'gold')")
    await psql.run("insert into sites (instance_id, plan, weight, max_pending) values ('own', 'gold', 8, 7)")

    assert await values(psql, "plain") == (4, 2, 9, 90, 5, 50)
    assert await values(psql, "own") == (8, 2, 9, 7, 5, 50)

    await psql.run("update sites set own_weight = null, max_in_flight = 3 where instance_id = 'own'")
    assert await values(psql, "own") == (4, 2, 3, 7, 5, 50)
    await psql.run("update sites set max_in_flight = null, plan = 'standard' where instance_id = 'own'")
    assert await values(psql, "own") == (1, 0, None, 7, None, None)


async def test_a_changed_plan_reaches_its_sites_except_in_their_own_values(passing_psql):
    psql = passing_psql
    await psql.run(
        "insert into sites (instance_id, plan, weight) values ('own', 'premium', 2), ('plain', 'premium', 1)"
    )
    await psql.run("insert into sites (instance_id) values ('other')")
    await psql.run("update sites set at_cap = true, ready = true")

    await psql.run("update plans set weight = 6, max_in_flight = 4 where name = 'premium'")

    rows = await psql.run("select instance_id, weight, max_in_flight, at_cap from sites order by 1")
    assert [tuple(row.values()) for row in rows] == [
        ("other", 1, None, True),
        ("own", 2, 4, False),  # its cap has changed, so the next claim counts again
        ("plain", 6, 4, False),
    ]


@pytest.mark.parametrize(
    "column", ["weight", "priority", "max_pending", "own_weight", "own_priority", "own_max_pending", "own_quota_share"]
)
async def test_any_value_can_be_set_while_a_new_cap_has_not_reached_the_site(passing_psql, column):
    """In a session that sets nothing else: the change of this column also brings the cap."""
    psql = passing_psql
    await psql.run("insert into sites (instance_id) values ('shop')")
    await psql.run("set local session_replication_role = replica")
    await psql.run("update plans set max_in_flight = 4 where name = 'standard'")
    await psql.run("set local session_replication_role = origin")

    await psql.run(f"update sites set {column} = 0.5")

    assert await psql.value("select max_in_flight from sites") == 4


async def test_a_plan_in_use_and_the_standard_plan_stay(passing_psql):
    psql = passing_psql
    await psql.run("insert into plans (name) values ('gold'), ('silver')")
    await psql.run("insert into sites (instance_id, plan) values ('s', 'gold')")

    for text in (
        "delete from plans where name = 'gold'",
        "delete from plans where name = 'standard'",
        "update plans set name = 'other' where name = 'gold'",
        "update sites set plan = 'missing'",
        "insert into sites (instance_id, plan) values ('t', 'missing')",
    ):
        assert (await psql.refused(text)).sqlstate == "23503", text
    await psql.run("delete from plans where name = 'silver'")


async def test_a_site_inserted_while_its_plan_changes_follows_it_later(psql, another_psql):
    """Neither transaction sees the other's row, and neither waits for the other."""
    async with another_psql.connection.transaction():
        await another_psql.run("insert into sites (instance_id, plan) values ('s', 'premium')")
        await psql.run("update plans set weight = 6 where name = 'premium'")
    assert await psql.value("select weight from sites") == 3

    assert await psql.value("select follow_plans()") == 1
    assert await psql.value("select weight from sites") == 6
    assert await psql.value("select follow_plans()") == 0


async def test_a_share_of_the_quotas_limits_how_many_jobs_of_a_site_run(passing_psql):
    """A hundred jobs a minute, of a minute each, use the quota up: a tenth is ten jobs."""
    psql = passing_psql
    await psql.run("insert into plans (name, quota_share) values ('small', 0.1)")
    await psql.run("insert into sites (instance_id, plan) values ('s', 'small'), ('free', 'standard')")
    await psql.run("insert into sites (instance_id, plan, max_in_flight) values ('capped', 'small', 4)")
    caps = "select max_in_flight from sites order by instance_id"

    async def found() -> list[object]:
        return [row["max_in_flight"] for row in await psql.run(caps)]

    assert await psql.value("select follow_plans()") == 0  # no worker says what a job needs
    await psql.run(NEEDS)
    assert await psql.value("select follow_plans()") == 2
    assert await found() == [4, None, 10]

    await psql.run("update quotas set requests_per_minute = 90")
    assert await psql.value("select follow_plans()") == 0  # too small a difference
    await psql.run("update quotas set requests_per_minute = 300")
    await psql.run("select follow_plans()")
    assert await found() == [4, None, 30]

    await psql.run("update sites set own_quota_share = 1 where instance_id = 's'")
    await psql.run("select follow_plans()")
    assert await found() == [4, None, 300]
    await psql.run("update plans set quota_share = null where name = 'small'")
    await psql.run("update sites set own_quota_share = null")
    assert await found() == [4, None, None]


async def test_premium_goes_first_and_then_by_weight(psql, claimer):
    """A site of a plan with priority 2 and weight 3 has six jobs before those that were in line before it."""
    await psql.run("update plans set priority = 2 where name = 'premium'")
    for n in range(12):
        await psql.insert(f"s{n:02}", 60)
    for _ in range(12):
        await claimer(6)
    await psql.run("insert into sites (instance_id, plan) values ('p', 'premium')")
    await psql.insert("p", 200)

    started = [site for _ in range(100) for site in await claimer.sites(6)]

    last = max(n for n in range(40) if started[n] == "p" and started[: n + 1].count("p") <= 6)
    assert started[: last + 1].count("p") == 6
    assert last < 18  # three jobs of each claim of six, although twelve sites wait
    assert started.count("p") == pytest.approx(600 * 3 / 15, abs=3 * (2 + 1) + 3)


# Whatever the plans are --------------------------------------------------------------------------------------------


@dataclass
class Line:
    """One database, emptied for each example."""

    portal: BlockingPortal
    database: Database
    worker_id: UUID

    def reset(self, sites: list[tuple[float, int]]) -> None:
        self.run("truncate sites, blog_generations, site_arrivals, site_bills restart identity cascade")
        for n, (weight, priority) in enumerate(sites):
            self.run(f"insert into sites (instance_id, own_weight, own_priority) values ('s{n}', {weight}, {priority})")

    def insert(self, site: str, jobs: int) -> None:
        self.run(
            "insert into blog_generations (instance_id, source_type, source_id) "
            f"select '{site}', 'keyword', 'k' from generate_series(1, {jobs})"
        )

    def claim(self, slots: int, window: int) -> list[str]:
        async def take() -> list[str]:
            found = await claim(self.database, self.worker_id, slots=slots, site_window=window)
            return [each.instance_id for each in found.claims]

        return self.portal.call(take)

    def run(self, text: str) -> None:
        async def send() -> None:
            async with self.database.connection() as connection:
                await connection.execute(text.encode())

        self.portal.call(send)


@pytest.fixture(scope="module")
def line(module_url: str) -> Iterator[Line]:
    with start_blocking_portal("asyncio") as portal:
        opened = Database(DatabaseSettings(url=module_url, pool_min=1, pool_max=2, _env_file=None))
        with portal.wrap_async_context_manager(opened) as database:
            found = Line(portal, database, uuid4())
            found.run(
                "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until) "
                f"values ('l', '{found.worker_id}', 'h', 1, '0', 100, now() + interval '1 hour')"
            )
            yield found


WEIGHTS = st.sampled_from([0.5, 1.0, 2.0, 3.0])
OTHERS = st.lists(st.tuples(WEIGHTS, st.integers(0, 6)), min_size=1, max_size=8)
SLOTS = st.sampled_from([1, 2, 5, 12])
WINDOW = 6


def turn(weight: float, weights: list[float]) -> int:
    """Most jobs that a site gets in one claim while the line is longer than the claim."""
    return math.ceil(weight / min(1, *weights))


@pytest.mark.search
@settings(max_examples=EXAMPLES, phases=PHASES)
@given(OTHERS, st.integers(1, 4), st.integers(0, 8), SLOTS)
@example([(1.0, 0), *[(1.0, 6)] * 6], 1, 6, 1)
def test_the_wait_for_sites_with_a_priority_is_bounded(line, others, early, late, slots):
    """Before the next job of a new site starts, another starts at most (priority + 1 / weight) * its weight jobs, and
    one turn. That holds for those in line before it, and for those that come one after the other, before or after."""
    line.reset([*others, (1.0, 0)])
    weights = [weight for weight, _ in others]
    me = len(others)
    for n in range(min(early, me)):
        line.insert(f"s{n}", 60)
    line.claim(1, WINDOW)
    line.run("update sites set virtual_time = virtual_time + 100 where ready")  # the others were idle for long
    coming = list(range(early, me))
    coming.insert(late, me)
    started: Counter[str] = Counter()

    for n in [*coming, *[None] * 100]:
        if n is not None:
            line.insert(f"s{n}", 60)
        if n == me:
            started.clear()
        found = line.claim(slots, WINDOW)
        started.update(found[: found.index(f"s{me}") + 1] if f"s{me}" in found else found)
        if f"s{me}" in found:
            break

    assert started[f"s{me}"] == 1
    for n, (weight, priority) in enumerate(others):
        most = math.ceil((priority + 1) * weight) + turn(weight, weights)
        assert started[f"s{n}"] <= most, (started, others)


ARRIVALS = st.lists(st.tuples(st.integers(0, 7), st.sampled_from([1, 2, 5, 60])), max_size=3)
STEPS = st.lists(st.tuples(SLOTS, ARRIVALS), min_size=1, max_size=8)
CLAIMS = 16


@pytest.mark.search
@settings(max_examples=EXAMPLES * 2 // 3, phases=PHASES)
@given(OTHERS, STEPS)
@example([(1.0, 6)], [(1, [(0, 1)])])
@example([(1.0, 6)] * 7, [(1, [(n, 60)]) for n in range(7)] + [(12, [])] * 9)
def test_no_site_gets_more_than_its_priority_ahead_of_one_that_always_waits(line, others, steps):
    """However many sites with a priority come, and however often each empties and comes back: the jobs of each by
    weight exceed those of a site that waits all the time by its priority and a window at most. None starves a site."""
    line.reset([*others, (1.0, 0)])
    me = f"s{len(others)}"
    line.insert(me, 250)
    line.claim(1, WINDOW)
    line.run("update sites set virtual_time = 100 where ready")  # the others were idle for long
    started: Counter[str] = Counter()

    for slots, arrivals in (steps * CLAIMS)[:CLAIMS]:
        for n, jobs in arrivals:
            if n < len(others):
                line.insert(f"s{n}", jobs)
        started.update(line.claim(slots, WINDOW))

        for n, (weight, priority) in enumerate(others):
            assert started[f"s{n}"] / weight - started[me] <= priority + WINDOW / weight + 1, (started, others)
