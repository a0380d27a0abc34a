"""Alerts of the fleet: sent once when they begin and once when they end, with reminders, whatever workers do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from anyio import create_task_group

from blogworker.alerts import evaluation
from blogworker.alerts.evaluation import CLEAR_S, MOST_NAMED, evaluate, list_alerts, message
from blogworker.db.pool import Database, connect

pytestmark = pytest.mark.anyio
REMIND_S = 4 * 3_600.0


class Fleet:
    """A fleet whose state a test sets, and whose minutes pass at once."""

    def __init__(self, connection: Any, database: Database) -> None:
        self.connection = connection
        self.database = database

    async def run(self, text: str, *parameters: object) -> list[dict[str, Any]]:
        cursor = await self.connection.execute(text.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []

    async def breaker(self, state: str, provider: str = "openai") -> None:
        opened = "now()" if state == "open" else "null"
        await self.run(
            f"update provider_health set state = %s, reason = 'r', opened_at = {opened}, retry_at = {opened} "
            "where provider = %s",
            state,
            provider,
        )

    async def budget(self, reached: bool) -> None:
        await self.run(
            "update fleet_budget set stopped_until = case when %s then now() + interval '1 day' end", reached
        )

    async def minutes(self, number: float) -> list[str]:
        """Let minutes pass, then evaluate. Return what changed."""
        ago = f"- interval '{number * 60} s'"
        await self.run(
            f"update alerts set since = since {ago}, held_at = held_at {ago}, fired_at = fired_at {ago}, "
            f"sent_at = sent_at {ago}"
        )
        await self.run(f"update alert_evaluations set evaluated_at = evaluated_at {ago}")
        changed = await evaluate(self.database, remind_s=REMIND_S)
        return [f"{each['change']} {each['rule'].removeprefix('Blogworker')}" for each in changed]

    async def sent(self) -> list[Any]:
        found = await self.run("select payload from webhook_deliveries where event = 'alert' order by delivery_id")
        return [[f"{each['state']} {each['alert']}" for each in row["payload"]["alerts"]] for row in found]


@pytest.fixture
async def fleet(database_url: str, database: Database) -> AsyncIterator[Fleet]:
    async with await connect(database_url, timeout_s=5) as connection:
        found = Fleet(connection, database)
        await found.run(
            "insert into webhooks (name, url, events) values ('w', 'https://x.example.com', '{alert}'), "
            "('jobs', 'https://x.example.com', '{done,failed}')"
        )
        yield found


async def test_an_alert_is_sent_after_it_has_held_once_and_again_when_it_ends(fleet: Fleet) -> None:
    await fleet.breaker("open")
    assert [await fleet.minutes(1) for _ in range(4)] == [[], [], ["firing BreakerOpen"], []]
    (found,) = await list_alerts(fleet.database)
    assert (found.rule, found.subject, found.fired_at is not None) == ("BlogworkerBreakerOpen", "openai", True)

    await fleet.breaker("closed")
    assert [await fleet.minutes(1) for _ in range(6)] == [[], [], [], [], ["resolved BreakerOpen"], []]

    assert await fleet.sent() == [["firing BlogworkerBreakerOpen"], ["resolved BlogworkerBreakerOpen"]]
    assert await list_alerts(fleet.database) == []


async def test_an_endpoint_for_some_sites_gets_no_alert_of_the_fleet(fleet: Fleet) -> None:
    await fleet.run("update webhooks set instance_ids = '{shop}' where name = 'w'")
    await fleet.breaker("open")

    assert [await fleet.minutes(1) for _ in range(3)] == [[], [], ["firing BreakerOpen"]]
    assert await fleet.sent() == []


async def test_what_ends_before_its_time_is_never_sent(fleet: Fleet) -> None:
    await fleet.breaker("open")
    await fleet.minutes(1)
    await fleet.breaker("closed")
    await fleet.minutes(1)
    await fleet.breaker("open")

    assert [await fleet.minutes(1) for _ in range(2)] == [[], []]
    assert await fleet.sent() == []


async def test_one_that_comes_and_goes_each_minute_is_one_alert(fleet: Fleet) -> None:
    """A storm of 60 changes in an hour is one message."""
    for minute in range(60):
        await fleet.budget(minute % 2 == 0)
        await fleet.minutes(1)

    assert await fleet.sent() == [["firing BlogworkerBudgetReached"]]


async def test_a_reminder_comes_after_hours(fleet: Fleet) -> None:
    await fleet.budget(True)
    assert await fleet.minutes(1) == ["firing BudgetReached"]
    assert [await fleet.minutes(1) for _ in range(3)] == [[], [], []]
    assert await fleet.minutes(240) == ["reminder BudgetReached"]
    assert await fleet.minutes(1) == []


async def test_what_begins_in_one_minute_is_one_message(fleet: Fleet) -> None:
    await fleet.budget(True)
    for provider in ("openai", "replicate", "wix"):
        await fleet.breaker("open", provider)
    await fleet.run(
        "set blogworker.queue_size_limit = 1000000; insert into blog_generations (instance_id, source_type, source_id) "
        "select 's' || n % 9, 'keyword', 'k' from generate_series(1, 5001) as n"
    )
    for _ in range(7):
        await fleet.minutes(1)

    sent = await fleet.sent()
    assert [len(each) for each in sent] == [1, 4, 2]  # at once, after two minutes, after five


async def test_one_worker_evaluates_a_minute(fleet: Fleet) -> None:
    await fleet.budget(True)
    found: list[int] = []

    async def worker() -> None:
        found.append(len(await evaluate(fleet.database, remind_s=REMIND_S)))

    async with create_task_group() as workers:
        for _ in range(12):
            workers.start_soon(worker)

    assert sorted(found) == [0] * 11 + [1]
    assert len(await fleet.sent()) == 1
    assert await fleet.run("select evaluation from alert_evaluations") == [{"evaluation": 1}]
    await fleet.minutes(0.9)
    assert await fleet.run("select evaluation from alert_evaluations") == [{"evaluation": 1}]
    await fleet.minutes(0.2)
    assert await fleet.run("select evaluation from alert_evaluations") == [{"evaluation": 2}]


async def test_an_evaluation_that_was_overtaken_stores_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It read the state long ago: a slow worker must not bring back an alert that another one has resolved."""
    await fleet.budget(True)
    assert await fleet.minutes(1) == ["firing BudgetReached"]
    real = evaluation.read_pulse

    async def slow(database: Database, **more: Any) -> Any:
        pulse = await real(database, **more)
        monkeypatch.setattr(evaluation, "read_pulse", real)
        await fleet.budget(False)
        assert await fleet.minutes(6) == ["resolved BudgetReached"]
        return pulse

    monkeypatch.setattr(evaluation, "read_pulse", slow)
    assert await fleet.minutes(2) == []

    assert await list_alerts(fleet.database) == []
    assert len(await fleet.sent()) == 2


