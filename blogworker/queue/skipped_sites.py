"""Serve all other sites when a row of one site makes a batch statement fail.

A statement for a batch of many sites succeeds or fails as a whole. The constraints of our tables exclude bad values,
but a trigger or a constraint of another program may refuse one row, and that row is in every batch. So a refused batch
is split by site until the rest succeeds. The sites that are refused alone are logged and skipped for a while.

If nothing succeeds, no single site is to blame (for example a missing privilege, or a trigger that forbids every
change), and the error is raised.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import psycopg
from anyio import current_time

from blogworker.db.messages import message_of
from blogworker.db.pool import Row, Runner
from blogworker.db.retrying import is_transient
from blogworker.telemetry import get_logger

SKIP_S = 300.0  # then the site is tried again
LONGEST_S = 30.0  # for one split; only this statement waits meanwhile
SITES = 1_000  # in one split
GIVE_UP_AFTER = 8  # sites refused before anything succeeded

RunFor = Callable[[list[str] | None, list[str]], Awaitable[list[Row]]]

log = get_logger()


class SkippedSites:
    """The sites that one statement skips."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def sites(self) -> list[str]:
        now = current_time()
        self._until = {site: until for site, until in self._until.items() if until > now}
        return sorted(self._until)

    async def rows(
        self, database: Runner, run: RunFor, *, did_something: Callable[[list[Row]], object] = bool
    ) -> list[Row]:
        """Return the rows of `run(None, skipped)`. If a row of one site makes it fail, return those of the other sites.

        `run` takes the only sites to serve (None: all) and the sites to skip. `did_something` says whether the rows of
        an answer mean that something was done.
        """
        try:
            return await run(None, self.sites())
        except psycopg.Error as error:
            if is_transient(error):
                raise
            served, refused = await self._split(database, run, did_something)
            if not served:
                raise
            for site, reason in refused.items():
                self._until[site] = current_time() + SKIP_S
                log.error("site_skipped", instance_id=site, error=reason)
            return [row for rows in served for row in rows]

    async def _split(
        self, database: Runner, run: RunFor, did_something: Callable[[list[Row]], object]
    ) -> tuple[list[list[Row]], dict[str, str]]:
        """Return the answers of the groups that succeeded, and the sites refused alone with their reasons."""
        give_up_at = current_time() + LONGEST_S
        skipped = self.sites()
        known = [row["instance_id"] for row in await database.rows("queue/sites_with_work", most=SITES)]
        groups = deque([known] if known else [])
        served: list[list[Row]] = []
        refused: dict[str, str] = {}
        while groups and current_time() < give_up_at and (served or len(refused) < GIVE_UP_AFTER):
            group = groups.popleft()
            try:
                if did_something(rows := await run(group, skipped)):
                    served.append(rows)
            except psycopg.Error as error:
                if is_transient(error):
                    raise
                if len(group) == 1:
                    refused[group[0]] = message_of(error)
                else:
                    middle = len(group) // 2
                    groups += [group[:middle], group[middle:]]
        return served, refused
