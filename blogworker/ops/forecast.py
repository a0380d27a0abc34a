"""Forecast: what jobs will cost and how long they take, before they are enqueued or retried. It writes nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from blogworker.db.pool import Database, Row
from blogworker.errors import DatabaseNotReady, QueueFull
from blogworker.ops.records import Outlook
from blogworker.queue.survey import Survey, room, survey
from blogworker.queue.validation import NewJob
from blogworker.spend.estimate import DAYS, LATEST, Estimate, Prices, estimate
from blogworker.stages.catalog import paid_calls


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an enqueue would do. `outlook` is None without a database."""

    survey: Survey
    estimate: Estimate
    outlook: Outlook | None = None
    refusal: QueueFull | None = None
    room_unknown: str | None = None  # why it is unknown whether the queue has room

    @property
    def minutes_behind_waiting(self) -> float | None:
        """Minutes of quota for the waiting jobs and these, if the waiting ones are like these."""
        if self.outlook is None or not self.survey.new:
            return None
        return self.estimate.minutes * (1 + self.outlook.waiting / self.survey.new)

    @property
    def minutes_at_pace(self) -> float | None:
        """Minutes for the same jobs at the rate of the last ten minutes."""
        if self.outlook is None or not self.outlook.a_minute:
            return None
        return float((self.outlook.waiting + self.survey.new) / self.outlook.a_minute)


async def forecast(
    database: Database, jobs: Iterable[NewJob], *, counts: Counter[str], limit: int | None, prices: Prices
) -> Forecast:
    """Return the forecast with the database. `counts`: jobs per site, if known before; `limit`: of the queue."""
    async with database.transaction() as statements:
        await statements.execute("db/read_only")
        surveyed = await survey(statements, jobs)
        usage = await statements.rows("spend/usage", days=DAYS, most=LATEST)
        quotas = await statements.rows("ops/quotas", name=None, every=False)
        outlook = Outlook(**await statements.one("queue/outlook"))
    refusal, unknown = None, None
    try:
        refusal = await room(database, counts or surveyed.sites, queue_size_limit=limit)
    except DatabaseNotReady as error:
        unknown = str(error)
    found = _estimate(_needs(surveyed.kinds, prices), usage, quotas, prices)
    return Forecast(surveyed, found, outlook, refusal, unknown)


async def forecast_without_database(jobs: Iterable[NewJob], *, prices: Prices) -> Forecast:
    """Return the forecast from the settings alone, without jobs enqueued before, averages and the queue."""
    surveyed = await survey(None, jobs)
    return Forecast(surveyed, _estimate(_needs(surveyed.kinds, prices), [], [], prices))


async def forecast_cost(
    database: Database, needs: Mapping[tuple[str, str], int], prices: Prices
) -> tuple[float | None, float | None]:
    """Return the likely and the highest cost in USD of jobs by source type and paid stage; None if a model has no
    price."""
    usage = await database.rows("spend/usage", days=DAYS, most=LATEST)
    found = _estimate(needs, usage, [], prices)
    return found.usd, found.usd_at_most


def _needs(kinds: Mapping[str, int], prices: Prices) -> dict[tuple[str, str], int]:
    stages = paid_calls(prices.openai, prices.replicate)
    return {(kind, str(stage)): jobs for kind, jobs in kinds.items() for stage in stages}


def _estimate(
    needs: Mapping[tuple[str, str], int], usage: Sequence[Row], quotas: Sequence[Row], prices: Prices
) -> Estimate:
    calls = tuple(paid_calls(prices.openai, prices.replicate).values())
    return estimate(needs, calls, usage, quotas, prices)
