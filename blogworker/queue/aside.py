"""Serve all other sites while a row of one site makes a statement fail.

Statements that take a batch of many sites succeed or fail as a whole. Checks of our tables keep bad values out, but a
trigger or a constraint of another program may refuse one row for any reason, and that row is in each batch. So a batch
that is refused is split by site until the rest gets through. The sites that are refused alone are reported and passed
over for a while.

Where nothing gets through, no site is to blame (a missing privilege, a trigger that forbids every change for a while),
and the error goes to the caller.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import psycopg
from anyio import current_time

from blogworker.db.patient import is_transient
from blogworker.db.pool import Row, Runner
from blogworker.db.words import in_words
from blogworker.telemetry import get_logger

ASIDE_S = 300.0  # then such a site is tried again
LONGEST_S = 30.0  # for one split; only this statement waits for it
SITES = 1_000  # that are split at once
NOBODY_AFTER = 8  # sites refused before anything got through

Ask = Callable[[list[str] | None, list[str]], Awaitable[list[Row]]]

log = get_logger()


class Aside:
    """The sites that one statement passes over."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def sites(self) -> list[str]:
        now = current_time()
        self._until = {site: until for site, until in self._until.items() if until > now}
        return sorted(self._until)

    async def rows(self, database: Runner, ask: Ask, *, did: Callable[[list[Row]], object] = bool) -> list[Row]:
        """The rows of `ask(None, aside)`. If a row of some site makes it fail: of all sites without such a row.

        `ask` takes the sites to serve alone, None for all, and those to pass over; `did`: whether an answer says that
        something was done.
        """
        try:
            return await ask(None, self.sites())
        except psycopg.Error as error:
            if is_transient(error):
                raise
            served, refused = await self._split(database, ask, did)
            if not served:
                raise
            for site, reason in refused.items():
                self._until[site] = current_time() + ASIDE_S
                log.error("site_skipped", instance_id=site, error=reason)
            return [row for rows in served for row in rows]

    async def _split(
        self, database: Runner, ask: Ask, did: Callable[[list[Row]], object]
    ) -> tuple[list[list[Row]], dict[str, str]]:
        """The answers of what got through, and the sites that were refused alone, with the reason."""
        give_up_at = current_time() + LONGEST_S
        aside = self.sites()
        known = [row["instance_id"] for row in await database.rows("queue/sites_with_work", most=SITES)]
        groups = deque([known] if known else [])
        served: list[list[Row]] = []
        refused: dict[str, str] = {}
        while groups and current_time() < give_up_at and (served or len(refused) < NOBODY_AFTER):
            group = groups.popleft()
            try:
                if did(rows := await ask(group, aside)):
                    served.append(rows)
            except psycopg.Error as error:
                if is_transient(error):
                    raise
                if len(group) == 1:
                    refused[group[0]] = in_words(error)
                else:
                    middle = len(group) // 2
                    groups += [group[:middle], group[middle:]]
        return served, refused
