"""`blogworker tail`: what happens to a job, a site or all jobs, as it happens."""

import sys
from dataclasses import asdict

import anyio
import typer

from blogworker.cli.output import console, emit_json
from blogworker.cli.session import opened
from blogworker.cli.signals import until_signal
from blogworker.errors import SettingsError
from blogworker.ops.age import seconds
from blogworker.ops.tail import TailEvent
from blogworker.ops.tail import tail as follow_events


def register(app: typer.Typer) -> None:
    app.command()(tail)


def tail(
    job_id: int | None = typer.Argument(None, min=1, max=2**63 - 2, help="A job. It ends when the job has ended."),
    site: str | None = typer.Option(None, help="The jobs of this site."),
    since: str = typer.Option("1min", help="Begin with the events of the last so long: 10min, 12h."),
    follow: bool = typer.Option(True, "--follow/--no-follow", help="Wait for more, until Ctrl-C."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per line."),
) -> None:
    """Show what happens to a job, to a site or to all jobs: checkpoints with their cost, errors, ends."""
    if job_id is not None and site is not None:
        raise SettingsError("give either a job or --site")
    within_s = seconds(since)

    async def act() -> None:
        async with opened() as database:
            async for event in follow_events(database, job_id=job_id, site=site, within_s=within_s, follow=follow):
                _print(event, as_json=as_json)

    anyio.run(until_signal, act)


def _print(event: TailEvent, *, as_json: bool) -> None:
    if as_json:
        emit_json(asdict(event))
        sys.stdout.flush()  # whoever reads a pipe wants it now
        return
    line = f"{event.at:%H:%M:%S}  {event.job_id}  {event.instance_id}  {event.event}  {event.detail}"
    console().print(line.rstrip(), soft_wrap=True)
