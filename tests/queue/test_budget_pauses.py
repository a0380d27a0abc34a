"""Sites paused by their budget: why, until when, and by what they are resumed."""

import shutil
from datetime import datetime, timedelta
from typing import Any

import pytest
from anyio import create_task_group, run_process

from blogworker.printable import printable
from blogworker.queue.job import Failure, OverBudget, PauseSite

from .purse import MIDNIGHT, NEXT_MONTH, NOON, Purse, a_site

pytestmark = pytest.mark.anyio


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
        "its budget of $5.00 a day has no room for a job: $4.99 spent, one may cost $0.02; "
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
async def test_the_suggested_command_names_the_site_and_is_safe_to_paste(purse, psql, claimer):
    """A producer chooses the id, and a person pastes the advice."""
    site = 'it\'s $(id) `id` "x" ~ \\ \x1b[31m\u202e\u200b \u00e9\u6f22;\n&'
    await a_site(psql, site, day=1)
    await purse.pay(site, 50)
    (claim,) = (await claimer()).claims

    command = (await purse.ask(claim))["reason"].partition("raise it: ")[2]
    typed = await run_process(["bash", "-c", f"blogworker() {{ printf '%s\\0' \"$@\"; }}; {command}"])

    assert typed.stdout.decode().split("\0")[:-1] == ["sites", "set", site, "--budget-day", "51"]
    assert printable(command) == command


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
async def test_a_site_resumes_when_the_period_ends(purse, psql, claimer, settler, spent, until):
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
async def test_a_changed_budget_takes_effect_at_once(purse, psql, claimer, change):
    """From the command line or from psql."""
    await a_site(psql, blogs=2, day=1)
    await purse.pay("a", 0.995)
    await purse.ask((await claimer(1)).claims[0])

    await psql.run(f"update sites set {change}")

    assert await claimer.sites() == ["a"]
    assert (await purse.site())["pause_reason"] is None


@pytest.mark.parametrize("how", ["before", "over it", "by psql over it"])
async def test_a_pause_set_by_a_person_is_never_undone_by_the_system(purse, psql, claimer, database, how):
    """The person's reason is not the budget."""
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


async def test_a_budget_raised_during_the_check_is_not_missed(purse, psql, another_psql, claimer):
    """Otherwise the site would stay paused until midnight although it has budget."""
    await a_site(psql, blogs=2, day=1)
    await purse.pay("a", 0.995)
    claim, again = (await claimer()).claims
    await another_psql.run("begin")
    await another_psql.run("update sites set budget_day_usd = 100")

    assert not (await purse.ask(claim))["affordable"]  # without waiting for the person
    await another_psql.run("commit")

    assert (await purse.site())["paused_at"] is None
    assert (await purse.ask(again))["affordable"]


async def test_a_decision_on_an_outdated_budget_pauses_nothing(purse, psql, another_psql, claimer):
    """The budget was read, then raised before the pause was stored: the next attempt uses the new one."""
    await a_site(psql, blogs=2, day=1)
    await purse.pay("a", 0.995)
    claim, _ = (await claimer()).claims
    await another_psql.run("begin")
    await another_psql.run("select take_turn('budget', 'a')")
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


async def test_an_exhausted_total_budget_stops_claims_until_its_period_ends_or_it_is_raised(purse, psql, claimer):
    await a_site(psql, "a", blogs=1)
    await a_site(psql, "b", blogs=1)
    await psql.run("update fleet_budget set day_usd = 1, month_usd = 100")
    await purse.pay("c", 0.99)
    assert (await purse.look()).stop_reason is None

    answers = await purse.ask_all((await claimer()).claims)

    reason = (
        "the fleet's budget of $1.00 a day has no room for a job: $0.99 spent, one may cost $0.02; "
        "resumes 2026-11-24 00:00 UTC, or raise it: blogworker costs budget --day 2"
    )
    assert [answer["reason"] for answer in answers] == [reason] * 2
    gate = await purse.look()
    assert (gate.stop_reason, gate.stopped_s) == (reason, 12 * 3600)
    assert await psql.value("select count(*) from sites where paused_at is not null") == 0
    assert (await purse.look(MIDNIGHT)).stop_reason is None

    await psql.run("update fleet_budget set day_usd = 2")

    assert (await purse.look()).stop_reason is None
