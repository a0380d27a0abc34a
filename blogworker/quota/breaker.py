"""The circuit breakers of the providers, shared by the fleet: one row of `provider_health` each, and one for each
account where the fleet's keys belong to several.

    closed --failures--> open --its time has come--> half_open --the probe's success--> closed
                          ^-------------------------- its failure

The state machine is in `sql/schema/breakers.sql`. Here is one process's part in it: its view, at most a second
old; what it tells (a failure at once, several that come together in one statement; successes once a second); and the
verdict on a failure. That is held back for a moment, because the first failures of an outage look like any other, and
must cost their jobs no attempt: once the breaker is open, they were not the jobs' own.

A call that began before the breaker last opened belongs to that outage: it is not counted, and costs no attempt.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from random import uniform
from uuid import UUID, uuid4

from anyio import CancelScope, Event, current_time, move_on_after

from blogworker.db.pool import Row, Runner
from blogworker.db.storable import explained
from blogworker.errors import (
    Misconfigured,
    ProviderDown,
    ProviderError,
    RateLimited,
    Rejected,
    SiteUnavailable,
    Unavailable,
)
from blogworker.quota.breaker_snapshot import View
from blogworker.quota.call import Call, Probe, Tally
from blogworker.quota.limiter import OWN_QUOTA
from blogworker.telemetry import get_logger

PROVIDERS = ("openai", "replicate", "wix")
REASON_MAX = 2_000  # characters of what a provider said
HOLD_S = 2.0  # how long a failure waits to be told from the beginning of an outage; its slot is kept
PROBE_S = 10.0  # of silence after which a probe's worker is taken for dead
FRESH_S = 0.25  # how old a view of an open breaker may be when jobs are about to be claimed by it
JITTER_S = 1.0  # jobs that wait for the provider do not come back all at once
STEP_BACK_S = 2.0  # a probe's job waits longer than others, so that a job at fault itself is not the next probe too
GIVE_BACK_S = 2.0
TELL_S = 10.0  # between two statements of successes where there are no failures to take back
LATE = (408, 425)  # the statuses below 500 that a vendor in trouble gives

log = get_logger()


class Breakers:
    """One a process; the state is in the database."""

    def __init__(self, database: Runner, credentials: Mapping[str, str] | None = None) -> None:
        """`credentials`: the names of the rows of providers whose rows are not named like them."""
        self._database = database
        self._rows = {provider: (credentials or {}).get(provider, provider) for provider in PROVIDERS}
        self._views = {provider: View() for provider in PROVIDERS}
        self._tallies = {provider: Tally() for provider in PROVIDERS}
        self._unsent: dict[str, Probe] = {}
        self._probing: set[UUID] = set()
        self._looked_at = -1e9
        self._news = Event()  # of a look: set once, then another one takes its place

    @property
    def open_breakers(self) -> list[str]:
        """The providers that are left alone."""
        return [provider for provider, view in self._views.items() if not view.closed]

    def misconfigured(self, provider: str) -> bool:
        """Whether a provider's breaker is open because of our settings or inputs."""
        return self._views[provider].misconfigured

    async def start(self) -> None:
        """Make our rows known to the database, and look."""
        await self._database.execute("quota/ensure_breakers", providers=list(self._rows.values()))
        await self._look()

    async def sync(self) -> bool:
        """Tell what has not been told, and look. Whether there may be more to claim than before."""
        before = self.open_breakers
        told = self._successes()
        if told or self._probing:
            await self._database.execute(
                "quota/breaker_succeeded",
                providers=[self._rows[provider] for provider in told],
                successes=list(told.values()),
                sites=[self._tallies[provider].succeeded for provider in told],
                probes=list(self._probing),
                probe_s=PROBE_S,
            )
        await self._look()
        return bool(set(before) - set(self.open_breakers)) or any(
            self._views[provider].due for provider in self.open_breakers
        )

    def _successes(self) -> dict[str, int]:
        """Those that are news. With no failures to take back they only say, now and then, that the provider works."""
        told: dict[str, int] = {}
        for provider, tally in self._tallies.items():
            if tally.successes and (self._views[provider].strikes or current_time() - tally.succeeded_at >= TELL_S):
                told[provider], tally.succeeded_at = tally.successes, current_time()
            tally.successes = 0
        return told

    async def refresh(self) -> None:
        """Look again, if something is shut and was not looked at just now."""
        if self.open_breakers and current_time() - self._looked_at > FRESH_S:
            await self._look()

    async def take_probe(self, wanted: Collection[str] = PROVIDERS) -> Probe | None:
        """Leave to call one of the wanted providers, if it is time for that; the next call of this process has it."""
        for provider in self.open_breakers:
            if provider in wanted and self._views[provider].due:
                probe = Probe(uuid4(), provider, current_time() + PROBE_S)
                taken = await self._database.maybe(
                    "quota/breaker_probe", provider=self._rows[provider], probe=probe.id, probe_s=PROBE_S
                )
                await self._look()
                if taken is not None:
                    self._unsent[provider] = probe
                    return probe
        return None

    async def give_back(self, probe: Probe) -> None:
        """Let somebody else make the call, if it was not made; the fleet need not wait until this probe is dead."""
        if (unsent := self._unsent.get(probe.provider)) is not None and unsent.id == probe.id:
            del self._unsent[probe.provider]  # first: a call made while it is given back would be a second one
            await self._end_probe(probe.provider, probe.id, "unused")

    def require(self, provider: str) -> None:
        """Raise ProviderDown when the provider is left alone, and no probe of ours may be sent."""
        view, probe = self._views[provider], self._unsent.get(provider)
        if not view.closed and (probe is None or current_time() >= probe.good_until):
            raise self._down(provider)

    @asynccontextmanager
    async def guarding(
        self,
        provider: str,
        *,
        own: Iterable[type[ProviderError]] = (),
        site: str | None = None,
        lesser: bool = False,
    ) -> AsyncIterator[None]:
        """A call to the provider. Raises ProviderDown when it is left alone, or when the failure of the call turns out
        to be the provider's. `own`: errors that say nothing of the provider. `site`: whose call it is, where one site
        may fail by itself. `lesser`: it does not carry what the provider's main call carries, which may be refused
        where this one is taken."""
        self.require(provider)
        probe = self._unsent.pop(provider, None)
        call = Call(provider, site, self._views[provider].epoch, probe, lesser)
        self._probing |= {probe.id} if probe else set()
        try:
            yield
        except ProviderError as error:
            await self._went_wrong(call, error, own=tuple(own))
            raise
        except BaseException:
            await self._say(call, "unused")
            raise
        else:
            tally = self._tallies[provider]
            tally.successes, tally.succeeded = tally.successes + 1, site
            if call.probe is not None and self._is_inconclusive(call):  # the attempt goes on to the call that tells
                self._unsent[provider] = replace(call.probe, good_until=current_time() + PROBE_S)
            else:
                await self._say(call, "alive")
        finally:
            self._probing -= {probe.id} if probe else set()

    async def _went_wrong(self, call: Call, error: ProviderError, *, own: tuple[type[ProviderError], ...]) -> None:
        """Return when the error stands as it is."""
        if isinstance(error, own) or _is_answer(error):
            await self._say(call, "unused" if self._is_inconclusive(call) else "alive")
        elif not isinstance(error, Unavailable | Misconfigured):
            await self._say(call, "unused")
        elif call.probe is not None:
            await self._say(call, "down", error)
            raise self._down(call.provider, later_s=STEP_BACK_S) from error
        elif await self._is_outage(call, error):
            raise self._down(call.provider) from error

    def _is_inconclusive(self, call: Call) -> bool:
        return call.lesser and self._views[call.provider].refused_main

    async def _is_outage(self, call: Call, error: ProviderError) -> bool:
        """Whether the failure is one of many. In doubt that takes a moment to see."""
        if not self._past(call):
            await self._tell(call, error)
            with move_on_after(HOLD_S):
                while not self._past(call):
                    await self._news.wait()
            if not self._past(call):
                await self._look()
        return self._past(call)

    def _past(self, call: Call) -> bool:
        """The breaker has opened since the call began."""
        view = self._views[call.provider]
        return not view.closed or view.epoch != call.epoch

    def _down(self, provider: str, *, later_s: float = 0.0) -> ProviderDown:
        view = self._views[provider]
        reason = f": {view.reason}" if view.reason else ""
        return ProviderDown(
            f"{self._rows[provider]} is left alone for now{reason}", provider=provider, code="breaker"
        ).after(view.wait_s() + later_s + uniform(0, JITTER_S))

    async def _tell(self, call: Call, error: ProviderError) -> None:
        """Tell of a failure. Those that come while a statement is under way go together in the next."""
        tally = self._tallies[call.provider]
        refused = isinstance(error, Misconfigured)
        if refused or not tally.refused:
            tally.why = explained(str(error), REASON_MAX)
        tally.failed.append(call.site)
        tally.refused |= refused
        tally.main |= refused and not call.lesser
        async with tally.telling:
            if not tally.failed:
                return
            told = {name: getattr(tally, name) for name in ("successes", "succeeded", "failed", "refused", "main")}
            told["reason"] = why = tally.why
            tally.successes, tally.failed, tally.refused, tally.main = 0, [], False, False
            name = self._rows[call.provider]
            row = await self._database.one("quota/breaker_report", provider=name, report=uuid4(), **told)
            await self._look()
            if row["opened"]:
                retry_s = self._views[call.provider].retry_s or 0.0
                log.error("breaker_opened", provider=name, reason=why, retry_in_s=round(retry_s, 1))

    async def _say(self, call: Call, verdict: str, error: ProviderError | None = None) -> None:
        if call.probe is not None:
            await self._end_probe(call.provider, call.probe.id, verdict, error, main=not call.lesser)

    async def _end_probe(
        self, provider: str, probe: UUID, verdict: str, error: ProviderError | None = None, *, main: bool = False
    ) -> None:
        # Shielded: a probe that is not ended keeps the fleet waiting until it is taken for dead.
        with CancelScope(shield=True), move_on_after(GIVE_BACK_S):
            row = await self._database.one(
                "quota/breaker_end_probe",
                probe=probe,
                verdict=verdict,
                refused=isinstance(error, Misconfigured),
                main=main and isinstance(error, Misconfigured),
                reason=explained(str(error), REASON_MAX) if error else None,
            )
            await self._look()
            if row["open_s"] is not None:
                log.info("breaker_closed", provider=self._rows[provider], open_s=round(row["open_s"], 1), by="probe")
            elif verdict == "down":
                log.info("breaker_probe_failed", provider=self._rows[provider], reason=str(error))

    async def _look(self) -> None:
        rows = {row["provider"]: row for row in await self._database.rows("quota/breaker_look")}
        self._looked_at = current_time()
        for provider, name in self._rows.items():
            if (row := rows.get(name)) is not None:
                self._views[provider] = view = self._view(row)
                if view.closed:
                    self._unsent.pop(provider, None)  # good for the outage that is over, not for the next one
        self._news.set()
        self._news = Event()
        if any(row["by_hand"] for name, row in rows.items() if name in self._rows.values()):
            await self._tell_by_hand()

    async def _tell_by_hand(self) -> None:
        """Log which breakers a person opened or closed, unless another worker has logged it."""
        for row in await self._database.rows("quota/breaker_tell", providers=list(self._rows.values())):
            if row["by_hand"] == "opened":
                log.error("breaker_opened", provider=row["provider"], reason=row["reason"])
            else:
                log.info("breaker_closed", provider=row["provider"], open_s=round(row["open_s"], 1), by="hand")

    def _view(self, row: Row) -> View:
        probe_at = None if row["retry_s"] is None else self._looked_at + row["retry_s"]
        names = ("state", "epoch", "strikes", "reason", "misconfigured", "refused_main")
        return View(probe_at=probe_at, **{name: row[name] for name in names})


def _is_answer(error: ProviderError) -> bool:
    """Whether the provider is there and said no: to this call, this site, or this fast."""
    if isinstance(error, Unavailable):
        return error.status is not None and error.status < 500 and error.status not in LATE
    return isinstance(error, RateLimited | Rejected | SiteUnavailable) and error.code != OWN_QUOTA
