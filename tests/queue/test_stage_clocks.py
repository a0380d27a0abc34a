"""Where stages have workers of their own, each later stage serves sites by their weights, by a clock of its own."""

from collections import Counter
from functools import partial
from random import Random

import pytest
from anyio import create_task_group

from blogworker.db.sql import query
from blogworker.queue.claim import ClaimFilter, Scan, _filter_parameters, claim
from blogworker.queue.job import Claim, Done, Failure, Outcome, Retry, Stage, Wait

pytestmark = pytest.mark.anyio

TEXTS = ClaimFilter(stages=(Stage.SOURCE, Stage.IDEAS, Stage.CONTENT))
PUBLISHING = ClaimFilter(stages=(Stage.PUBLISH,))
PICTURES = ClaimFilter(stages=(Stage.IMAGE, Stage.PUBLISH))
NO_SLOT = Wait(0, "waits for a slot of stage publish")
FAILED = Failure(stage="publish", kind="Unavailable", message="m")


class Fleet:
    """Workers for texts and workers that publish."""

    def __init__(self, psql, claimer, settler) -> None:
        self.psql, self.settler, self.database, self.worker_id = psql, settler, claimer.database, claimer.worker_id
        self.done: Counter[str] = Counter()

    async def claim(self, only: ClaimFilter, slots: int, window: int = 20) -> tuple[Claim, ...]:
        return (await claim(self.database, self.worker_id, slots=slots, site_window=window, only=only)).claims

    async def end(self, claims: tuple[Claim, ...], outcome: Outcome) -> None:
        async with create_task_group() as tasks:
            for each in claims:
                tasks.start_soon(self.settler.settle, each, outcome)

    async def write(self, slots: int, *, then: str = "publish") -> tuple[Claim, ...]:
        claims = await self.claim(TEXTS, slots, window=slots)
        await self.psql.run(
            "update blog_generations set stage = %s where id = any (%s)", then, [each.job_id for each in claims]
        )
        await self.end(claims, NO_SLOT)
        return claims

    async def publish(self, slots: int) -> list[str]:
        claims = await self.claim(PUBLISHING, slots)
        await self.end(claims, Done())
        sites = [each.instance_id for each in claims]
        self.done.update(sites)
        return sites

    async def pile_up(self, site: str, jobs: int, weight: float = 1) -> None:
        """Write so many posts for a site, and publish none."""
        await self.psql.run(
            "insert into sites (instance_id, weight) values (%s, %s) on conflict do nothing", site, weight
        )
        await self.psql.insert(site, jobs)
        written = 0
        while written < jobs:
            written += len(await self.write(50))


@pytest.fixture
def fleet(psql, claimer, settler) -> Fleet:
    return Fleet(psql, claimer, settler)


@pytest.mark.parametrize("seed", range(4))
async def test_finished_posts_follow_the_weights_whichever_stage_is_the_narrowest(psql, fleet, seed):
    """At each moment in which all sites have posts to publish."""
    random = Random(seed)
    weights = {f"site{n}": random.choice((1, 1, 2, 3, 7)) for n in range(random.randint(2, 5))}
    for site, weight in weights.items():
        await fleet.pile_up(site, 30, weight)
        await psql.insert(site, 120)

    for _ in range(30):
        await fleet.write(random.randint(1, 12))
        assert await fleet.publish(random.randint(1, 6))
        if min(30 - fleet.done[site] for site in weights) <= 0:
            break
        served = [fleet.done[site] / weight for site, weight in weights.items()]
        assert max(served) - min(served) <= 1 / min(weights.values()) + 0.01

    assert fleet.done.total() > 40


async def test_a_site_that_comes_after_a_pile_of_another_is_served_at_once(fleet):
    await fleet.pile_up("first", 200)
    for _ in range(10):
        await fleet.publish(2)
    await fleet.pile_up("second", 50)

    fleet.done.clear()
    for _ in range(20):
        await fleet.publish(2)

    assert abs(fleet.done["first"] - fleet.done["second"]) <= 2