async def test_a_worker_that_dies_between_reading_and_storing_loses_no_alert(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.budget(True)

    async def dies(*_: Any, **__: Any) -> Any:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "read_pulse", dies)
        with pytest.raises(ConnectionError):
            await fleet.minutes(1)

    assert await fleet.minutes(1) == ["firing BudgetReached"]


async def test_after_a_pause_of_all_workers_a_condition_has_to_hold_anew(fleet: Fleet) -> None:
    await fleet.breaker("open")
    await fleet.minutes(1)

    assert await fleet.minutes(600) == []
    assert [await fleet.minutes(1) for _ in range(2)] == [[], ["firing BreakerOpen"]]


async def test_without_an_endpoint_alerts_are_known_and_nothing_is_written(fleet: Fleet) -> None:
    await fleet.run("delete from webhooks")
    await fleet.budget(True)

    assert await fleet.minutes(1) == ["firing BudgetReached"]
    assert await fleet.sent() == []


def test_a_message_names_a_bounded_number_of_alerts() -> None:
    from datetime import UTC, datetime

    change = {
        "change": "firing",
        "rule": "BlogworkerBreakerOpen",
        "severity": "critical",
        "value": 1.0,
        "summary": "s" * 2_000,
        "since": datetime.now(UTC),
    }
    found = message([change | {"subject": str(n)} for n in range(500)])

    assert (len(found["alerts"]), found["more"]) == (MOST_NAMED, 480)
    assert len(json.dumps(found)) < 100_000
    assert CLEAR_S >= 300
