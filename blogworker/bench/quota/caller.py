"""A worker's calls to the text model, in a process of their own: `python -m blogworker.bench.quota.caller ORDER`.

Says "ready", waits for a line, makes the ideas and the content call of each of its blogs, and prints what it cost.
"""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from time import process_time
from typing import Any

import anyio
from anyio import create_task_group, sleep
from anyio.to_thread import run_sync
from pydantic import SecretStr, TypeAdapter

from blogworker.bench.quota.counted import Counted
from blogworker.bench.quota.order import OURS, Order, Report
from blogworker.bench.quota.seed import WIDTH, SeedLimiter
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.errors import RateLimited, Unavailable
from blogworker.post.prompts import IDEAS, POST, Prompt, fenced
from blogworker.providers.openai import OpenAIClient
from blogworker.quota import Bucket
from blogworker.quota.headers import limits_in
from blogworker.quota.limiter import Limiter
from blogworker.settings import DatabaseSettings, LogSettings, OpenAISettings
from blogworker.telemetry import configure


class Caller:
    """One process's blogs."""

    def __init__(self, order: Order, client: OpenAIClient, report: Report) -> None:
        self._order = order
        self._client = client
        self._report = report
        self._next = 0

    async def ours(self, limiter: Limiter) -> None:
        """Each slot takes the next blog, as a worker's do."""
        async with create_task_group() as slots:
            for _ in range(self._order.slots):
                slots.start_soon(self._slot, partial(self._our_call, limiter))

    async def seed(self, limiter: SeedLimiter) -> None:
        """Sub-batches: the slowest of fifty holds up the next fifty."""
        while self._next < self._order.blogs:
            async with create_task_group() as batch:
                for _ in range(min(WIDTH, self._order.blogs - self._next)):
                    batch.start_soon(self._blog, self._take(), partial(self._seed_call, limiter))

    async def _slot(self, call: Callable[..., Any]) -> None:
        while self._next < self._order.blogs:
            await self._blog(self._take(), call)

    def _take(self) -> int:
        self._next += 1
        return self._next

    async def _blog(self, blog: int, call: Callable[..., Any]) -> None:
        topic = f"subject {self._order.number}-{blog} of the bench"
        for prompt, tokens in ((IDEAS, self._order.ideas_tokens), (POST, self._order.content_tokens)):
            await self._made(partial(call, prompt, topic, tokens))

    async def _made(self, call: Callable[[], Any]) -> None:
        """Make the call until it succeeds; a job that has to wait comes again."""
        while True:
            try:
                await call()
            except RateLimited as error:
                if error.code == "quota":
                    self._report.parked += 1
                else:
                    self._report.refused += 1
                await sleep(error.retry_after_s)
            except Unavailable:
                self._report.lost += 1
            else:
                self._report.calls += 1
                return

    async def _our_call(self, limiter: Limiter, prompt: Prompt, topic: str, tokens: int) -> None:
        async with limiter.permit(self._order.model, tokens=tokens) as permit:
            generation = await self._generate(prompt, topic, tokens)
            if generation.tokens:
                permit.used(generation.tokens)
            await limiter.learn(self._order.model, limits_in(generation.headers))

    async def _seed_call(self, limiter: SeedLimiter, prompt: Prompt, topic: str, tokens: int) -> None:
        async with limiter.permit(tokens):
            await self._generate(prompt, topic, tokens)

    async def _generate(self, prompt: Prompt, topic: str, tokens: int) -> Any:
        return await self._client.generate(
            model=self._order.model,
            instructions=prompt.instructions,
            input=fenced("source", {"keyword": topic}),
            schema_name=prompt.name,
            schema=prompt.schema,
            max_output_tokens=tokens,
            cache_key=prompt.version,
        )


async def main(order: Order) -> None:
    report = Report()
    settings = OpenAISettings(api_key=SecretStr("simulated-key"), base_url=order.base_url)
    async with OpenAIClient(settings, connections=order.slots) as client, _database(order) as database:
        limiter = Limiter(database, {order.model: bucket(order)})
        if order.limiter == OURS:
            await limiter.start()
        print("ready", flush=True)  # noqa: T201 - to the process that started us
        await run_sync(sys.stdin.readline)
        began, before = process_time(), database.statements
        caller = Caller(order, client, report)
        if order.limiter == OURS:
            await caller.ours(limiter)
        else:
            limits = {"requests": order.requests_per_minute, "tokens": order.tokens_per_minute}
            share = {name: round(limit * order.minute_s / 60) for name, limit in limits.items()}
            await caller.seed(SeedLimiter(**share, minute_s=order.minute_s))
        report.cpu_s, report.statements = process_time() - began, database.statements - before
    print(TypeAdapter(dict[str, Any]).dump_json(asdict(report)).decode(), flush=True)  # noqa: T201 - likewise


def bucket(order: Order) -> Bucket:
    return Bucket(order.model, "openai", order.requests_per_minute, order.tokens_per_minute, burst_s=order.burst_s)


@asynccontextmanager
async def _database(order: Order) -> AsyncIterator[Counted]:
    async with Database(DatabaseSettings(url=SecretStr(order.dsn), pool_min=1, pool_max=4)) as database:
        yield Counted(RetryingDatabase(database, DatabaseHealth()))


if __name__ == "__main__":
    configure(LogSettings(level="error"))
    anyio.run(main, TypeAdapter(Order).validate_json(sys.argv[1]))
