"""Budgets: asked before paying, never overrun by blogs in progress, and undone by nobody but time or a person."""

import shutil
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from anyio import create_task_group, run_process

from blogworker.printable import printable
from blogworker.queue.job import Done, Failure, OverBudget, PauseSite, Release
from blogworker.spend import budget

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
NEXT_MONTH = datetime(2026, 12, 1, tzinfo=UTC)
A_BLOG = 0.02


class Purse:
    """Asks as an attempt does, and books what was paid as a checkpoint does."""

    def __init__(self, database, psql, claimer) -> None:
        self.database, self.psql, self.claimer = database, psql, claimer

    async def ask(self, claim, usd: float = A_BLOG, *, now: datetime | None = NOON) -> dict[str, Any] | None:
        return await self.database.maybe(
            "spend/hold_budget",
            job_id=claim.job_id,
            attempt=claim.attempt,
            worker_id=self.claimer.worker_id,
            usd=usd,
            now=now,
        )

    async def ask_all(self, claims, usd: float = A_BLOG, *, now: datetime | None = NOON) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []

        async def one(claim) -> None:
            answers.append(await self.ask(claim, usd, now=now))

        async with create_task_group() as asking:
            for claim in claims:
                asking.start_soon(one, claim)
        return answers

    async def pay(self, site: str, usd: float, *, at: datetime = NOON, model: str = "m") -> None:
        await self.psql.run(
            "insert into provider_usage as u (hour, provider, model, instance_id, requests, cost_usd) "
            "values (date_trunc('hour', %s::timestamptz, 'UTC'), 'openai', %s, %s, 1, %s::numeric) "
            "on conflict (hour, provider, model, instance_id) do update set cost_usd = u.cost_usd + excluded.cost_usd",
            at,
            model,
            site,
            usd,
        )

    async def site(self, name: str = "a") -> dict[str, Any]:
        return (await self.psql.run("select * from sites where instance_id = %s", name))[0]

    async def look(self, now: datetime | None = NOON) -> budget.Budget:
        return await budget.check_budgets(self.database, now=now)


@pytest.fixture
def purse(database, psql, claimer) -> Purse:
    return Purse(database, psql, claimer)


async def a_site(
    psql, name: str = "a", *, blogs: int = 1, day: float | None = None, month: float | None = None
) -> None:
    await psql.run(
        "insert into sites (instance_id, budget_day_usd, budget_month_usd) values (%s, %s, %s)", name, day, month
    )
    await psql.insert(name, blogs)


@pytest.mark.parametrize("whose", ["site", "fleet"])
async def test_ten_that_ask_at_once_share_a_budget_for_four(purse, psql, claimer, whose):
    """The last of them sees what the first reserved, though none has paid yet."""
    await a_site(psql, blogs=10, day=4.5 * A_BLOG if whose == "site" else None)
    if whose == "fleet":
        await psql.run("update fleet_budget set day_usd = %s", 4.5 * A_BLOG)

    answers = await purse.ask_all((await claimer()).claims)

    assert sum(answer["affordable"] for answer in answers) == 4
    assert {answer["scope"] for answer in answers if not answer["affordable"]} == {whose}
    assert sum(bool(answer["newly"]) for answer in answers) == 1


@pytest.mark.parametrize("whose", ["site", "fleet"])
async def test_a_budget_reached_is_told_when_the_attempt_asks_again(purse, psql, claimer, whose):
    """Its answer may be lost, and the line in the log is written by whoever was told."""
    await a_site(psql, blogs=2, day=0.5 * A_BLOG if whose == "site" else None)
    if whose == "fleet":
        await psql.run("update fleet_budget set day_usd = %s", 0.5 * A_BLOG)
    first, other = (await claimer()).claims

    told = [(await purse.ask(claim))["newly"] for claim in (first, other, first)]

    assert told == [True, False, True]


async def test_a_budget_met_to_the_cent_is_kept(purse, psql, claimer):
    """What fits exactly is bought; a millionth more is not."""
    await a_site(psql, "exact", day=1)
    await a_site(psql, "over", day=1)
    for site, spent in (("exact", 1 - A_BLOG), ("over", 1 - A_BLOG + 1e-6)):
        await purse.pay(site, spent)

    answers = {claim.instance_id: await purse.ask(claim) for claim in (await claimer()).claims}

    assert answers["exact"]["affordable"]
    assert not answers["over"]["affordable"]


