"""Budgets: asked before paying, and never exceeded by jobs in progress."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from anyio import create_task_group

from blogworker.queue.job import Done, OverBudget, Release

from .purse import A_BLOG, NOON, a_site

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("whose", ["site", "fleet"])
async def test_ten_concurrent_requests_share_a_budget_for_four(purse, psql, claimer, whose):
    """The last of them sees what the first reserved, though none has paid yet."""
    await a_site(psql, blogs=10, day=4.5 * A_BLOG if whose == "site" else None)
    if whose == "fleet":
        await psql.run("update fleet_budget set day_usd = %s", 4.5 * A_BLOG)

    answers = await purse.ask_all((await claimer()).claims)

    assert sum(answer["affordable"] for answer in answers) == 4
    assert {answer["scope"] for answer in answers if not answer["affordable"]} == {whose}
    assert sum(bool(answer["newly"]) for answer in answers) == 1


@pytest.mark.parametrize("whose", ["site", "fleet"])
async def test_an_exhausted_budget_is_reported_again_when_the_attempt_repeats_its_request(purse, psql, claimer, whose):
    """The first answer can be lost, and the attempt that receives the answer writes the log line."""
    await a_site(psql, blogs=2, day=0.5 * A_BLOG if whose == "site" else None)
    if whose == "fleet":
        await psql.run("update fleet_budget set day_usd = %s", 0.5 * A_BLOG)
    first, other = (await claimer()).claims

    reported = [(await purse.ask(claim))["newly"] for claim in (first, other, first)]

    assert reported == [True, False, True]


async def test_a_budget_can_be_spent_to_the_cent(purse, psql, claimer):
    """A cost that fits exactly is allowed; a millionth more is not."""
    await a_site(psql, "exact", day=1)
    await a_site(psql, "over", day=1)
    for site, spent in (("exact", 1 - A_BLOG), ("over", 1 - A_BLOG + 1e-6)):
        await purse.pay(site, spent)

    answers = {claim.instance_id: await purse.ask(claim) for claim in (await claimer()).claims}

    assert answers["exact"]["affordable"]
    assert not answers["over"]["affordable"]


@pytest.mark.parametrize("whose", ["site", "fleet"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_budget_is_never_exceeded_while_jobs_cost_no_more_than_their_estimate(
    purse, psql, claimer, settler, whose, seed
):
    """Asked, paid in parts, ended and claimed again in any order, by several at once."""
    random, limit = Random(seed), 0.25
    for site in "ab":
        await a_site(psql, site, blogs=30, day=limit if whose == "site" else None)
    if whose == "fleet":
        await psql.run("update fleet_budget set day_usd = %s", limit)

    async def attempt(claim) -> None:
        if not (await purse.ask(claim))["affordable"]:
            await settler.settle(claim, OverBudget("no room", everywhere=False))
            return
        left = A_BLOG * random.choice([0.3, 0.9, 1])
        for part in (0.1, 0.5, 0.4):
            await purse.pay(claim.instance_id, left * part)
        await settler.settle(claim, random.choice([Done(), Done(), Release()]))

    for round_ in range(12):
        async with create_task_group() as attempts:
            for claim in (await claimer(12)).claims:
                attempts.start_soon(attempt, claim)
        await purse.look(NOON + timedelta(seconds=6 * round_))

    spent = {row["instance_id"]: float(row["usd"]) for row in await psql.run(
        "select instance_id, sum(cost_usd) as usd from provider_usage group by 1"
    )}  # fmt: skip
    fullest = max(spent.values()) if whose == "site" else sum(spent.values())
    assert limit - A_BLOG < fullest <= limit


async def test_a_reservation_counts_while_its_attempt_runs(purse, psql, claimer, settler):
    """A reservation is part of the job's row, so nothing has to be cleaned up."""
    await a_site(psql, blogs=2, day=1.5 * A_BLOG)
    first, second = (await claimer()).claims
    assert (await purse.ask(first))["affordable"]
    assert not (await purse.ask(second))["affordable"]

    await settler.settle(first, Done())

    assert (await purse.ask(second))["affordable"]


async def test_a_request_whose_answer_was_lost_can_be_repeated(purse, psql, claimer):
    await a_site(psql, day=1.5 * A_BLOG)
    (claim,) = (await claimer()).claims

    assert [(await purse.ask(claim))["affordable"] for _ in range(3)] == [True] * 3


