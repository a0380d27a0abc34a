"""Processes that tests kill: one delivers, one ends jobs."""

import sys
from uuid import UUID

import anyio
from anyio import create_task_group
from pydantic import SecretStr

from blogworker.db.pool import Database
from blogworker.queue.claim import claim
from blogworker.queue.job import Done
from blogworker.queue.settle import Settler
from blogworker.settings import DatabaseSettings
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks.deliverer import Deliverer


async def deliver(database: Database, key: str) -> None:
    settings = WebhookSettings(key=SecretStr(key), allow_loopback=True, _env_file=None)
    await Deliverer(database, settings).run()


async def settle(database: Database, worker: str) -> None:
    """End all jobs of a worker, several at a time, and say so once the first have ended."""
    worker_id = UUID(worker)
    settler = Settler(database, worker_id)
    async with create_task_group() as keepers:
        keepers.start_soon(settler.run)
        while claims := (await claim(database, worker_id, slots=5, site_window=5)).claims:
            async with create_task_group() as attempts:
                for each in claims:
                    attempts.start_soon(settler.settle, each, Done())
            sys.stdout.write("ended\n")
            sys.stdout.flush()


async def main(what: str, url: str, argument: str) -> None:
    async with Database(DatabaseSettings(url=SecretStr(url), _env_file=None)) as database:
        await {"deliver": deliver, "settle": settle}[what](database, argument)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
