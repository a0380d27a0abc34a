"""A site is served by the tokens that its jobs use, not by how many they are."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

import pytest
from psycopg.types.json import Json

from blogworker.bench.token_share import CALL_TOKENS, Fleet, Site, figure
from blogworker.queue.claim import claim
from blogworker.queue.job import Cancel, Claim, Done, Failure, Outcome, Reject, Release, Retry, Wait
from blogworker.queue.reconcile import reconcile
from blogworker.queue.settle import move

pytestmark = pytest.mark.anyio

STANDARD = 6_000
FAILED = Failure(stage="content", kind="Unavailable", message="m")


class Harness:
    """Claims, and ends what it claimed after each job used what `takes` says."""

    def __init__(self, psql, claimer, takes: Callable[[str], int]) -> None:
        self.psql, self.database, self.worker_id = psql, claimer.database, claimer.worker_id
        self.takes = takes
        self.tokens: Counter[str] = Counter()
        self.blogs: Counter[str] = Counter()

    async def claim(self, slots: int, window: int = 20) -> tuple[Claim, ...]:
        await reconcile(self.database)  # as a worker does every second
        return (await claim(self.database, self.worker_id, slots=slots, site_window=window)).claims

    async def end(self, claims: tuple[Claim, ...], outcome: Outcome) -> None:
        used = [self.takes(c.instance_id) for c in claims]
        await self.database.execute(
            "bench/spend",
            job_ids=[c.job_id for c in claims],
            attempts=[c.attempt for c in claims],
            stages=["content" if c.attempt == 1 else "content.again" for c in claims],
            tokens=used,
        )
        made = move(outcome)
        failure = asdict(made.failure) if made.failure else None
        facts = {"status": made.status, "delay_s": 0, "spent": made.spent, "failure": failure}
        outcomes = [{"job_id": c.job_id, "attempt": c.attempt} | facts for c in claims]
        await self.database.rows("queue/settle", worker_id=self.worker_id, outcomes=Json(outcomes))
        for c, tokens in zip(claims, used, strict=True):
            self.tokens[c.instance_id] += tokens
            self.blogs[c.instance_id] += 1

    async def serve(self, slots: int) -> None:
        await self.end(await self.claim(slots), Done())

    async def site(self, name: str = "shop") -> dict[str, float]:
        (row,) = await self.psql.run("select virtual_time, turn_cost from sites where instance_id = %s", name)
        return row


@pytest.fixture
def harness(psql, claimer) -> Callable[[Callable[[str], int]], Harness]:
    return lambda takes: Harness(psql, claimer, takes)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("slots", "claims"), [(10, 200), pytest.param(1, 600, marks=pytest.mark.proof)])
async def test_sites_are_served_the_tokens_of_their_weight_also_when_their_jobs_change(psql, harness, slots, claims):
    """The bound: what one claim can take of the longest jobs. It holds at every moment, not only in the end."""
    takes = {"long": 4 * STANDARD, "short": STANDARD, "premium": 2 * STANDARD}
    weights = {"long": 1, "short": 1, "premium": 3}
    cook = harness(takes.__getitem__)
    for site, weight in weights.items():
        await psql.run("insert into sites (instance_id, weight) values (%s, %s)", site, weight)
        await psql.insert(site, 2_500)
    bound = (slots + 1) * 4 * STANDARD

    for n in range(claims):
        if n == claims // 2:
            takes["long"], takes["short"] = takes["short"], takes["long"]
        await cook.serve(slots)
        shares = [cook.tokens[site] / weight for site, weight in weights.items()]
        assert max(shares) - min(shares) <= bound

    assert cook.blogs.total() == slots * claims
    assert min(shares) > 8 * bound, "enough was served for the bound to mean something"


async def test_a_new_site_is_in_the_next_claim_however_long_the_jobs_of_the_others(psql, harness):
    cook = harness(lambda site: 4 * STANDARD)
    for n in range(5):
        await psql.insert(f"old{n}", 100)
    for _ in range(5):
        await cook.serve(10)
    await psql.insert("new", 1)

    assert "new" in {c.instance_id for c in await cook.claim(1)}


async def test_a_site_alone_gets_every_slot_however_long_its_jobs(psql, harness):
    cook = harness(lambda site: 10 * STANDARD)
    await psql.insert("shop", 100)
    for _ in range(4):
        await cook.serve(10)

    assert len(await cook.claim(20)) == 20


async def test_more_sites_than_slots_are_served_by_tokens(psql, harness):
    """Where a claim takes one job of each site it sees, only the line can tell the long from the short."""
    cook = harness(lambda site: STANDARD * (4 if site.startswith("long") else 1))
    for n in range(6):
        await psql.insert(f"long{n}", 200)
        await psql.insert(f"short{n}", 200)

    for _ in range(60):
        await cook.serve(10)

    assert max(cook.tokens.values()) - min(cook.tokens.values()) <= 2 * 4 * STANDARD


async def test_weights_below_one_hold_where_there_are_as_many_sites_as_slots(psql, claimer):
    """One of each site a claim would serve them all alike."""
    for n in range(20):
        await psql.run("insert into sites (instance_id, weight) values (%s, %s)", f"shop{n}", 0.5 if n % 2 else 1)
        await psql.insert(f"shop{n}", 200)

    taken: Counter[str] = Counter()
    for _ in range(60):
        taken.update(await claimer.sites(20))

    whole, half = (sum(taken[f"shop{n}"] for n in range(20) if n % 2 == odd) for odd in (0, 1))
    assert whole / half == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("outcome", "costs"),
    [
        (Done(), 2.0),
        (Wait(0, "quota"), 2.0),
        (Release(), 2.0),
        (Retry(FAILED, 0), 2.0),
        (Reject(FAILED), 2.0),
        (Cancel(), 2.0),
    ],
)
async def test_an_attempt_costs_its_site_what_it_used(psql, harness, outcome, costs):
    cook = harness(lambda site: 2 * STANDARD)
    await psql.insert("shop", 1)
    await cook.end(await cook.claim(1), outcome)
    await cook.claim(0)

    assert (await cook.site())["virtual_time"] == pytest.approx(costs)


@pytest.mark.parametrize(
    ("outcome", "costs"),
    [
        (Wait(0, "quota"), 0.0),
        (Release(), 0.0),
        (Done(), 0.1),
        (Wait(0, "vendor", FAILED), 1.0),
        (Retry(FAILED, 0), 1.0),
        (Reject(FAILED), 1.0),
        (Cancel(), 1.0),
    ],
)
async def test_only_a_wait_without_an_error_refunds_the_unused_cost(psql, harness, outcome, costs):
    """A site of nothing but bad jobs must not hold the head of the line for nothing."""
    cook = harness(lambda site: 0)
    await psql.insert("shop", 1)
    await cook.end(await cook.claim(1), outcome)
    await cook.claim(0)

    assert (await cook.site())["virtual_time"] == pytest.approx(costs)


async def test_one_unusual_job_changes_the_cost_of_a_turn_by_at_most_an_eighth(psql, harness):
    takes = {"shop": 9 * STANDARD}
    cook = harness(takes.__getitem__)
    await psql.insert("shop", 200)
    await cook.serve(1)
    await cook.claim(0)
    assert (await cook.site())["turn_cost"] == pytest.approx(2)

    takes["shop"] = 1_000_000_000
    await cook.serve(1)
    await cook.claim(0)
    assert (await cook.site())["turn_cost"] == 100

    takes["shop"] = 1
    for _ in range(8):
        await cook.serve(20)
    await cook.claim(0)
    assert (await cook.site())["turn_cost"] == pytest.approx(0.1)


async def test_a_job_that_waits_halfway_is_charged_once_for_all_its_calls(psql, harness):
    cook = harness(lambda site: STANDARD)
    await psql.insert("shop", 1)
    await cook.end(await cook.claim(1), Wait(0, "quota"))
    await cook.end(await cook.claim(1), Done())
    await cook.claim(0)

    assert (await cook.site())["virtual_time"] == pytest.approx(2)
    assert (await cook.site())["turn_cost"] == pytest.approx(1 + (2 - 1) / 8)


async def test_the_bills_of_a_site_that_another_transaction_has_locked_are_kept_for_later(psql, another_psql, harness):
    cook = harness(lambda site: 3 * STANDARD)
    await psql.insert("held", 1)
    await psql.insert("free", 1)
    await cook.end(await cook.claim(2), Done())
    await another_psql.run("begin")
    await another_psql.run("select from sites where instance_id = 'held' for update")

    await cook.claim(0)
    assert [row["instance_id"] for row in await psql.run("select instance_id from site_bills")] == ["held"]

    await another_psql.run("commit")
    await cook.claim(0)
    assert (await cook.site("held"))["virtual_time"] == (await cook.site("free"))["virtual_time"]


LONG_AND_SHORT = [Site(f"{kind}{n}", calls, n + 1) for kind, calls in (("long", 8), ("short", 2)) for n in range(2)]


async def saturated(psql, claimer) -> float:
    """Jain's index of tokens by weight after ten minutes in which the provider's quota is what all wait for."""
    for site in LONG_AND_SHORT:
        await psql.run("insert into sites (instance_id, weight) values (%s, %s)", site.name, site.weight)
        await psql.insert(site.name, 1_000 // site.calls)

    by_name = {site.name: site for site in LONG_AND_SHORT}
    fleet = Fleet(claimer.database, claimer.worker_id, by_name, 40)
    await fleet.run(600)

    assert fleet.tokens.total() >= 0.9 * 600 * CALL_TOKENS, "the quota was used"
    assert fleet.parked > 600, "and was short: more were refused than were let through"
    return figure(fleet).jain


@pytest.mark.timeout(300)
async def test_a_short_quota_is_shared_by_weight_in_tokens(psql, claimer):
    """Under saturation each job is claimed and given back several times before it has all its calls."""
    assert await saturated(psql, claimer) >= 0.99
