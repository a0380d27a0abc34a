"""The probe of an open breaker: one in the fleet, returned when it is not sent."""

from collections import Counter
from itertools import product

import pytest
from anyio import CancelScope, Event, create_task_group, sleep
from structlog.testing import capture_logs

from blogworker.errors import (
    Misconfigured,
    ProviderDown,
    RateLimited,
    Rejected,
    SiteUnavailable,
    Unavailable,
)
from blogworker.quota import breaker as room
from blogworker.quota.breaker import Breakers

from .breaker_calls import WITHIN_S, call, failure, opened, probing

pytestmark = pytest.mark.anyio


class Aborted(Unavailable):
    """A failure that a call is exempt from."""


async def test_a_probe_that_closes_the_breaker_is_not_taken_for_a_person(ours, theirs, person):
    await probing(ours, person)

    with capture_logs() as lines:
        assert await call(ours) == "done"
        await theirs.sync()
        await ours.sync()

    assert [(line["event"], line["by"]) for line in lines] == [("breaker_closed", "probe")]


async def test_an_unsent_probe_is_void_once_the_breaker_is_closed(ours, person):
    """Otherwise the next outage would have two probes."""
    await probing(ours, person)
    await person.run("update provider_health set state = 'closed' where state <> 'closed'")
    await ours.sync()
    await opened(ours)

    assert await call(ours) == "kept back"


async def test_one_worker_of_the_fleet_sends_one_probe(database, person):
    """The whole fleet must not call a provider that is overloaded."""
    fleet = [Breakers(database) for _ in range(6)]
    await opened(fleet[0])
    await person.due()
    for breakers in fleet:
        await breakers.sync()
    gate = Event()
    through = 0

    async def slot(breakers: Breakers) -> None:
        nonlocal through
        try:
            async with breakers.guarding("openai"):
                through += 1
                await gate.wait()
        except ProviderDown:
            pass

    taken: list[str | None] = []

    async def take(breakers: Breakers) -> None:
        probe = await breakers.take_probe()
        taken.append(probe and probe.provider)

    async with create_task_group() as tasks:
        for breakers in fleet:
            tasks.start_soon(take, breakers)
    with capture_logs() as logs:
        async with create_task_group() as tasks:
            for breakers in fleet:
                for _ in range(5):
                    tasks.start_soon(slot, breakers)
            while through == 0:
                await sleep(0.01)
            gate.set()

    assert Counter(taken) == {"openai": 1, None: 5}
    assert through == 1
    assert [line["event"] for line in logs] == ["breaker_closed"]
    assert (await person.row())["state"] == "closed"


async def test_a_failed_probe_uses_no_attempt_and_is_logged(ours, person):
    await probing(ours, person)

    with capture_logs() as logs:
        assert await call(ours, failure()) == "down"

    assert [line["event"] for line in logs] == ["breaker_probe_failed"]
    assert (await person.row())["state"] == "open"


async def test_a_refused_probe_closes_the_breaker(ours, person):
    await probing(ours, person)

    assert await call(ours, failure(Rejected, status=400)) == "Rejected"
    assert (await person.row())["state"] == "closed"


@pytest.mark.parametrize("provider", ["checkpoints", "post", "wix"])
@pytest.mark.parametrize("kind", [Rejected, SiteUnavailable])
async def test_an_error_that_is_not_the_providers_answer_proves_nothing(ours, person, provider, kind):
    """Raised before a call was made, it would close the breaker of a provider that is still down."""
    await probing(ours, person)

    assert await call(ours, failure(kind, status=None, provider=provider)) == kind.__name__
    row = await person.row()
    assert (row["state"], row["probe_until"]) == ("open", None)


async def test_our_own_quota_does_not_affect_the_breaker(ours, person):
    await probing(ours, person)

    assert await call(ours, failure(RateLimited, status=None, code="quota")) == "RateLimited"
    assert (await person.row())["state"] == "open"


async def test_a_cancelled_probe_is_returned(ours, person):
    """Otherwise the fleet would wait until the probe expires."""
    await probing(ours, person)

    with CancelScope() as scope:
        async with ours.guarding("openai"):
            scope.cancel()
            await sleep(WITHIN_S)

    row = await person.row()
    assert (row["state"], row["openings"]) == ("open", 1)
    assert ours._snapshots["openai"].state == "open", "it lived to hear the answer"