@pytest.mark.parametrize("kept", ["put off", "paused"])
async def test_a_site_that_published_nothing_for_a_while_has_no_credit(psql, fleet, kept):
    await fleet.pile_up("away", 60)
    await fleet.publish(10)
    if kept == "paused":
        await psql.run("update sites set paused_at = now() where instance_id = 'away'")
    else:
        await psql.run("update blog_generations set run_at = now() + interval '1 hour' where status = 'PENDING'")
    await fleet.pile_up("there", 150)
    for _ in range(20):
        await fleet.publish(5)

    await psql.run("update sites set paused_at = null")
    await psql.run("update blog_generations set run_at = now() where status = 'SCHEDULED'")
    await psql.run("update blog_generations set status = 'PENDING' where status = 'SCHEDULED'")
    fleet.done.clear()
    for _ in range(10):
        await fleet.publish(4)

    assert abs(fleet.done["away"] - fleet.done["there"]) <= 2


@pytest.mark.parametrize("outcome", [Retry(FAILED, 0), Wait(0, "m", FAILED)], ids=["retry", "wait"])
async def test_jobs_that_fail_neither_block_their_site_nor_take_the_slots_of_others(psql, fleet, outcome):
    await fleet.pile_up("fails", 40)
    await fleet.pile_up("works", 40)
    await psql.run("update blog_generations set max_attempts = 1000")
    claims = await fleet.claim(PUBLISHING, 10)
    bad = {each.job_id for each in claims if each.instance_id == "fails"}
    await fleet.end(claims, NO_SLOT)
    turns = Counter()

    for _ in range(30):
        claims = await fleet.claim(PUBLISHING, 2)
        turns.update(each.instance_id for each in claims)
        await fleet.end(tuple(each for each in claims if each.job_id in bad), outcome)
        await fleet.end(tuple(each for each in claims if each.job_id not in bad), Done())

    assert abs(turns["fails"] - turns["works"]) <= 2


async def test_the_priority_of_a_job_counts_among_the_posts_of_its_site(psql, fleet):
    await fleet.pile_up("shop", 10)
    await psql.run("update blog_generations set priority = 10 where id = (select max(id) from blog_generations)")

    (claimed,) = await fleet.claim(PUBLISHING, 1)

    assert claimed.job_id == await psql.value("select max(id) from blog_generations")


async def test_stages_that_share_slots_are_both_served(psql, fleet):
    """A long queue before one of them does not hold up the sites that wait for the other."""
    await fleet.pile_up("publishes", 100)
    for _ in range(10):
        await fleet.publish(5)
    await psql.insert("pictures", 20)
    await fleet.write(20, then="image")

    claims = await fleet.claim(PICTURES, 10)

    assert Counter(each.instance_id for each in claims) == {"publishes": 5, "pictures": 5}
    times = {row["instance_id"]: row["stage_times"] for row in await psql.run("select * from sites")}
    assert times == {"publishes": [None, None, None, 55], "pictures": [None, None, 5, None]}
    assert [row["virtual_time"] for row in await psql.run("select * from stage_clocks order by line")] == [0, 0, 4, 54]


@pytest.mark.parametrize(
    "times", ["{1e15,1e15,1e15,1e15}", "[0:3]={0,0,0,1e15}", "{{1,2},{3,1e15}}", "{null,null,null,0}"]
)
async def test_times_that_were_set_by_hand_matter_to_their_site_only(psql, fleet, times):
    for site, weight in (("odd", 1), ("light", 1), ("heavy", 3)):
        await fleet.pile_up(site, 40, weight)
    await psql.run("update sites set stage_times = %s where instance_id = 'odd'", times)
    await psql.run("update sites set paused_at = now() where instance_id <> 'odd'")
    assert await fleet.publish(2) == ["odd"] * 2
    await psql.run("update sites set paused_at = null")

    fleet.done.clear()
    for _ in range(10):
        assert len(await fleet.publish(4)) == 4

    assert abs(fleet.done["heavy"] - 3 * fleet.done["light"]) <= 3


async def fill(psql, site: str, jobs: int, stage: str, *, weight: float = 1, turn_cost: float = 1) -> None:
    """Give a site so many jobs that have reached this stage."""
    await psql.run("insert into sites (instance_id, weight) values (%s, %s)", site, weight)
    await psql.run("update sites set turn_cost = %s where instance_id = %s", turn_cost, site)
    await psql.insert(site, jobs)
    await psql.run("update blog_generations set stage = %s where instance_id = %s", stage, site)


async def test_stages_take_turns_also_job_by_job(psql, fleet):
    """While the circuit breaker of a provider is open, the other stages share all slots."""
    await fill(psql, "a", 60, "publish")
    await fill(psql, "b", 60, "publish")
    await fill(psql, "c", 60, "content")
    await fill(psql, "d", 60, "image", turn_cost=3)
    later = ClaimFilter(stages=(Stage.CONTENT, Stage.IMAGE, Stage.PUBLISH))
    served: Counter[str] = Counter()

    for _ in range(90):
        claims = await fleet.claim(later, 1)
        served.update(each.instance_id for each in claims)
        await fleet.end(claims, Done())

    assert served == {"a": 15, "b": 15, "c": 30, "d": 30}