async def test_a_lost_attempt_reserves_nothing(purse, psql, claimer):
    await a_site(psql, day=1)
    (claim,) = (await claimer()).claims
    await psql.run("update blog_generations set status = 'PENDING'")

    assert await purse.ask(claim) is None
    assert await psql.value("select count(held_usd) from blog_generations") == 0


async def test_a_job_of_a_dead_worker_counts_until_it_is_rescued(purse, psql, claimer, database):
    """Its call may be in progress, but the reservation ends with the rescue."""
    await a_site(psql, blogs=2, day=1.5 * A_BLOG)
    first, second = (await claimer()).claims
    await purse.ask(first)

    await psql.run("update blog_generations set status = 'PENDING' where id = %s", first.job_id)

    assert (await purse.ask(second))["affordable"]


async def test_a_site_waits_seconds_for_budget_reserved_by_running_jobs(purse, psql, claimer):
    """Most jobs cost less than was reserved for them; a site must not stand still until midnight for that."""
    await a_site(psql, blogs=2, day=1.5 * A_BLOG)
    first, second = (await claimer()).claims
    await purse.ask(first)

    answer = await purse.ask(second)

    assert answer["reason"] == (
        "its budget of $0.03 a day has no room for a job: $0.00 spent, up to $0.02 for jobs in progress, "
        "one may cost $0.02; asked again in seconds"
    )
    assert (await purse.site())["resume_at"] == NOON + timedelta(seconds=5)


async def test_a_locked_total_budget_delays_no_attempt(purse, psql, another_psql, claimer):
    await a_site(psql, blogs=2)
    await psql.run("update fleet_budget set day_usd = 1")
    await purse.pay("a", 0.995)
    (claim, *_) = (await claimer()).claims
    await another_psql.run("begin")
    await another_psql.run("update fleet_budget set day_usd = 100")

    assert not (await purse.ask(claim))["affordable"]
    await another_psql.run("commit")

    assert (await purse.look()).stop_reason is None


async def test_a_site_with_a_budget_of_zero_spends_nothing(purse, psql, claimer):
    """Not even on models whose price nobody knows."""
    await a_site(psql, day=0)

    assert not (await purse.ask((await claimer()).claims[0], 0))["affordable"]


async def test_the_sums_that_budgets_read_follow_the_ledger(purse, psql):
    """Whether a worker, a person or an older worker without budgets writes to it."""
    random = Random(1)
    for n in range(60):
        at = NOON + timedelta(hours=random.randrange(100))
        await purse.pay(random.choice("abc"), random.random(), at=at, model=f"m{n % 3}")
    await psql.run("update provider_usage set cost_usd = cost_usd / 2 where model = 'm1'")

    by_site = "select sum(cost_usd) from {} where instance_id = 'a'"
    ledger = await psql.value(by_site.format("provider_usage"))
    assert ledger == await psql.value(by_site.format("site_spend"))
    whole = [
        await psql.value(f"select sum(cost_usd) from {t}") for t in ("provider_usage", "site_spend", "fleet_spend")
    ]
    assert whole[0] == whole[1] == whole[2]


@pytest.mark.parametrize(
    ("now", "today", "month", "a_day", "projected"),
    [
        # 7 on the 17th to the 23rd, 1 a day: 6.5 days of the week gone, so 7 / 6.5 a day
        ("2026-11-23T12:00:00Z", 1, 7, 7 / 6.5, 7 + 7 / 6.5 * 7.5),
        ("2026-11-24T00:00:00Z", 0, 7, 6 / 6, 7 + 7),
        ("2026-11-30T12:00:00Z", 0, 7, 0, 7),
        ("2026-12-01T00:00:00Z", 0, 0, 0, 0),
        ("2026-11-17T00:30:00Z", 1, 1, 4, 1 + 4 * (14 - 0.5 / 24)),  # a first half hour counts as a quarter of a day
    ],
)
async def test_the_month_is_projected_from_its_last_days(purse, psql, now, today, month, a_day, projected):
    for day in range(17, 24):
        at = datetime(2026, 11, day, tzinfo=UTC)
        if at <= datetime.fromisoformat(now):
            await purse.pay("a", 1, at=at)

    (row,) = await psql.run("select * from spending_at(%s)", datetime.fromisoformat(now))

    assert (row["spent_today_usd"], row["spent_month_usd"]) == (today, month)
    assert float(row["a_day_usd"]) == pytest.approx(a_day, abs=1e-5)
    assert float(row["projected_month_usd"]) == pytest.approx(projected, abs=1e-2)
