"""Commands about webhooks: list, add, remove, pause, resume, test, secret, deliveries."""

from dataclasses import asdict
from functools import partial

import typer

from blogworker.cli.output import complain, console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.grants import OPERATOR
from blogworker.db.pool import Database
from blogworker.section import load_section
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks import endpoints
from blogworker.webhooks.endpoints import Endpoint, Event, Format

app = typer.Typer(
    help="Send messages about ended jobs and alerts to other systems: list, add, test and remove endpoints.",
    invoke_without_command=True,
)

JSON = typer.Option(False, "--json", help="Print JSON.")
NAME = typer.Argument(help="The name of the endpoint.")


@app.callback()
def webhooks(context: typer.Context, as_json: bool = JSON) -> None:
    """Show the endpoints, what waits for them, and which fail."""
    if context.invoked_subcommand is not None:
        return
    found = with_database(endpoints.list_endpoints)
    if as_json:
        emit_json([asdict(each) for each in found])
    elif found:
        columns = ["name", "events", "sites", "format", "address", "waiting", "given up", "oldest", "state"]
        console().print(table(None, columns, [_row(each) for each in found], fold=["sites", "address", "state"]))
    else:
        console().print("there is no endpoint: `blogworker webhooks add --help`")


@app.command()
def add(
    name: str = NAME,
    url: str | None = typer.Option(
        None, help="Its address. Omit it if the address is a secret, and set BLOGWORKER_WEBHOOK_URLS."
    ),
    event: list[Event] = typer.Option(..., help="What to send. May be repeated."),
    site: list[str] | None = typer.Option(None, help="Only jobs of this site. May be repeated."),
    form: Format = typer.Option(Format.JSON, "--format", help="json: signed; slack: an incoming webhook of Slack."),
    as_json: bool = JSON,
) -> None:
    """Add an endpoint. It gets messages about what happens from now on."""
    settings = load_section(WebhookSettings)

    async def act(database: Database) -> None:
        await endpoints.add_endpoint(database, settings, name, url=url, events=event, instance_ids=site, form=form)

    with_database(act, needs=OPERATOR)
    if as_json:
        emit_json({"name": name, "added": True})
        return
    following = f"; its secret: `blogworker webhooks secret {name}`" if form is Format.JSON else ""
    console().print(f"added; test it with `blogworker webhooks test {name}`{following}", soft_wrap=True)


@app.command()
def remove(name: str = NAME, as_json: bool = JSON) -> None:
    """Delete an endpoint and the deliveries that wait for it."""
    waiting = with_database(partial(endpoints.remove_endpoint, name=name), needs=OPERATOR)
    if as_json:
        emit_json({"name": name, "removed": True, "waiting": waiting})
    else:
        console().print(f"removed, with {waiting:,} waiting deliveries")


@app.command()
def pause(
    name: str = NAME,
    reason: str = typer.Option("paused by an operator", help="Shown in the list of endpoints."),
    as_json: bool = JSON,
) -> None:
    """Send nothing to an endpoint until it is resumed. Deliveries wait for a day at most."""
    with_database(partial(endpoints.pause_endpoint, name=name, reason=reason), needs=OPERATOR)
    if as_json:
        emit_json({"name": name, "paused": True, "reason": reason})


@app.command()
def resume(
    name: str = NAME,
    given_up: bool = typer.Option(False, "--given-up", help="Also send again what was given up."),
    as_json: bool = JSON,
) -> None:
    """Send to an endpoint again, at once: after a pause, after it was disabled, or instead of waiting for a retry."""
    again = with_database(partial(endpoints.resume_endpoint, name=name, given_up=given_up), needs=OPERATOR)
    if as_json:
        emit_json({"name": name, "paused": False, "waiting": again})
    else:
        console().print(f"{again:,} deliveries wait for it")


@app.command("test")
def send_test(name: str = NAME, as_json: bool = JSON) -> None:
    """Send a test message from this machine, now. Exit 1 if the endpoint does not accept it."""
    settings = load_section(WebhookSettings)

    async def act(database: Database) -> str | None:
        return (await endpoints.send_test(database, settings, name)).error

    error = with_database(act)
    if as_json:
        emit_json({"name": name, "accepted": error is None, "error": error})
    if error is not None:
        complain(f"{name} did not accept a test message: {error}")
        raise typer.Exit(1)
    if not as_json:
        console().print(f"{name} accepted a test message")


@app.command()
def secret(name: str = NAME, as_json: bool = JSON) -> None:
    """Print the secret with which the receiver checks the signatures. It is derived from BLOGWORKER_WEBHOOK_KEY."""
    settings = load_section(WebhookSettings)
    found = with_database(lambda database: endpoints.secret_of(database, settings, name))
    if as_json:
        emit_json({"name": name, "secret": found})
    else:
        typer.echo(found)


@app.command()
def deliveries(
    name: str = NAME, most: int = typer.Option(50, "--limit", min=1, max=1_000), as_json: bool = JSON
) -> None:
    """Show the newest deliveries to an endpoint. Those accepted are kept for a day, those given up for a week."""
    found = with_database(partial(endpoints.list_deliveries, name=name, most=most))
    if as_json:
        emit_json([asdict(each) for each in found])
        return
    columns = ["message", "event", "job", "created", "state", "attempts", "error"]
    cells = [(str(d.message_id), d.event, d.job_id, d.created_at, d.state, d.attempts, d.last_error) for d in found]
    console().print(table(None, columns, cells, fold=["error"]))


def _row(each: Endpoint) -> tuple[object, ...]:
    sites = "all" if each.instance_ids is None else ", ".join(each.instance_ids)
    address = each.url or "in the settings"
    return (
        each.name,
        ", ".join(each.events),
        sites,
        each.format,
        address,
        each.waiting,
        each.given_up,
        each.oldest,
        _state(each),
    )


def _state(each: Endpoint) -> str:
    if each.disabled_at is not None:
        return f"disabled: {each.disabled_reason}"
    if each.paused_at is not None:
        return f"paused: {each.pause_reason}"
    return f"failing: {each.last_error}" if each.failures else "ok"