async def test_a_returned_probe_can_be_taken_by_anyone_and_returned_only_once(ours, theirs, person):
    """A job that ends late must not end the probe of the job that came after it."""
    await probing(ours, person)
    first = ours._unsent["openai"]

    await ours.return_probe(first)
    await person.due()
    await theirs.sync()
    second = await theirs.take_probe()
    await ours.return_probe(first)

    assert await call(ours) == "kept back"
    assert second is not None
    assert (await person.row())["probe"] == second.id
    await theirs.return_probe(first)
    assert await call(theirs) == "done"


async def test_an_expired_probe_is_not_sent(ours, person, monkeypatch):
    """Another worker may have taken its place."""
    monkeypatch.setattr(room, "PROBE_S", 0.0)
    await probing(ours, person)

    assert await call(ours) == "kept back"


async def test_a_long_probe_is_extended(ours, person):
    """A post takes half a minute; a probe expires after ten seconds unless it is extended."""
    await probing(ours, person)
    async with ours.guarding("openai"):
        await person.run("update provider_health set probe_until = clock_timestamp() where provider = 'openai'")
        await ours.sync()
        left = await person.run(
            "select probe_until > clock_timestamp() + interval '5 s' as good "
            "from provider_health where provider = 'openai'"
        )

    assert left == [{"good": True}]


async def test_a_secondary_call_does_not_close_a_breaker_opened_by_a_main_one(ours, theirs, person):
    """A schema is refused for posts only: each probe with ideas let the whole fleet buy ideas, and be refused."""
    probe = await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=400)))
    secondary = await call(ours, secondary=True)
    await theirs.sync()

    assert (secondary, theirs.open_breakers) == ("done", ["openai"])
    assert await call(theirs, secondary=True) == "kept back"
    assert (await person.row())["probe"] == probe.id  # for the post that these ideas are for
    assert await call(ours) == "done"
    assert [(await person.row())[name] for name in ("state", "refused_main")] == ["closed", False]


ANSWERS = {"taken": None, "exempt": failure(Aborted), "refused for itself": failure(Rejected, status=400)}


@pytest.mark.parametrize("answers", [*product(ANSWERS), *product(ANSWERS, repeat=2)], ids=", then ".join)
async def test_the_main_call_is_the_probe_whatever_its_secondary_calls_gave(ours, person, answers):
    """Jobs whose earlier picture had failed looked at it, lost the probe, and never requested another: the fleet made
    no picture until a person closed the breaker."""
    await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=401)))
    for answer in answers:
        await call(ours, ANSWERS[answer], exempt=[Aborted], secondary=True)

    assert await call(ours) == "done"
    assert (await person.row())["state"] == "closed"


async def test_a_model_that_is_replaced_after_an_error_closes_no_breaker(ours, person):
    """The breaker closed at each unknown model, and opened again at the call to its replacement, with a short pause."""
    await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=401)))
    await call(ours, failure(Aborted, status=404), exempt=[Aborted])
    assert (await person.row())["state"] == "half_open"
    await call(ours, failure(Misconfigured, status=401))

    row = await person.row()
    assert (row["state"], row["openings"], row["epoch"]) == ("open", 2, 1)


async def test_a_kept_probe_that_is_not_needed_is_returned(ours, theirs, person):
    """A job that only downloads its picture goes on for seconds at another provider."""
    await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=401)))
    await ours.release_probe("openai")
    assert (await person.row())["state"] == "half_open"  # it is not sent yet, so it is not ours to return
    await call(ours, secondary=True)
    await ours.release_probe("openai")

    assert (await person.row())["state"] == "open"
    await person.due()
    await theirs.sync()
    assert await theirs.take_probe() is not None


@pytest.mark.parametrize("error", [None, failure(Rejected, status=400)], ids=["taken", "refused for itself"])
async def test_a_secondary_call_without_a_main_one_returns_the_probe(ours, theirs, person, error):
    probe = await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=400)))
    await call(ours, error, secondary=True)
    await ours.return_probe(probe)

    row = await person.row()
    assert (row["state"], row["probe"], row["openings"]) == ("open", None, 1)
    await person.due()
    await theirs.sync()
    assert await theirs.take_probe() is not None
    assert await call(theirs) == "done"


async def test_a_secondary_call_closes_a_breaker_opened_by_a_secondary_one(ours, person):
    """A new key is found at once, not after the half minute that a post takes."""
    await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=401), secondary=True))

    assert await call(ours, secondary=True) == "done"
    assert (await person.row())["state"] == "closed"


async def test_a_main_call_refused_as_a_probe_is_remembered(ours, person):
    await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=401), secondary=True))
    await call(ours, failure(Misconfigured, status=400))

    assert (await person.row())["refused_main"] is True
