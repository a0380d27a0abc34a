"""A budget, and attempts that spend it."""

from datetime import UTC, datetime
from typing import Any

from anyio import create_task_group

from blogworker.spend import budget

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


async def a_site(
    psql, name: str = "a", *, blogs: int = 1, day: float | None = None, month: float | None = None
) -> None:
    await psql.run(
        "insert into sites (instance_id, budget_day_usd, budget_month_usd) values (%s, %s, %s)", name, day, month
    )
    await psql.insert(name, blogs)
