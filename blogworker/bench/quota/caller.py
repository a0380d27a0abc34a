"""A worker's calls to the text model, as a process: `python -m blogworker.bench.quota.caller CONFIG`.

It makes the ideas call and the content call of each of its jobs, and prints a report. Config and report are JSON.
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
from pydantic import SecretStr, TypeAdapter

from blogworker.bench.environment.counting import CountingRunner
from blogworker.bench.program import wait_for_begin
from blogworker.bench.quota.caller_config import OURS, CallerConfig, CallerReport
from blogworker.bench.quota.seed_limiter import BATCH, SeedLimiter
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
    """Makes the calls of the jobs of one process."""

    def __init__(self, config: CallerConfig, client: OpenAIClient, report: CallerReport) -> None:
        self._config = config
        self._client = client
        self._report = report
        self._next = 0

    async def run(self, limiter: Limiter) -> None:
        """Run the jobs as a worker does: a free slot takes the next job."""
        async with create_task_group() as slots:
            for _ in range(self._config.slots):
                slots.start_soon(self._slot, partial(self._call, limiter))

    async def run_seed(self, limiter: SeedLimiter) -> None:
        """Run the jobs as the seed did: in batches, each of which waits for its slowest job."""
        while self._next < self._config.jobs:
            async with create_task_group() as batch:
                for _ in range(min(BATCH, self._config.jobs - self._next)):
                    batch.start_soon(self._job, self._take(), partial(self._seed_call, limiter))

    async def _slot(self, call: Callable[..., Any]) -> None:
        while self._next < self._config.jobs:
            await self._job(self._take(), call)

    def _take(self) -> int:
        self._next += 1
        return self._next

    async def _job(self, number: int, call: Callable[..., Any]) -> None:
        topic = f"subject {self._config.number}-{number} of the bench"
        for prompt, tokens in ((IDEAS, self._config.ideas_tokens), (POST, self._config.content_tokens)):
            await self._until_success(partial(call, prompt, topic, tokens))

    async def _until_success(self, call: Callable[[], Any]) -> None:
        """Repeat a call until it succeeds."""
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

    async def _call(self, limiter: Limiter, prompt: Prompt, topic: str, tokens: int) -> None:
        async with limiter.permit(self._config.model, tokens=tokens) as permit:
            generation = await self._generate(prompt, topic, tokens)
            if generation.tokens:
                permit.used(generation.tokens)
            await limiter.learn(self._config.model, limits_in(generation.headers))

    async def _seed_call(self, limiter: SeedLimiter, prompt: Prompt, topic: str, tokens: int) -> None:
        async with limiter.permit(tokens):
            await self._generate(prompt, topic, tokens)

    async def _generate(self, prompt: Prompt, topic: str, tokens: int) -> Any:
        return await self._client.generate(
            model=self._config.model,
            instructions=prompt.instructions,
            input=fenced("source", {"keyword": topic}),
            schema_name=prompt.name,
            schema=prompt.schema,
            max_output_tokens=tokens,
            cache_key=prompt.version,
        )


async def main(config: CallerConfig) -> None:
    report = CallerReport()
    settings = OpenAISettings(api_key=SecretStr("simulated-key"), base_url=config.base_url)
    async with OpenAIClient(settings, connections=config.slots) as client, _database(config) as database:
        limiter = Limiter(database, {config.model: _bucket(config)})
        if config.limiter == OURS:
            await limiter.start()
        await wait_for_begin()
        started, before = process_time(), database.statements
        caller = Caller(config, client, report)
        if config.limiter == OURS:
            await caller.run(limiter)
        else:
            limits = {"requests": config.requests_per_minute, "tokens": config.tokens_per_minute}
            share = {name: round(limit * config.minute_s / 60) for name, limit in limits.items()}
            await caller.run_seed(SeedLimiter(**share, minute_s=config.minute_s))
        report.cpu_s, report.statements = process_time() - started, database.statements - before
    print(TypeAdapter(dict[str, Any]).dump_json(asdict(report)).decode(), flush=True)  # noqa: T201 - read by the bench


def _bucket(config: CallerConfig) -> Bucket:
    return Bucket(config.model, "openai", config.requests_per_minute, config.tokens_per_minute, burst_s=config.burst_s)


@asynccontextmanager
async def _database(config: CallerConfig) -> AsyncIterator[CountingRunner]:
    async with Database(DatabaseSettings(url=SecretStr(config.dsn), pool_min=1, pool_max=4)) as database:
        yield CountingRunner(RetryingDatabase(database, DatabaseHealth()))


if __name__ == "__main__":
    configure(LogSettings(level="error"))
    anyio.run(main, TypeAdapter(CallerConfig).validate_json(sys.argv[1]))
