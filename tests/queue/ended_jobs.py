"""Jobs that have ended, and what people do to them."""

from psycopg.types.json import Json

from blogworker.ops.retry import Choice, plan_retry, retry_jobs
from blogworker.queue.job import Failure
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import Prices
from blogworker.spend.ledger import NO_SPEND, columns

PRICES = Prices(OpenAISettings(_env_file=None), ReplicateSettings(_env_file=None))


def failure(kind: str = "Rejected", stage: str = "content") -> Failure:
    return Failure(stage=stage, kind=kind, message="what went wrong")


async def retry(database, **given) -> list[int]:
    """The ids put back, as `blogworker retry` does it."""
    return await retry_jobs(database, await plan_retry(database, Choice(**given), PRICES))


async def prune(database, older_than_s: float = 3600, batch: int = 500) -> int:
    pruned: int = (await database.one("ops/prune", older_than_s=older_than_s, batch=batch))["pruned"]
    return pruned


async def save(database, claim, stage: str, next_stage: str | None = None) -> None:
    rows = await database.rows(
        "stages/save_checkpoint",
        worker_id=await worker_of(database, claim),
        job_id=claim.job_id,
        attempt=claim.attempt,
        stage=stage,
        output=Json({}),
        next_stage=next_stage,
        **columns(NO_SPEND),
        duration_s=0.1,
        made_of=None,
        replaces=[],
    )
    assert rows


async def worker_of(database, claim):
    async with database.connection() as connection:
        cursor = await connection.execute("select worker_id from blog_generations where id = %s", (claim.job_id,))
        return (await cursor.fetchone())["worker_id"]


async def checkpoints(psql, job_id: int = 1) -> set[str]:
    rows = await psql.run("select stage from generation_stages where generation_id = %s", job_id)
    return {row["stage"] for row in rows}


async def age(psql, seconds: float, where: str = "true") -> None:
    """Make what ended have ended so long ago."""
    await psql.run(
        "update blog_generations set finished_at = now() - make_interval(secs => %s) "
        f"where finished_at is not null and ({where})",
        seconds,
    )
