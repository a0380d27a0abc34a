"""The breakers as a process works them: what it tells, when it lets a call through, and whose fault a failure was."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, sleep
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
from blogworker.quota.call import Probe

pytestmark = pytest.mark.anyio

WITHIN_S = 45.0


def failure(
    kind: type[ProviderError] = Unavailable, *, status: int | None = 503, code: str | None = None
) -> ProviderError:
    return kind("as said", provider="openai", status=status, code=code)


async def call(
    breakers: Breakers,
    error: BaseException | None = None,
    *,
    exempt=(),
    site: str | None = None,
    secondary: bool = False,
) -> str:
    """How a call ends that ends so."""
    try:
        async with breakers.guarding("openai", exempt=exempt, site=site, secondary=secondary):
            if error is not None:
                raise error
    except ProviderDown as down:
        return "down" if down.__cause__ else "kept back"
    except ProviderError as met:
        return type(met).__name__
    return "done"


async def calls(
    breakers: Breakers, count: int, error: ProviderError | None = None, *, site: str | None = None
) -> Counter[str]:
    """Many at once, as the slots of a worker make them."""
    ends: Counter[str] = Counter()

    async def one() -> None:
        ends[await call(breakers, error, site=site)] += 1

    async with create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return ends


class Person:
    """At psql."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def run(self, text: str) -> list[dict[str, object]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(text.encode())
            return await cursor.fetchall() if cursor.description else []

    async def due(self) -> None:
        """The next probe's time has come."""
        await self.run("update provider_health set retry_at = clock_timestamp() where state = 'open'")

    async def row(self) -> dict[str, object]:
        return (await self.run("select * from provider_health where provider = 'openai'"))[0]


