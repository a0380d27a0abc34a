"""`blogworker roles`: the group roles of the database and their privileges."""

from dataclasses import dataclass

import anyio
import typer
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from blogworker.cli.output import complain, console, emit_json, table
from blogworker.db.grants import ROLES
from blogworker.db.migrate import ours, state
from blogworker.db.migration_lock import migration_lock
from blogworker.db.pool import connect
from blogworker.db.roles import create, create_statements, grant, grant_statements
from blogworker.db.server import inspect_server, quoted
from blogworker.section import load_section
from blogworker.settings import DatabaseSettings

NOT_ALL_CREATED = 2


@dataclass(frozen=True, slots=True)
class Made:
    """Which roles were created, could not be created, and got their privileges."""

    caller: str
    created: list[str]
    refused: list[str]
    granted: list[str]

    def of(self, name: str) -> str:
        if name in self.refused:
            return "not created"
        return "created" if name in self.created else "up to date"


def register(app: typer.Typer) -> None:
    app.command()(roles)


def roles(
    print_only: bool = typer.Option(
        False, "--print", help="Change nothing; print the SQL, to be run by a role with the right."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Create the group roles and grant each the privileges it needs. Run this as the owner of the tables."""
    settings = load_section(DatabaseSettings)
    anyio.run(_print if print_only else _make, settings, as_json)


async def _print(settings: DatabaseSettings, as_json: bool) -> None:
    async with await connect(settings.direct, timeout_s=settings.connect_timeout_s) as connection:
        schema = await _ready(connection)
        statements = [f"set search_path = {quoted(schema)}", *(await create_statements(connection)).values()]
        for role in ROLES:
            statements += await grant_statements(connection, role, ours())
    if as_json:
        emit_json(statements)
        return
    for statement in statements:
        typer.echo(f"{statement};")


async def _make(settings: DatabaseSettings, as_json: bool) -> None:
    async with await connect(settings.direct, timeout_s=settings.connect_timeout_s) as connection:
        await _ready(connection)
        async with migration_lock(connection):
            created, refused = await create(connection)
            granted = await grant(connection, ours())
        made = Made(connection.info.user, created, refused, granted)
    if as_json:
        emit_json({"created": made.created, "granted": made.granted, "not_created": made.refused})
    else:
        console().print(
            table(
                None,
                ["role", "can", "now"],
                [(role.name, role.can, made.of(role.name)) for role in ROLES],
                fold=["can"],
            )
        )
        console().print("To make a login a member, run in psql: grant blogworker_worker to alice", highlight=False)
    if made.refused:
        complain(
            f"role {made.caller} may not create {', '.join(made.refused)}: run the output of `blogworker roles "
            "--print` as a superuser or as a role with CREATEROLE"
        )
        raise typer.Exit(NOT_ALL_CREATED)


async def _ready(connection: AsyncConnection[DictRow]) -> str:
    """Return the schema of the tables. Raises DatabaseNotReady unless it is migrated."""
    server = await inspect_server(connection)
    server.require_ready()
    (await state(connection)).require_current()
    return server.schema or ""
