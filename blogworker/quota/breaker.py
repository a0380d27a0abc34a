"""The circuit breakers of the providers. All workers share them: one row of `provider_health` per provider account.

    closed --failures--> open --after a delay--> half_open --the probe succeeds--> closed
                          ^------------------------ the probe fails

The state machine is in SQL (`sql/schema/breakers.sql`). This module is one process's part:

- It keeps a snapshot of each breaker that is at most a second old.
- It reports a failure at once; failures during a report go together in the next statement. It reports successes at most
  once per second.
- It decides whether a failure belongs to an outage. The first failures of an outage look like any other failure, but
  must not cost their jobs an attempt. So a failed call waits for a moment: if the breaker opens, the failure belongs to
  the outage.

A call that started before the breaker last opened belongs to that outage: it is not counted, and costs no attempt.

While a breaker is open, only a *probe* may call the provider: one job of the fleet, until a call has shown whether the
provider works.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from random import uniform
from uuid import UUID, uuid4

from anyio import CancelScope, Event, current_time, move_on_after

from blogworker.db.pool import Row, Runner
from blogworker.db.storable import storable_message
from blogworker.errors import Misconfigured, ProviderDown, ProviderError, Unavailable
from blogworker.quota.breaker_snapshot import BreakerSnapshot
from blogworker.quota.call import Call, Probe, Tally, is_answer
from blogworker.telemetry import get_logger

PROVIDERS = ("openai", "replicate", "wix")
REASON_MAX = 2_000  # characters of a provider's message
VERDICT_S = 2.0  # how long a failed call waits to learn whether an outage begins; the job keeps its slot
PROBE_S = 10.0  # a probe whose worker is silent for this long counts as dead
KEPT_S = PROBE_S / 2  # how long a call keeps its probe for the next one; in the database it may be older than the call
FRESH_S = 0.25  # how old the snapshot of an open breaker may be before a claim
JITTER_S = 1.0  # spreads the jobs that wait for the provider
STEP_BACK_S = 2.0  # the job of a failed probe waits at least this much longer than the breaker
END_PROBE_S = 2.0
REPORT_S = 10.0  # the time between two reports of successes when there are no failures to reset

log = get_logger()


class Breakers:
    """The breakers as one process sees them."""

    def __init__(self, database: Runner, credentials: Mapping[str, str] | None = None) -> None:
        """`credentials`: the row's name for each provider whose row is not simply named after it (provider@account)."""
        self._database = database
        self._rows = {provider: (credentials or {}).get(provider, provider) for provider in PROVIDERS}
        self._snapshots = {provider: BreakerSnapshot() for provider in PROVIDERS}
        self._tallies = {provider: Tally() for provider in PROVIDERS}
        self._unsent: dict[str, Probe] = {}
        self._probing: set[UUID] = set()
        self._refreshed_at = -1e9
        self._refreshed = Event()  # set by each refresh, then replaced by a new event

    @property
    def open_breakers(self) -> list[str]:
        """Return the providers whose breaker is open."""
        return [provider for provider, snapshot in self._snapshots.items() if not snapshot.closed]

    def needs_main_call(self, provider: str) -> bool:
        """Return whether a main call is the better probe: the breaker is open because of our settings or inputs, or a
        main call was refused."""
        return self._snapshots[provider].misconfigured or self._snapshots[provider].refused_main

    async def start(self) -> None:
        """Create the missing rows and read all breakers."""
        await self._database.execute("quota/ensure_breakers", providers=list(self._rows.values()))
        await self._read()

    async def sync(self) -> bool:
        """Report successes and read all breakers. Return whether more jobs may be claimable than before."""
        before = self.open_breakers
        reported = self._take_successes()
        if reported or self._probing:
            await self._database.execute(
                "quota/breaker_succeeded",
                providers=[self._rows[provider] for provider in reported],
                successes=list(reported.values()),
                sites=[self._tallies[provider].succeeded for provider in reported],
                probes=list(self._probing),
                probe_s=PROBE_S,
            )
        await self._read()
        return bool(set(before) - set(self.open_breakers)) or any(
            self._snapshots[provider].probe_due for provider in self.open_breakers
        )

    def _take_successes(self) -> dict[str, int]:
        """Return the successes to report now, by provider.

        Successes reset the count of failures. Without failures they only show, now and then, that the provider works.
        """
        reported: dict[str, int] = {}
        for provider, tally in self._tallies.items():
            is_due = current_time() - tally.succeeded_at >= REPORT_S
            if tally.successes and (self._snapshots[provider].strikes or is_due):
                reported[provider], tally.succeeded_at = tally.successes, current_time()
            tally.successes = 0
        return reported

    async def refresh(self) -> None:
        """Read the breakers again if one is open and the snapshot is not fresh."""
        if self.open_breakers and current_time() - self._refreshed_at > FRESH_S:
            await self._read()

    async def take_probe(self, wanted: Collection[str] = PROVIDERS) -> Probe | None:
        """Take the probe of one of the wanted providers if one is due. This process's next call to it is the probe."""
        for provider in self.open_breakers:
            if provider in wanted and self._snapshots[provider].probe_due:
                probe = Probe(uuid4(), provider, current_time() + PROBE_S)
                taken = await self._database.maybe(
                    "quota/breaker_probe", provider=self._rows[provider], probe=probe.id, probe_s=PROBE_S
                )
                await self._read()
                if taken is not None:
                    self._unsent[provider] = probe
                    return probe
        return None

    async def return_probe(self, probe: Probe) -> None:
        """Return an unused probe, so that another worker can take it at once. Does nothing if the call was made."""
        if (unsent := self._unsent.get(probe.provider)) is not None and unsent.id == probe.id:
            del self._unsent[probe.provider]  # first: a call during the statement below would be a second probe
            await self._end_probe(probe.provider, probe.id, "unused")

    def require_closed(self, provider: str) -> None:
        """Raise ProviderDown if the breaker is open and this process has no probe."""
        snapshot, probe = self._snapshots[provider], self._unsent.get(provider)
        if not snapshot.closed and (probe is None or current_time() >= probe.good_until):
            raise self._down(provider)

    @asynccontextmanager
    async def guarding(
        self,
        provider: str,
        *,
        exempt: Iterable[type[ProviderError]] = (),
        site: str | None = None,
        secondary: bool = False,
    ) -> AsyncIterator[None]:
        """Guard one call to the provider, made in the block.

        Raises ProviderDown if the breaker is open, or if the failure of the call belongs to an outage. `exempt`: errors
        that do not count as failures of the provider. `site`: the site of the call, where a single site can fail.
        `secondary`: the call does not carry the input of the provider's main call, so the provider may accept it and
        still refuse the main call.
        """
        self.require_closed(provider)
        probe = self._unsent.pop(provider, None)
        call = Call(provider, site, self._snapshots[provider].epoch, probe, secondary)
        self._probing |= {probe.id} if probe else set()
        try:
            yield
        except ProviderError as error:
            await self._handle_failure(call, error, tuple(exempt))
            raise
        except BaseException:
            await self._end_probe_of(call, "unused")
            raise
        else:
            tally = self._tallies[provider]
            tally.successes, tally.succeeded = tally.successes + 1, site
            await self._answered(call)
        finally:
            self._probing -= {probe.id} if probe else set()

    async def _handle_failure(self, call: Call, error: ProviderError, exempt: tuple[type[ProviderError], ...]) -> None:
        """Count the failure. Return if the error is the call's own; raise ProviderDown if it belongs to an outage."""
        if isinstance(error, exempt):
            self._keep_probe(call)  # another call follows, with another model or for another prediction
        elif is_answer(error, call.provider):
            await self._answered(call)
        elif not isinstance(error, Unavailable | Misconfigured):
            await self._end_probe_of(call, "unused")
        elif call.probe is not None:
            await self._end_probe_of(call, "down", error)
            raise self._down(call.provider, later_s=STEP_BACK_S + self._snapshots[call.provider].rest_s()) from error
        elif await self._is_outage(call, error):
            raise self._down(call.provider) from error

    async def _answered(self, call: Call) -> None:
        """Note that the provider answered. If the call was a probe, close the breaker, or keep the probe if the answer
        proves nothing about main calls."""
        if call.secondary and self._snapshots[call.provider].refused_main:
            self._keep_probe(call)  # jobs that begin with such a call would use up every probe
        else:
            await self._end_probe_of(call, "alive")

    def _keep_probe(self, call: Call) -> None:
        """Let the next call of this attempt be the probe."""
        if call.probe is not None:
            self._unsent[call.provider] = replace(call.probe, good_until=current_time() + KEPT_S, is_kept=True)

    async def release_probe(self, provider: str) -> None:
        """Return a probe that was kept for a call that does not follow."""
        if (unsent := self._unsent.get(provider)) is not None and unsent.is_kept:
            await self.return_probe(unsent)

    async def _is_outage(self, call: Call, error: ProviderError) -> bool:
        """Return whether the failure belongs to an outage. Wait up to VERDICT_S for the breaker to open."""
        if not self._opened_since(call):
            await self._report_failure(call, error)
            with move_on_after(VERDICT_S):
                while not self._opened_since(call):
                    await self._refreshed.wait()
            if not self._opened_since(call):
                await self._read()
        return self._opened_since(call)

    def _opened_since(self, call: Call) -> bool:
        """Return whether the breaker is open or has opened since the call started."""
        snapshot = self._snapshots[call.provider]
        return not snapshot.closed or snapshot.epoch != call.epoch

    def _down(self, provider: str, *, later_s: float = 0.0) -> ProviderDown:
        snapshot = self._snapshots[provider]
        reason = f": {snapshot.reason}" if snapshot.reason else ""
        return ProviderDown(
            f"the circuit breaker of {self._rows[provider]} is open{reason}", provider=provider, code="breaker"
        ).after(snapshot.wait_s() + later_s + uniform(0, JITTER_S))

    async def _report_failure(self, call: Call, error: ProviderError) -> None:
        """Report a failure. Failures during a report go together in the next one."""
        tally = self._tallies[call.provider]
        refused = isinstance(error, Misconfigured)
        if refused or not tally.refused:
            tally.reason = storable_message(str(error), REASON_MAX)
        tally.failed.append(call.site)
        tally.refused |= refused
        tally.main |= refused and not call.secondary
        async with tally.report_lock:
            if not tally.failed:
                return
            report = {name: getattr(tally, name) for name in ("successes", "succeeded", "failed", "refused", "main")}
            report["reason"] = reason = tally.reason
            tally.successes, tally.failed, tally.refused, tally.main = 0, [], False, False
            name = self._rows[call.provider]
            row = await self._database.one("quota/breaker_report", provider=name, report=uuid4(), **report)
            await self._read()
            if row["opened"]:
                retry_s = self._snapshots[call.provider].retry_s or 0.0
                log.error("breaker_opened", provider=name, reason=reason, retry_in_s=round(retry_s, 1))

    async def _end_probe_of(self, call: Call, verdict: str, error: ProviderError | None = None) -> None:
        if call.probe is not None:
            await self._end_probe(call.provider, call.probe.id, verdict, error, main=not call.secondary)

    async def _end_probe(
        self, provider: str, probe: UUID, verdict: str, error: ProviderError | None = None, *, main: bool = False
    ) -> None:
        # Shielded: otherwise the fleet waits PROBE_S before another worker may probe.
        with CancelScope(shield=True), move_on_after(END_PROBE_S):
            row = await self._database.one(
                "quota/breaker_end_probe",
                probe=probe,
                verdict=verdict,
                refused=isinstance(error, Misconfigured),
                main=main and isinstance(error, Misconfigured),
                reason=storable_message(str(error), REASON_MAX) if error else None,
            )
            await self._read()
            if row["open_s"] is not None:
                log.info("breaker_closed", provider=self._rows[provider], open_s=round(row["open_s"], 1), by="probe")
            elif verdict == "down":
                log.info("breaker_probe_failed", provider=self._rows[provider], reason=str(error))

    async def _read(self) -> None:
        rows = {row["provider"]: row for row in await self._database.rows("quota/breaker_states")}
        self._refreshed_at = current_time()
        for provider, name in self._rows.items():
            if (row := rows.get(name)) is not None:
                self._snapshots[provider] = snapshot = self._snapshot(row)
                if snapshot.closed:
                    self._unsent.pop(provider, None)  # the probe belongs to the outage that is over
        self._refreshed.set()
        self._refreshed = Event()
        if any(row["by_hand"] for name, row in rows.items() if name in self._rows.values()):
            await self._log_manual_changes()

    async def _log_manual_changes(self) -> None:
        """Log the breakers that a person opened or closed, unless another worker has logged them."""
        for row in await self._database.rows("quota/breaker_manual_changes", providers=list(self._rows.values())):
            if row["by_hand"] == "opened":
                log.error("breaker_opened", provider=row["provider"], reason=row["reason"])
            else:
                log.info("breaker_closed", provider=row["provider"], open_s=round(row["open_s"], 1), by="hand")

    def _snapshot(self, row: Row) -> BreakerSnapshot:
        probe_at = None if row["retry_s"] is None else self._refreshed_at + row["retry_s"]
        names = ("state", "epoch", "strikes", "openings", "reason", "misconfigured", "refused_main")
        return BreakerSnapshot(probe_at=probe_at, **{name: row[name] for name in names})