@pytest.fixture
async def person(database: Database) -> Person:
    person = Person(database)
    await person.run("update provider_health set succeeded_at = clock_timestamp()")
    return person


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict is not held back for long."""
    monkeypatch.setattr(room, "VERDICT_S", 0.05)


@pytest.fixture
async def ours(database: Database) -> Breakers:
    return Breakers(database)


@pytest.fixture
async def theirs(database: Database) -> Breakers:
    return Breakers(database)


async def opened(breakers: Breakers) -> None:
    await calls(breakers, 5, failure())


async def probing(breakers: Breakers, person: Person, *, open_by: Awaitable[object] | None = None) -> Probe:
    """The breaker is open, and this process may send the probe."""
    await (open_by or opened(breakers))
    await person.due()
    await breakers.sync()
    probe = await breakers.take_probe()
    assert probe is not None
    return probe


async def test_the_first_failures_of_an_outage_are_not_their_jobs_fault(ours, person):
    """All of them learn that the provider is down, those before the threshold too: no job pays with an attempt."""
    with fail_after(WITHIN_S):
        assert await calls(ours, 8, failure()) == {"down": 8}


async def test_failures_of_two_workers_add_up(ours, theirs, person):
    """Neither would see an outage by itself."""
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


async def test_a_lone_failure_is_its_jobs_own_after_a_moment(ours, person, brief):
    assert await call(ours, failure()) == "Unavailable"
    assert (await person.row())["state"] == "closed"


async def test_one_broken_site_does_not_shut_the_vendor(ours, theirs, person, brief):
    """It pays with its own attempts; the other sites are served on, by every worker."""
    await calls(theirs, 30, site="well")
    await theirs.sync()

    assert await calls(ours, 8, failure(status=500), site="broken") == {"Unavailable": 8}
    assert ours.open_breakers == []
    assert await calls(theirs, 3, site="well") == {"done": 3}


async def test_many_failures_cost_few_statements(ours, person, monkeypatch):
    """What comes while one is under way goes together in the next."""
    sent: Counter[str] = Counter()
    rows = Database.rows

    async def counted(self: Database, name: str, /, **parameters: object) -> list[dict[str, object]]:
        sent[name] += 1
        return await rows(self, name, **parameters)

    monkeypatch.setattr(Database, "rows", counted)

    await calls(ours, 50, failure())

    assert sent["quota/breaker_report"] <= 10


async def test_successes_are_told_once_for_all(ours, person, monkeypatch):
    """Good times cost one statement a second, not one a call."""
    await person.run(
        "update provider_health set struck = array_fill(null::text, array[4]), succeeded_at = to_timestamp(0)"
    )

    assert await calls(ours, 30) == {"done": 30}
    assert (await person.row())["strikes"] == 4
    await ours.sync()

    row = await person.row()
    assert row["strikes"] == 0
    assert row["succeeded_at"].year > 2000


async def test_in_good_times_successes_are_rarely_told(ours, person, monkeypatch):
    """They change nothing: a worker would else write a row a second for each provider, for ever."""
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


async def test_the_reason_of_an_opening_is_what_a_person_can_act_on(ours, person):
    """Of several failures told together, the one about our key or credit."""
    async with create_task_group() as tasks:
        for kind in (Unavailable, Misconfigured, Unavailable, Unavailable):
            tasks.start_soon(call, ours, kind(f"said {kind.__name__}", provider="openai"))

    assert "Misconfigured" in (await person.row())["reason"]


async def test_what_a_person_does_is_logged_once_in_the_fleet(ours, theirs, person):
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


async def test_a_probe_that_closes_the_breaker_is_not_taken_for_a_person(ours, theirs, person):
    await probing(ours, person)

    with capture_logs() as lines:
        assert await call(ours) == "done"
        await theirs.sync()
        await ours.sync()

    assert [(line["event"], line["by"]) for line in lines] == [("breaker_closed", "probe")]


async def test_a_probe_that_was_not_sent_is_void_once_the_breaker_is_closed(ours, person):
    """It would be a second one in the next outage."""
    await probing(ours, person)
    await person.run("update provider_health set state = 'closed' where state <> 'closed'")
    await ours.sync()
    await opened(ours)

    assert await call(ours) == "kept back"


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
    """The provider is there, and said no."""
    ends = await calls(ours, 8, error)

    assert ends == {type(error).__name__: 8}
    assert (await person.row())["strikes"] == 0


async def test_a_stages_own_failures_are_not_the_providers(ours, person):
    for _ in range(6):
        assert await call(ours, failure(OutcomeUnknown, status=None), exempt=(OutcomeUnknown,)) == "OutcomeUnknown"

    assert (await person.row())["strikes"] == 0


async def test_no_credit_opens_at_once(ours, person):
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


async def test_of_all_workers_one_sends_one_probe(database, person):
    """A vendor on its knees is not to be met by the whole fleet."""
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


async def test_a_probe_that_fails_costs_its_job_nothing_and_says_so(ours, person):
    await probing(ours, person)

    with capture_logs() as logs:
        assert await call(ours, failure()) == "down"

    assert [line["event"] for line in logs] == ["breaker_probe_failed"]
    assert (await person.row())["state"] == "open"


async def test_a_probe_that_is_refused_found_the_provider_there(ours, person):
    await probing(ours, person)

    assert await call(ours, failure(Rejected, status=400)) == "Rejected"
    assert (await person.row())["state"] == "closed"


async def test_our_own_quota_says_nothing_of_the_provider(ours, person):
    await probing(ours, person)

    assert await call(ours, failure(RateLimited, status=None, code="quota")) == "RateLimited"
    assert (await person.row())["state"] == "open"


async def test_a_probe_that_is_cancelled_is_handed_back(ours, person):
    """Else the fleet would wait until it is taken for dead."""
    await probing(ours, person)

    with CancelScope() as scope:
        async with ours.guarding("openai"):
            scope.cancel()
            await sleep(WITHIN_S)

    row = await person.row()
    assert (row["state"], row["openings"]) == ("open", 1)
    assert ours._snapshots["openai"].state == "open", "it lived to hear the answer"


async def test_a_probe_given_back_is_anybodys_and_only_the_one_that_was_taken(ours, theirs, person):
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


async def test_a_probe_kept_for_too_long_is_not_sent(ours, person, monkeypatch):
    """Another worker may have taken its place."""
    monkeypatch.setattr(room, "PROBE_S", 0.0)
    await probing(ours, person)

    assert await call(ours) == "kept back"


async def test_a_long_probe_keeps_its_right(ours, person):
    """A post takes half a minute, a worker is taken for dead after ten seconds."""
    await probing(ours, person)
    async with ours.guarding("openai"):
        await person.run("update provider_health set probe_until = clock_timestamp() where provider = 'openai'")
        await ours.sync()
        left = await person.run(
            "select probe_until > clock_timestamp() + interval '5 s' as good "
            "from provider_health where provider = 'openai'"
        )

    assert left == [{"good": True}]


async def test_a_lesser_call_does_not_close_what_a_main_one_opened(ours, theirs, person):
    """A schema that is refused for posts alone: each probe with ideas let the whole fleet buy ideas, and be refused."""
    probe = await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=400)))
    secondary = await call(ours, secondary=True)
    await theirs.sync()

    assert (secondary, theirs.open_breakers) == ("done", ["openai"])
    assert await call(theirs, secondary=True) == "kept back"
    assert (await person.row())["probe"] == probe.id  # for the post that these ideas are for
    assert await call(ours) == "done"
    assert [(await person.row())[name] for name in ("state", "refused_main")] == ["closed", False]


@pytest.mark.parametrize("error", [None, failure(Rejected, status=400)], ids=["taken", "refused for itself"])
async def test_a_lesser_call_that_no_main_one_follows_leaves_the_probe_to_others(ours, theirs, person, error):
    probe = await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=400)))
    await call(ours, error, secondary=True)
    await ours.return_probe(probe)

    row = await person.row()
    assert (row["state"], row["probe"], row["openings"]) == ("open", None, 1)
    await person.due()
    await theirs.sync()
    assert await theirs.take_probe() is not None
    assert await call(theirs) == "done"


async def test_a_lesser_call_closes_what_a_lesser_one_opened(ours, person):
    """A new key is found at once, not after the half minute that a post takes."""
    await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=401), secondary=True))

    assert await call(ours, secondary=True) == "done"
    assert (await person.row())["state"] == "closed"


async def test_a_main_call_that_is_refused_as_a_probe_is_remembered(ours, person):
    await probing(ours, person, open_by=call(ours, failure(Misconfigured, status=401), secondary=True))
    await call(ours, failure(Misconfigured, status=400))

    assert (await person.row())["refused_main"] is True


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


async def test_a_call_that_outlasts_the_outage_it_fails_of_counts_for_nothing(ours, person):
    """Its time-out comes when the provider is long back: it must neither open the breaker again nor cost an attempt."""
    async with under_way(ours) as end:
        await opened(ours)
        await person.due()
        await ours.sync()
        await ours.take_probe()
        assert await call(ours) == "done"
        end.set()

    row = await person.row()
    assert (row["state"], row["strikes"]) == ("closed", 0)


async def test_a_closed_breaker_is_seen_within_a_look(ours, theirs, person):
    await opened(ours)
    await theirs.sync()
    await person.run("update provider_health set state = 'closed' where provider = 'openai'")

    assert await theirs.sync() is True
    assert theirs.open_breakers == []
    assert await call(theirs) == "done"


async def test_a_provider_shut_by_hand_is_left_alone(ours, person):
    await person.run("update provider_health set state = 'open', reason = 'works until six' where provider = 'openai'")

    assert await ours.sync() is False
    assert await ours.take_probe() is None
    with pytest.raises(ProviderDown, match="works until six") as down:
        ours.require_closed("openai")
    assert PARK_S <= down.value.retry_after_s <= PARK_S + room.JITTER_S


async def test_a_job_is_never_put_off_for_the_whole_of_a_long_pause(ours, person):
    """It waits in line instead, where nobody claims it: closed by a person, all are back at once."""
    await call(ours, failure(Misconfigured))
    await person.run("update provider_health set retry_at = clock_timestamp() + interval '60 s' where state = 'open'")
    await ours.sync()

    with pytest.raises(ProviderDown) as down:
        ours.require_closed("openai")
    assert down.value.retry_after_s <= PARK_S + room.JITTER_S


async def test_workers_tell_of_all_providers_at_once_without_a_deadlock(database, person):
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
    """Half of the fleet may be paid for by somebody else."""
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
