"""Commands about the tokens of the HTTP interface: list, create, revoke."""

from dataclasses import asdict

import typer

from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.grants import OPERATOR
from blogworker.db.pool import Database
from blogworker.ops.age import seconds
from blogworker.ops.tokens import Scope, TokenState, create_token, list_tokens, revoke_token

app = typer.Typer(help="Show, create and revoke the tokens of the HTTP interface.", invoke_without_command=True)

JSON = typer.Option(False, "--json", help="Print JSON.")


@app.callback()
def tokens(context: typer.Context, as_json: bool = JSON) -> None:
    """Show who may call the HTTP interface (`blogworker serve`)."""
    if context.invoked_subcommand is not None:
        return
    found = with_database(list_tokens)
    if as_json:
        emit_json([asdict(token) for token in found])
    else:
        columns = ["name", "scopes", "sites", "created", "expires", "used", "state"]
        cells = [
            (t.name, ", ".join(t.scopes), _sites(t), t.created_at, t.expires_at, t.used_at, _state(t)) for t in found
        ]
        console().print(table(None, columns, cells, fold=["sites"]))


@app.command()
def create(
    name: str = typer.Argument(help="Who gets it, for example the name of a program."),
    scope: list[Scope] = typer.Option(
        ..., help="intake: add jobs; read: see everything; operate: cancel, retry, pause. May be repeated."
    ),
    site: list[str] | None = typer.Option(None, help="Only this site. May be repeated."),
    expires: str | None = typer.Option(None, help="How long it is valid, for example 90d. Default: until revoked."),
    as_json: bool = JSON,
) -> None:
    """Create a token and print it. It is shown only now: the database stores a hash."""
    expires_s = None if expires is None else seconds(expires)

    async def act(database: Database) -> tuple[str, TokenState]:
        return await create_token(database, name, scopes=scope, instance_ids=site, expires_s=expires_s)

    token, stored = with_database(act, needs=OPERATOR)
    if as_json:
        emit_json({"token": token} | asdict(stored))
    else:
        console().print(token)


@app.command()
def revoke(name: str = typer.Argument(help="The name of the token."), as_json: bool = JSON) -> None:
    """End a token. Running servers refuse it within seconds."""
    with_database(lambda database: revoke_token(database, name), needs=OPERATOR)
    if as_json:
        emit_json({"name": name, "revoked": True})


def _sites(token: TokenState) -> str:
    return "all" if token.instance_ids is None else ", ".join(token.instance_ids)


def _state(token: TokenState) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "valid" if token.valid else "expired"
