"""A bucket's client, and the way to the database that it uses."""

from operator import mul

import psycopg
from anyio import Event, current_time, fail_after, sleep

from blogworker.db.pool import Runner
from blogworker.quota import Bucket
from blogworker.quota.round import Request

BUCKET = Bucket("openai/mini", "openai", requests_per_minute=600, tokens_per_minute=6000)  # 10 and 100 a second


class Wire(Runner):
    """The connection to the database: counts statements, and can be delayed or cut."""

    def __init__(self, database: Runner) -> None:
        self._database = database
        self.rounds: list[float] = []  # when each was sent
        self.given_back_s = 0.0
        self.failures = 0  # of the next statements
        self.lost = 0  # answers of the next ones, which the database has done
        self.open = Event()
        self.open.set()

    async def rows(self, name, /, **parameters):
        self.rounds.append(current_time())
        if self.failures:
            self.failures -= 1
            raise psycopg.OperationalError("the link is down")
        rows = await self._database.rows(name, **parameters)
        if self.lost:
            self.lost -= 1
            raise psycopg.OperationalError("the answer is lost")
        await self.open.wait()  # the database has done it, and its answer is on the way
        self.given_back_s += parameters["refund_tokens_s"] + sum(
            map(mul, parameters["unused_tokens"], parameters["unused_token_s"])
        )
        return rows


async def reserve(client, tokens, into, turn=0.0):
    ask = Request(tokens, turn)
    await client.reserve(ask)
    into.append(ask)


async def until(condition) -> None:
    with fail_after(5):
        while not condition():
            await sleep(0.005)


async def ahead_s(database) -> float:
    (row,) = await database.rows("ops/quotas", name=None, every=True)
    return row["tokens_ahead_s"]


async def in_line(database) -> int:
    async with database.connection() as connection:
        cursor = await connection.execute("select count(*)::integer as calls from quota_waits")
        return (await cursor.fetchone())["calls"]


async def bucket_row(database):
    async with database.connection() as connection:
        cursor = await connection.execute("select tokens_clock, slot_tokens from quotas")
        return await cursor.fetchone()
