"""Helpers of the tests that settle attempts."""

from blogworker.queue.job import Failure

FAILURE = Failure(
    stage="content",
    kind="Unavailable",
    message="the vendor is down",
    provider="openai",
    status=503,
    code="overloaded",
    request_id="req_1",
)


async def one_claim(psql, claimer):
    await psql.insert("shop", 1)
    return (await claimer()).claims[0]


async def errors(psql):
    return await psql.run("select * from generation_errors order by id")


async def delay_s(psql) -> float:
    return float(await psql.value("select extract(epoch from run_at - now()) from blog_generations"))
