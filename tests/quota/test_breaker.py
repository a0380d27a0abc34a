"""The breakers as a process uses them: what it reports, when it lets a call through, and whose fault a failure was."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from anyio import Event, create_task_group, fail_after
from structlog.testing import capture_logs

from blogworker.db.pool import Database
from blogworker.errors import (
    Misconfigured,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RateLimited,
    Rejected,
    SiteUnavailable,
    Unavailable,
)
from blogworker.quota import breaker as room
from blogworker.quota.breaker import Breakers
from blogworker.quota.breaker_snapshot import PARK_S

from .breaker_calls import WITHIN_S, call, calls, failure, opened

pytestmark = pytest.mark.anyio


async def test_the_first_failures_of_an_outage_use_no_attempts(ours, person):
    """All of them learn that the provider is down, those before the threshold too: no job pays with an attempt."""
    with fail_after(WITHIN_S):
        assert await calls(ours, 8, failure()) == {"down": 8}


async def test_failures_of_two_workers_add_up(ours, theirs, person):
    """Neither worker would detect an outage alone."""
    ends: list[Counter[str]] = []

    async def half(breakers: Breakers) -> None:
        ends.append(await calls(breakers, 3, failure()))

    with fail_after(WITHIN_S), capture_logs() as logs:
        async with create_task_group() as tasks:
            tasks.start_soon(half, ours)
            tasks.start_soon(half, theirs)

    assert ends == [{"down": 3}, {"down": 3}]
    assert [line["event"] for line in logs] == ["breaker_opened"]
    assert (logs[0]["log_level"], logs[0]["provider"]) == ("error", "openai")
    assert "503" in logs[0]["reason"]


async def test_a_single_failure_is_charged_to_its_job_after_a_moment(ours, person, brief):
    assert await call(ours, failure()) == "Unavailable"
    assert (await person.row())["state"] == "closed"


async def test_one_broken_site_does_not_open_the_breaker(ours, theirs, person, brief):
    """It uses its own attempts; every worker still serves the other sites."""
    await calls(theirs, 30, site="well")
    await theirs.sync()

    assert await calls(ours, 8, failure(status=500), site="broken") == {"Unavailable": 8}
    assert ours.open_breakers == []
    assert await calls(theirs, 3, site="well") == {"done": 3}


async def test_many_failures_cost_few_statements(ours, person, monkeypatch):
    """Reports that arrive during one statement are sent together in the next."""
    sent: Counter[str] = Counter()
    rows = Database.rows

    async def counted(self: Database, name: str, /, **parameters: object) -> list[dict[str, object]]:
        sent[name] += 1
        return await rows(self, name, **parameters)

    monkeypatch.setattr(Database, "rows", counted)

    await calls(ours, 50, failure())

    assert sent["quota/breaker_report"] <= 10


async def test_successes_are_reported_together(ours, person, monkeypatch):
    """Successes cost one statement per second, not one per call."""
    await person.run(
        "update provider_health set struck = array_fill(null::text, array[4]), succeeded_at = to_timestamp(0)"
    )

    assert await calls(ours, 30) == {"done": 30}
    assert (await person.row())["strikes"] == 4
    await ours.sync()

    row = await person.row()
    assert row["strikes"] == 0
    assert row["succeeded_at"].year > 2000


async def test_successes_are_rarely_reported_without_failures(ours, person, monkeypatch):
    """They change nothing: otherwise a worker would write a row per second and provider for ever."""
    sent: Counter[str] = Counter()
    rows = Database.rows

    async def counted(self: Database, name: str, /, **parameters: object) -> list[dict[str, object]]:
        sent[name] += 1
        return await rows(self, name, **parameters)

    monkeypatch.setattr(Database, "rows", counted)

    for _ in range(5):
        await call(ours)
        await ours.sync()

    assert sent == {"quota/breaker_succeeded": 1, "quota/breaker_states": 5}


async def test_the_reason_of_an_opening_is_one_that_a_person_can_act_on(ours, person):
    """Of several failures in one report, the one about our key or credit."""
    async with create_task_group() as tasks:
        for kind in (Unavailable, Misconfigured, Unavailable, Unavailable):
            tasks.start_soon(call, ours, kind(f"said {kind.__name__}", provider="openai"))

    assert "Misconfigured" in (await person.row())["reason"]


async def test_changes_by_a_person_are_logged_once_in_the_fleet(ours, theirs, person):
    """`breakers close` or psql: no log line said why the fleet continued."""
    await opened(ours)
    await person.run("update provider_health set opened_at = opened_at - interval '90 s' where provider = 'openai'")
    with capture_logs() as lines:
        await person.database.maybe("quota/breaker_close", provider="openai")
        await ours.sync()
        await theirs.sync()
        await person.run("update provider_health set state = 'open', reason = 'works' where provider = 'wix'")
        await theirs.sync()
        await ours.sync()

    closed, works = lines
    assert 90 <= closed.pop("open_s") < 100
    assert closed == {"event": "breaker_closed", "log_level": "info", "provider": "openai", "by": "hand"}
    assert works == {"event": "breaker_opened", "log_level": "error", "provider": "wix", "reason": "works"}
    (wix,) = await person.run("select * from provider_health where provider = 'wix'")
    assert wix["opened_at"] is not None


@pytest.mark.parametrize(
    "error",
    [
        failure(RateLimited, status=429),
        failure(Rejected, status=400),
        failure(SiteUnavailable, status=403),
        failure(Unavailable, status=428, code="CATALOG_V1_SITE"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_is_no_failure(ours, person, error):
    """The provider is up and refused the request."""
    ends = await calls(ours, 8, error)

    assert ends == {type(error).__name__: 8}
    assert (await person.row())["strikes"] == 0


async def test_a_stages_own_failures_are_not_the_providers(ours, person):
    for _ in range(6):
        assert await call(ours, failure(OutcomeUnknown, status=None), exempt=(OutcomeUnknown,)) == "OutcomeUnknown"

    assert (await person.row())["strikes"] == 0


async def test_an_account_without_credit_opens_the_breaker_at_once(ours, person):
    assert await call(ours, failure(Misconfigured, status=429, code="insufficient_quota")) == "down"
    assert (await person.row())["misconfigured"] is True


async def test_an_open_breaker_lets_nothing_through(ours, theirs, person):
    await opened(ours)
    await theirs.sync()

    assert await calls(theirs, 3) == {"kept back": 3}
    assert theirs.open_breakers == ["openai"]
    with pytest.raises(ProviderDown) as down:
        ours.require_closed("openai")
    assert 0 <= down.value.retry_after_s <= 1 + room.JITTER_S


@asynccontextmanager
async def under_way(breakers: Breakers) -> AsyncIterator[Event]:
    """A call that fails when the event is set."""
    begun, end = Event(), Event()

    async def late() -> None:
        try:
            async with breakers.guarding("openai"):
                begun.set()
                await end.wait()
                raise failure(OutcomeUnknown, status=None)
        except ProviderError as error:
            ends.append(type(error).__name__)

    ends: list[str] = []
    async with create_task_group() as tasks:
        tasks.start_soon(late)
        await begun.wait()
        yield end
    assert ends == ["ProviderDown"]


async def test_a_late_failure_of_a_past_outage_is_ignored(ours, person):
    """It times out after the outage ended: it must neither open the breaker again nor use an attempt."""
    async with under_way(ours) as end:
        await opened(ours)
        await person.due()
        await ours.sync()
        await ours.take_probe()
        assert await call(ours) == "done"
        end.set()

    row = await person.row()
    assert (row["state"], row["strikes"]) == ("closed", 0)


async def test_a_closed_breaker_is_noticed_at_the_next_sync(ours, theirs, person):
    await opened(ours)
    await theirs.sync()
    await person.run("update provider_health set state = 'closed' where provider = 'openai'")

    assert await theirs.sync() is True
    assert theirs.open_breakers == []
    assert await call(theirs) == "done"


async def test_a_breaker_opened_by_hand_stays_open(ours, person):
    await person.run("update provider_health set state = 'open', reason = 'works until six' where provider = 'openai'")

    assert await ours.sync() is False
    assert await ours.take_probe() is None
    with pytest.raises(ProviderDown, match="works until six") as down:
        ours.require_closed("openai")
    assert PARK_S <= down.value.retry_after_s <= PARK_S + room.JITTER_S


async def test_a_job_waits_in_line_for_the_end_of_a_long_pause(ours, person):
    """It waits in line and is not claimed: when a person closes the breaker, all jobs continue at once."""
    await call(ours, failure(Misconfigured))
    await person.run("update provider_health set retry_at = clock_timestamp() + interval '60 s' where state = 'open'")
    await ours.sync()

    with pytest.raises(ProviderDown) as down:
        ours.require_closed("openai")
    assert down.value.retry_after_s <= PARK_S + room.JITTER_S


async def test_reports_about_all_providers_do_not_deadlock(database, person):
    """Each statement locks several rows, whatever order it names them in."""
    await person.run("update provider_health set struck = array_fill(null::text, array[4000])")

    async def tell(providers: list[str]) -> None:
        for _ in range(60):
            await database.execute(
                "quota/breaker_succeeded",
                providers=providers,
                successes=[1, 1, 1],
                sites=[None] * 3,
                probes=[],
                probe_s=1.0,
            )

    async with create_task_group() as tasks:
        for providers in (["openai", "replicate", "wix"], ["wix", "replicate", "openai"]) * 3:
            tasks.start_soon(tell, providers)

    assert (await person.row())["strikes"] == 4000 - 6 * 60


async def test_an_account_without_credit_stops_the_keys_of_that_account_only(database, person):
    """Half of the fleet may use another account."""
    acme, globex = (Breakers(database, {"openai": f"openai@{name}"}) for name in ("acme", "globex"))
    for breakers in (acme, globex):
        await breakers.start()

    await calls(acme, 1, Misconfigured("no credit", provider="openai", status=429, code="insufficient_quota"))
    for breakers in (acme, globex):
        await breakers.sync()

    assert (acme.open_breakers, globex.open_breakers) == (["openai"], [])
    with pytest.raises(ProviderDown, match="the circuit breaker of openai@acme is open"):
        acme.require_closed("openai")
    globex.require_closed("openai")
