"""Doctor: whether this machine, its settings, the database, the keys and the fleet are as they have to be.

Nothing is changed, and no call costs money. Each check is one line with what to do.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import DictRow
from psycopg_pool import PoolTimeout

from blogworker import __version__
from blogworker.db.grants import OPERATOR, PRODUCER, READER, WORKER
from blogworker.db.messages import message_of
from blogworker.db.migrate import state
from blogworker.db.pool import Database, connect
from blogworker.db.readiness import how_to_grant, require_ready
from blogworker.db.server import inspect_server
from blogworker.db.session import begin_session
from blogworker.errors import BlogworkerError, ProviderError
from blogworker.ops.check import Level, Limits, check
from blogworker.ops.pulse import read_pulse
from blogworker.settings import DatabaseSettings, OpenAISettings, ReplicateSettings, WixSettings

CLOCKS_S = 2.0  # a larger difference between this machine and the database is worth a look
OF_A_WORKER = 2  # connections besides its pool: one listens, one extends the lease
PROVIDER_S = 15.0


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """`advice`: what to do; empty if nothing is to be done."""

    name: str
    state: State
    finding: str
    advice: str = ""


async def examine_database(settings: DatabaseSettings) -> list[Check]:
    """Check server, session, schema, privileges and fleet. Stop at the first fault that prevents the other checks.

    A role that may not read the tables prevents none of them: each says what it could not read.
    """
    try:
        connection = await connect(
            settings.direct, timeout_s=settings.connect_timeout_s, application="blogworker doctor"
        )
    except BlogworkerError as error:
        return [Check("database", State.WRONG, str(error))]
    async with connection:
        try:
            server = await inspect_server(connection)
            server.require_ready()
        except (BlogworkerError, PostgresError) as error:
            return [Check("database", State.WRONG, message_of(error))]
        found = [Check("database", State.OK, f"Postgres {server.version_name}, role {server.role}")]
        try:
            found += await _answered("migrations", server.role, _migrations(connection))
        except BlogworkerError as error:
            return [*found, Check("migrations", State.WRONG, str(error))]
        found += await _answered("privileges", server.role, _privileges(connection))
    for name, examined in (("connection", _pooler(settings)), ("fleet", _fleet(settings, server.role))):
        try:
            found += await _answered(name, server.role, examined)
        except BlogworkerError as error:
            found.append(Check(name, State.WRONG, str(error)))
    return found


async def _answered(name: str, role: str, examined: Awaitable[list[Check]]) -> list[Check]:
    """Return the checks, or one that says why the database refused or did not answer."""
    try:
        return await examined
    except InsufficientPrivilege as error:
        return [Check(name, State.WRONG, message_of(error), how_to_grant(role, READER))]
    except (PostgresError, PoolTimeout) as error:
        return [Check(name, State.WRONG, message_of(error))]


async def _migrations(connection: AsyncConnection[DictRow]) -> list[Check]:
    (await state(connection)).require_current()
    return [Check("migrations", State.OK, "the schema is that of this version")]


async def _privileges(connection: AsyncConnection[DictRow]) -> list[Check]:
    usable, reasons = [], {}
    for role in (PRODUCER, READER, WORKER, OPERATOR):
        try:
            await require_ready(connection, needs=role)
            usable.append(role.name)
        except BlogworkerError as error:
            reasons[role.name] = str(error)
    if WORKER.name in usable:
        return [Check("privileges", State.OK, f"enough for {', '.join(usable)}")]
    finding = f"enough for {', '.join(usable) or 'nothing'}; not for {WORKER.name}: {reasons[WORKER.name]}"
    return [Check("privileges", State.WARNING, finding, "a worker needs them: `blogworker roles --help`")]


async def _pooler(settings: DatabaseSettings) -> list[Check]:
    """Say whether DATABASE_URL leads through a pooler, and whether the direct connection that it then needs exists."""
    async with await connect(settings.url.get_secret_value(), timeout_s=settings.connect_timeout_s) as connection:
        direct = await begin_session(connection)
    if direct:
        return [Check("connection", State.OK, "direct")]
    if settings.direct_url is None:
        advice = "set DATABASE_DIRECT_URL to a connection that bypasses it: for LISTEN, the lease and migrations"
        return [Check("connection", State.WARNING, "DATABASE_URL leads through a pooler: workers poll", advice)]
    return [Check("connection", State.OK, "through a pooler, and DATABASE_DIRECT_URL bypasses it")]


async def _fleet(settings: DatabaseSettings, role: str) -> list[Check]:
    async with Database(settings, application="blogworker doctor") as database:
        before = datetime.now(UTC)
        facts = await database.one("ops/doctor")
        after = datetime.now(UTC)
        off_s = max((before - facts["now"]).total_seconds(), (facts["now"] - after).total_seconds(), 0.0)
        found = [_clock(off_s), _trgm(facts), _connections(facts, settings), _versions(facts)]
        return [*found, *await _answered("fleet", role, _verdict(database))]


async def _verdict(database: Database) -> list[Check]:
    verdict = check(await read_pulse(database), Limits())
    state = {Level.OK: State.OK, Level.WARNING: State.WARNING, Level.CRITICAL: State.WRONG}[verdict.level]
    return [Check("fleet", state, "; ".join([*verdict.findings, verdict.summary]))]


def _clock(off_s: float) -> Check:
    if off_s > CLOCKS_S:
        advice = "only displays are affected, but logs are hard to compare: synchronise the clocks (chrony, timesyncd)"
        return Check("clock", State.WARNING, f"differs by {off_s:.1f} s from the database", advice)
    return Check("clock", State.OK, "agrees with the database")


def _trgm(facts: dict[str, Any]) -> Check:
    if facts["trgm"]:
        return Check("pg_trgm", State.OK, "installed")
    return Check("pg_trgm", State.WARNING, "not installed: titles are compared more slowly", "run `blogworker migrate`")


def _connections(facts: dict[str, Any], settings: DatabaseSettings) -> Check:
    """Compare the server's limit with what the live workers, and one more, may open with this machine's settings."""
    workers = facts["workers"] + 1
    wanted = workers * (settings.pool_max + OF_A_WORKER)
    finding = (
        f"{facts['connections']:,} of {facts['max_connections']:,} are open; {workers:,} workers may open {wanted:,}"
    )
    if wanted > facts["max_connections"]:
        advice = "lower DB_POOL_MAX (a worker usually needs 6), raise max_connections, or use a pooler"
        return Check("connections", State.WARNING, finding, advice)
    return Check("connections", State.OK, finding)


def _versions(facts: dict[str, Any]) -> Check:
    others = [version for version in facts["versions"] if version != __version__]
    if others:
        finding = f"workers run {', '.join(facts['versions'])}; this is {__version__}"
        return Check("versions", State.WARNING, finding, "finish the upgrade: restart the workers one after the other")
    return Check("versions", State.OK, __version__)


async def served_sites(settings: DatabaseSettings) -> Sequence[str]:
    """Return up to three sites that were served last; none if the database cannot be read."""
    try:
        async with Database(settings, application="blogworker doctor") as database:
            sites: list[str] = (await database.one("ops/doctor"))["sites"]
            return sites
    except (BlogworkerError, PostgresError, PoolTimeout):
        return ()


async def examine_openai(settings: OpenAISettings) -> list[Check]:
    """Ask for each model that is used: free, and it proves the key and the model."""
    if settings.api_key is None:
        return [Check("OpenAI", State.WRONG, "OPENAI_API_KEY is not set", "workers cannot write without it")]
    from blogworker.providers.openai_answers import refusal

    found: list[Check] = []
    headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"}
    async with _caller(settings) as get:
        for model in settings.models:
            try:
                answer = await get(f"/models/{model}", headers)
            except ProviderError as error:
                return [
                    *found,
                    Check("OpenAI", State.WRONG, str(error), "check the network, the proxy and OPENAI_BASE_URL"),
                ]
            if answer.status_code == 200:
                found.append(Check("OpenAI", State.OK, f"the key is accepted, and {model} exists"))
                continue
            refused = refusal(answer.status_code, answer.content, answer.headers)
            found.append(
                Check("OpenAI", State.WRONG, f"{model}: {refused}", "check OPENAI_API_KEY and the model's name")
            )
    return found


async def examine_replicate(settings: ReplicateSettings) -> list[Check]:
    """List predictions: free, and it proves the token."""
    if settings.api_token is None:
        return [
            Check("Replicate", State.WRONG, "REPLICATE_API_TOKEN is not set", "workers cannot illustrate without it")
        ]
    headers = {"Authorization": f"Bearer {settings.api_token.get_secret_value()}"}
    async with _caller(settings) as get:
        try:
            answer = await get("/v1/predictions", headers)
        except ProviderError as error:
            return [Check("Replicate", State.WRONG, str(error), "check the network, the proxy and REPLICATE_BASE_URL")]
    if answer.status_code == 200:
        return [Check("Replicate", State.OK, "the token is accepted")]
    finding = f"the token is refused (HTTP {answer.status_code})"
    return [Check("Replicate", State.WRONG, finding, "check REPLICATE_API_TOKEN")]


async def examine_wix(settings: WixSettings, sites: Sequence[str]) -> list[Check]:
    """Read the blog of each site: free, and it proves the app's secret, its installation and the blog."""
    if not settings.configured:
        return [
            Check("Wix", State.WARNING, "WIX_APP_ID is not set", "posts are made and kept in blog_posts, not published")
        ]
    if not sites:
        return [Check("Wix", State.SKIPPED, "no site was served yet", "name one: `blogworker doctor --site SITE`")]
    from blogworker.providers.wix.client import WixClient

    found = []
    async with WixClient(settings, connections=1) as wix:
        for site in sites:
            try:
                await wix.member_id(site)
                found.append(Check("Wix", State.OK, f"{site}: the app is installed and may post"))
            except ProviderError as error:
                found.append(
                    Check("Wix", State.WRONG, f"{site}: {error}", "check the app's secret and its installation")
                )
    return found


@asynccontextmanager
async def _caller(settings: OpenAISettings | ReplicateSettings) -> AsyncIterator[Any]:
    """Yield a function that gets a path of a provider, under the policy of all calls."""
    from blogworker.providers import http, transport

    provider = "openai" if isinstance(settings, OpenAISettings) else "replicate"
    own = transport.Transport(settings, connections=1)
    async with transport.client(own, base_url=settings.base_url, timeout_s=PROVIDER_S) as client:

        async def get(path: str, headers: dict[str, str]) -> Any:
            try:
                return await client.get(path, headers=headers)
            except http.TransportError as error:
                raise http.lost(error, provider=provider, repeatable=True) from error

        yield get