async def test_weights_hold_where_a_claim_takes_more_than_the_window_of_a_site(psql, fleet):
    await fill(psql, "heavy", 200, "publish", weight=10)
    for n in range(3):
        await fill(psql, f"light{n}", 60, "publish")

    for _ in range(5):
        await fleet.publish(50)

    assert fleet.done == {"heavy": 100, "light0": 10, "light1": 10, "light2": 10}


@pytest.mark.parametrize("quiet", [False, True], ids=["always", "with claims that may take nothing"])
async def test_service_is_even_beyond_the_sites_that_one_claim_reads(psql, fleet, quiet):
    """It reads 200. Claims that had only the other ten to choose from would serve these ten times as often. A claim
    that may take nothing reads no site, and the next one goes on where the one before has ended."""
    for n in range(210):
        await fill(psql, f"s{n:03}", 6, "publish")
    take = partial(claim, fleet.database, fleet.worker_id, slots=1, site_window=20, only=PUBLISHING, scan=Scan())

    for _ in range(420):
        found = await take()
        await fleet.end(found.claims, Done())
        fleet.done.update(each.instance_id for each in found.claims)
        if quiet:
            await psql.run("insert into quiet_workers (name, reason) select name, 'r' from workers")
            assert (await take()).claims == ()
            await psql.run("delete from quiet_workers")

    assert {1, 2, 3} >= {fleet.done[f"s{n:03}"] for n in range(210)}


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 399, 400, 401])
async def test_a_scan_reads_the_sites_in_a_circle(psql, fleet, count):
    """Each site once, and 200 at most, from wherever the last one has ended."""
    await psql.run("insert into sites (instance_id) select 's' || 1000 + n from generate_series(1, %s) as n", count)
    for _ in range(2):
        await psql.run(
            "insert into blog_generations (instance_id, source_type, source_id) "
            "select instance_id, 'keyword', 'k' from sites"
        )
    await psql.run("update blog_generations set stage = 'publish'")
    sites = [f"s{1001 + n}" for n in range(count)]
    head, _, _ = query("queue/claim").rpartition("\nselect\n    f.dry,")
    scanned = head + (
        "select array(select n.instance_id::text from scanned as n order by n.nth) as sites, "
        "(select f.scanned_to from facts as f) as scanned_to"
    )

    for after in ["", "a", "z", "s1100x", *sites[:1], *sites[198:202], *sites[-1:]]:
        asked = {"worker_id": fleet.worker_id, "slots": 1, "site_window": 20}
        asked |= _filter_parameters(PUBLISHING, Scan(after))
        async with psql.connection.transaction(force_rollback=True):
            found = await (await psql.connection.execute(scanned.encode(), asked)).fetchone()

        circle = [site for site in sites if site > after] + [site for site in sites if site <= after]
        assert found == {"sites": circle[:200], "scanned_to": circle[199] if count >= 200 else after}


async def test_a_site_whose_weight_is_raised_has_no_debt(psql, fleet):
    await fill(psql, "raised", 30, "publish", weight=0.01)
    await fill(psql, "other", 30, "publish")
    await fleet.publish(2)
    await psql.run("update sites set weight = 1 where instance_id = 'raised'")
    fleet.done.clear()

    for _ in range(20):
        await fleet.publish(1)

    assert abs(fleet.done["raised"] - fleet.done["other"]) <= 2


async def test_a_claim_waits_for_no_clock(psql, another_psql, fleet):
    await fleet.pile_up("shop", 10)
    async with another_psql.connection.transaction():
        await another_psql.run("select from stage_clocks for update")
        assert await fleet.publish(3) == ["shop"] * 3
    assert await psql.value("select virtual_time from stage_clocks where line = 4") == 0

    await fleet.publish(3)

    assert await psql.value("select virtual_time from stage_clocks where line = 4") == 3


async def test_claims_of_all_stages_leave_the_clocks_alone(psql, claimer):
    await psql.insert("shop", 3)

    await claimer()

    assert await psql.value("select max(virtual_time) from stage_clocks") == 0
    assert await psql.value("select stage_times from sites") is None