@pytest.mark.parametrize("whose", ["site", "fleet"])
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_blogs_cost_within_their_estimate_a_budget_is_never_overrun(
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


async def test_what_was_reserved_counts_while_its_attempt_runs(purse, psql, claimer, settler):
    """No row is left behind that somebody would have to give back."""
    await a_site(psql, blogs=2, day=1.5 * A_BLOG)
    first, second = (await claimer()).claims
    assert (await purse.ask(first))["affordable"]
    assert not (await purse.ask(second))["affordable"]

    await settler.settle(first, Done())

    assert (await purse.ask(second))["affordable"]


async def test_an_answer_that_was_lost_may_be_asked_for_again(purse, psql, claimer):
    await a_site(psql, day=1.5 * A_BLOG)
    (claim,) = (await claimer()).claims

    assert [(await purse.ask(claim))["affordable"] for _ in range(3)] == [True] * 3


async def test_an_attempt_that_was_lost_reserves_nothing(purse, psql, claimer):
    await a_site(psql, day=1)
    (claim,) = (await claimer()).claims
    await psql.run("update blog_generations set status = 'PENDING'")

    assert await purse.ask(claim) is None
    assert await psql.value("select count(held_usd) from blog_generations") == 0


async def test_a_blog_of_a_dead_worker_counts_until_it_is_rescued(purse, psql, claimer, database):
    """Its call may be under way; but nothing of it is counted for ever."""
    await a_site(psql, blogs=2, day=1.5 * A_BLOG)
    first, second = (await claimer()).claims
    await purse.ask(first)

    await psql.run("update blog_generations set status = 'PENDING' where id = %s", first.job_id)

    assert (await purse.ask(second))["affordable"]


async def test_a_site_whose_budget_is_spent_is_paused_until_the_period_ends(purse, psql, claimer, settler):
    """The reason is all that a person at 3 a.m. reads: what, how much, until when, and what to type."""
    await a_site(psql, "shop", blogs=2, day=5)
    await a_site(psql, "other", day=5)
    await purse.pay("shop", 4.985)
    claims = {claim.instance_id: claim for claim in (await claimer()).claims}

    answer = await purse.ask(claims["shop"])
    await settler.settle(claims["shop"], OverBudget(answer["reason"], everywhere=False))

    site = await purse.site("shop")
    assert site["pause_reason"] == answer["reason"] == (
        "its budget of $5.00 a day has no room for a blog: $4.99 spent, one may cost $0.02; "
        "resumes 2026-11-24 00:00 UTC, or raise it: blogworker sites set shop --budget-day 10"
    )  # fmt: skip
    assert site["resume_at"] == MIDNIGHT
    job = await psql.job(claims["shop"].job_id)
    assert (job["status"], job["failures"], job["error"]) == ("PENDING", 0, answer["reason"])
    assert (await purse.ask(claims["other"]))["affordable"]


async def test_the_advice_on_a_budget_that_was_lowered_covers_what_is_spent(purse, psql, claimer):
    """Twice a budget far below what is spent would stop the site again at once."""
    await a_site(psql, "shop", day=1)
    await purse.pay("shop", 50)
    (claim,) = (await claimer()).claims

    answer = await purse.ask(claim)

    assert answer["reason"].endswith("blogworker sites set shop --budget-day 51")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
async def test_what_is_to_be_typed_names_the_site_and_runs_nothing(purse, psql, claimer):
    """A producer chooses the id, and a person pastes the advice."""
    site = 'it\'s $(id) `id` "x" ~ \\ \x1b[31m\u202e\u200b \u00e9\u6f22;\n&'
    await a_site(psql, site, day=1)
    await purse.pay(site, 50)
    (claim,) = (await claimer()).claims

    command = (await purse.ask(claim))["reason"].partition("raise it: ")[2]
    typed = await run_process(["bash", "-c", f"blogworker() {{ printf '%s\\0' \"$@\"; }}; {command}"])

    assert typed.stdout.decode().split("\0")[:-1] == ["sites", "set", site, "--budget-day", "51"]
    assert printable(command) == command


async def test_room_that_blogs_in_hand_hold_is_waited_for_by_the_second(purse, psql, claimer):
    """Most blogs cost less than was reserved for them; a site must not stand still until midnight for that."""
    await a_site(psql, blogs=2, day=1.5 * A_BLOG)
    first, second = (await claimer()).claims
    await purse.ask(first)

    answer = await purse.ask(second)

    assert answer["reason"] == (
        "its budget of $0.03 a day has no room for a blog: $0.00 spent, up to $0.02 for blogs in progress, "
        "one may cost $0.02; asked again in seconds"
    )
    assert (await purse.site())["resume_at"] == NOON + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("paid_at", "asked_at", "day_left", "month_left"),
    [
        ("2026-11-23T23:59:59Z", "2026-11-23T23:59:59.9Z", False, False),
        ("2026-11-23T23:59:59Z", "2026-11-24T00:00:00Z", True, False),
        ("2026-11-23T00:00:00Z", "2026-11-23T12:00:00Z", False, False),
        ("2026-11-22T23:59:59Z", "2026-11-23T12:00:00Z", True, False),
        ("2026-11-30T23:00:00Z", "2026-12-01T00:00:00Z", True, True),
        ("2026-12-31T23:30:00Z", "2027-01-01T00:00:00Z", True, True),
        ("2026-02-28T23:00:00Z", "2026-02-28T23:59:59Z", False, False),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
async def test_days_and_months_begin_at_midnight_utc(
    purse, psql, claimer, paid_at, asked_at, day_left, month_left, zone
):
    """Whatever the server's own time zone, and those whose hours begin at half past."""
    await psql.run(f"set time zone '{zone}'")
    await psql.run(f"alter database {await psql.value('select current_database()')} set timezone = '{zone}'")
    await a_site(psql, "daily", day=1)
    await a_site(psql, "monthly", month=1)
    for site in ("daily", "monthly"):
        await purse.pay(site, 0.99, at=datetime.fromisoformat(paid_at))

    asked = datetime.fromisoformat(asked_at)
    answers = {claim.instance_id: await purse.ask(claim, now=asked) for claim in (await claimer()).claims}

    assert (answers["daily"]["affordable"], answers["monthly"]["affordable"]) == (day_left, month_left)


@pytest.mark.parametrize(("spent", "until"), [("day", MIDNIGHT), ("month", NEXT_MONTH)])
async def test_a_site_comes_back_when_the_period_ends(purse, psql, claimer, settler, spent, until):
    await a_site(psql, blogs=2, day=None if spent == "month" else 1, month=1)
    await purse.pay("a", 0.995, at=NOON if spent == "day" else NOON - timedelta(days=10))
    if spent == "day":
        await psql.run("update sites set budget_month_usd = 100")
    (claim, *_) = (await claimer(1)).claims
    answer = await purse.ask(claim)
    await settler.settle(claim, OverBudget(answer["reason"], everywhere=False))
    assert await claimer.sites() == []

    early = await purse.look(until - timedelta(milliseconds=1))
    assert (early.resumed, await claimer.sites()) == (0, [])
    due = await purse.look(until)

    assert (due.resumed, await claimer.sites()) == (1, ["a", "a"])
    site = await purse.site()
    assert (site["paused_at"], site["pause_reason"], site["resume_at"]) == (None, None, None)


@pytest.mark.parametrize("change", ["budget_day_usd = 10", "budget_day_usd = null", "budget_month_usd = 70"])
async def test_a_budget_that_is_changed_is_asked_anew_at_once(purse, psql, claimer, change):
    """From the command line or from psql."""
    await a_site(psql, blogs=2, day=1)
    await purse.pay("a", 0.995)
    await purse.ask((await claimer(1)).claims[0])

    await psql.run(f"update sites set {change}")

    assert await claimer.sites() == ["a"]
    assert (await purse.site())["pause_reason"] is None


@pytest.mark.parametrize("how", ["before", "over it", "by psql over it"])
async def test_a_persons_pause_is_never_undone_by_the_system(purse, psql, claimer, database, how):
    """They had a reason, and it was not the money."""
    await a_site(psql, blogs=2, day=1)
    await purse.pay("a", 0.995)
    (claim,) = (await claimer(1)).claims
    if how == "before":
        await database.maybe("queue/pause_site", instance_id="a", reason="moving house")
    await purse.ask(claim)
    if how == "over it":
        assert await database.maybe("queue/pause_site", instance_id="a", reason="moving house")
    elif how == "by psql over it":
        await psql.run("update sites set paused_at = now(), pause_reason = 'moving house'")

    await psql.run("update sites set budget_day_usd = 100")
    look = await purse.look(NEXT_MONTH)

    assert (look.resumed, await claimer.sites()) == (0, [])
    assert (await purse.site())["pause_reason"] == "moving house"
    assert await database.maybe("queue/pause_site", instance_id="a", reason="again") is None


async def test_a_revoked_token_outlasts_a_spent_budget(purse, psql, claimer, settler):
    """Both in one batch: the pause that needs a person is the one that stays."""
    await a_site(psql, blogs=2, day=1)
    await purse.pay("a", 0.995)
    first, second = (await claimer()).claims
    await settler.settle(first, PauseSite(Failure("publish", "SiteUnavailable", "the token was revoked")))

    await purse.ask(second)
    await purse.look(NEXT_MONTH)

    assert (await purse.site())["pause_reason"] == "the token was revoked"


async def test_a_budget_raised_while_it_is_found_spent_is_not_missed(purse, psql, another_psql, claimer):
    """Else the site would stand still until midnight with money to spend."""
    await a_site(psql, blogs=2, day=1)
    await purse.pay("a", 0.995)
    claim, again = (await claimer()).claims
    await another_psql.run("begin")
    await another_psql.run("update sites set budget_day_usd = 100")

    assert not (await purse.ask(claim))["affordable"]  # without waiting for the person
    await another_psql.run("commit")

    assert (await purse.site())["paused_at"] is None
    assert (await purse.ask(again))["affordable"]


async def test_a_verdict_by_an_old_budget_pauses_nothing(purse, psql, another_psql, claimer):
    """The budget was read, and raised before the verdict was written down: the next attempt asks by the new one."""
    await a_site(psql, blogs=2, day=1)
    await purse.pay("a", 0.995)
    claim, _ = (await claimer()).claims
    await another_psql.run("begin")
    await another_psql.run("select pg_advisory_xact_lock(hashtext('blogworker site budget'), hashtext('a'))")
    answers: list[Any] = []

    async with create_task_group() as asking:
        asking.start_soon(lambda: ask_into(answers, purse, claim))
        await psql.until_waiting()
        await psql.run("update sites set budget_day_usd = 100")
        await another_psql.run("commit")

    assert [answer["affordable"] for answer in answers] == [False]
    assert (await purse.site())["paused_at"] is None


async def ask_into(answers: list[Any], purse: Purse, claim) -> None:
    answers.append(await purse.ask(claim))


async def test_nobody_waits_for_a_person_with_the_total_budget_in_hand(purse, psql, another_psql, claimer):
    await a_site(psql, blogs=2)
    await psql.run("update fleet_budget set day_usd = 1")
    await purse.pay("a", 0.995)
    (claim, *_) = (await claimer()).claims
    await another_psql.run("begin")
    await another_psql.run("update fleet_budget set day_usd = 100")

    assert not (await purse.ask(claim))["affordable"]
    await another_psql.run("commit")

    assert (await purse.look()).stop_reason is None


async def test_the_total_budget_shuts_the_gate_until_its_period_ends_or_it_is_raised(purse, psql, claimer):
    await a_site(psql, "a", blogs=1)
    await a_site(psql, "b", blogs=1)
    await psql.run("update fleet_budget set day_usd = 1, month_usd = 100")
    await purse.pay("c", 0.99)
    assert (await purse.look()).stop_reason is None

    answers = await purse.ask_all((await claimer()).claims)

    reason = (
        "the fleet's budget of $1.00 a day has no room for a blog: $0.99 spent, one may cost $0.02; "
        "resumes 2026-11-24 00:00 UTC, or raise it: blogworker costs budget --day 2"
    )
    assert [answer["reason"] for answer in answers] == [reason] * 2
    gate = await purse.look()
    assert (gate.stop_reason, gate.stopped_s) == (reason, 12 * 3600)
    assert await psql.value("select count(*) from sites where paused_at is not null") == 0
    assert (await purse.look(MIDNIGHT)).stop_reason is None

    await psql.run("update fleet_budget set day_usd = 2")

    assert (await purse.look()).stop_reason is None


async def test_a_site_that_may_spend_nothing_spends_nothing(purse, psql, claimer):
    """Not even on models whose price nobody knows."""
    await a_site(psql, day=0)

    assert not (await purse.ask((await claimer()).claims[0], 0))["affordable"]


async def test_the_sums_that_budgets_read_follow_the_ledger(purse, psql):
    """Whoever writes it: a worker, a person's correction, an older worker that does not know of budgets."""
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
