"""`blogworker enqueue`: keywords, JSONL, product exports. All rows are enqueued or none, except with --skip-bad."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

import typer
from rich.progress import track

from blogworker.cli import sources
from blogworker.cli.dry_run import dry_run as show_dry_run
from blogworker.cli.output import console, emit_json
from blogworker.cli.session import login, with_database
from blogworker.cli.sources import Checked, Source
from blogworker.db.grants import PRODUCER
from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.intake import Kind, at_rest, site_of
from blogworker.ops.shown import ago
from blogworker.plurals import counted
from blogworker.queue.enqueue import Enqueued, enqueue_many
from blogworker.queue.enqueue import enqueue as enqueue_one
from blogworker.queue.validation import NewJob, PublishMode, faults
from blogworker.section import load_section
from blogworker.settings import QueueSettings

A_TIME = "2026-12-01T08:00:00Z"


def _time(text: str) -> datetime:
    """Parse a time with a time zone. Raises BadParameter with an example."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time: write it as {A_TIME}") from None
    if time.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no time zone: write it as {A_TIME}, or with +02:00")
    return time


def register(app: typer.Typer) -> None:
    app.command()(enqueue)


def enqueue(
    files: list[str] = typer.Argument(
        None, help="JSONL, keyword lists, or product exports of a shop (CSV); - reads standard input."
    ),
    site: list[str] = typer.Option(
        [], help="The instance_id of the site. With several, the product or keyword of a row decides which it goes to."
    ),
    keyword: list[str] = typer.Option([], help="A keyword to write about. May be given several times."),
    kind: Kind = typer.Option("auto", help="The format of the files; auto finds it from their names and contents."),
    priority: int = typer.Option(0, min=-32768, max=32767, help="Higher goes first within a site."),
    run_at: datetime | None = typer.Option(
        None, parser=_time, metavar="TIME", help=f"Do not start before this time, for example {A_TIME}."
    ),
    publish_at: datetime | None = typer.Option(
        None, parser=_time, metavar="TIME", help=f"Make the post now and publish it at this time, for example {A_TIME}."
    ),
    draft: bool | None = typer.Option(
        None,
        "--draft/--publish",
        help="Leave the posts as drafts for review, or publish them, instead of the site's default.",
    ),
    key: str | None = typer.Option(None, help="Idempotency key of a single job."),
    repeatable: bool = typer.Option(False, "--repeatable", help="Enqueue rows again that were enqueued before."),
    include_hidden: bool = typer.Option(
        False,
        "--include-hidden",
        help="Also enqueue products that are drafts, archived, unlisted, hidden or unpublished.",
    ),
    skip_bad: bool = typer.Option(False, "--skip-bad", help="Enqueue the good rows of a file that has bad ones."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Enqueue nothing; show what would be, its cost and time."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Add jobs to the queue, one per post. Exit 2: bad input, nothing enqueued; 75: the queue is full, try later."""
    if not files and not keyword:
        raise SettingsError("nothing to enqueue: give files, or --keyword with --site")
    if keyword and not site:
        raise SettingsError("--keyword needs --site: for which site is it?")
    if key is not None and (files or len(keyword) != 1):
        raise SettingsError("--key belongs to one job: use it with a single --keyword")
    mode: PublishMode | None = None if draft is None else "draft" if draft else "publish"
    limit = load_section(QueueSettings).queue_size_limit
    if keyword and not files:
        few = [
            NewJob("", "keyword", None, {"keyword": word}, priority, run_at, publish_at, key, publish_mode=mode)
            for word in keyword
        ]
        few = [replace(job, instance_id=site_of(job, site)) for job in few]
        _require_valid(few)
        if dry_run:
            show_dry_run(few, Checked(), limit=limit, as_json=as_json)
        else:
            _show(_enqueue_few(few, limit=limit), as_json=as_json)
        return
    if keyword:
        raise SettingsError("give either files or --keyword, not both")
    with ExitStack() as stack:
        given = [
            Source(
                stack.enter_context(at_rest(file)),
                file,
                kind,
                tuple(site),
                priority,
                repeatable,
                include_hidden,
                run_at,
                publish_at,
                mode,
            )
            for file in files
        ]
        found = sources.check(given, skip_bad=skip_bad)
        jobs = sources.jobs(given, found)
        (show_dry_run if dry_run else _enqueue_files)(jobs, found, limit=limit, as_json=as_json)


def _require_valid(jobs: Sequence[NewJob]) -> None:
    wrong = [f"{job.source_data['keyword']!r:.60}: {reason}" for job in jobs for reason in faults(job)]
    if wrong:
        raise SettingsError("\n".join(wrong))


def _enqueue_few(jobs: Sequence[NewJob], *, limit: int | None) -> list[Enqueued]:
    """Enqueue the jobs of the command line: all of them or none."""

    async def act(database: Database) -> list[Enqueued]:
        async with database.transaction() as statements:
            return [await enqueue_one(statements, job, queue_size_limit=limit, added_by=login()) for job in jobs]

    return with_database(act, needs=PRODUCER)


def _show(answers: Sequence[Enqueued], *, as_json: bool) -> None:
    if as_json:
        emit_json(
            [
                {
                    "id": a.job_id,
                    "status": a.status,
                    "created": a.created,
                    "place": a.place,
                    "expected_start": a.expected_start,
                    "waits_for": a.waits_for,
                }
                for a in answers
            ]
        )
        return
    for a in answers:
        place = f", place {a.place} of its site" if a.place is not None else ""
        start = f", starts {ago(a.expected_start)}" if a.expected_start is not None else ""
        waits = f"; {a.waits_for}" if a.waits_for is not None else ""
        console().print(f"job {a.job_id}: {a.status}{place}{start}{waits}{'' if a.created else ' (enqueued before)'}")


def _enqueue_files(jobs: Iterator[NewJob], found: Checked, *, limit: int | None, as_json: bool) -> None:
    bar = track(
        jobs,
        total=found.jobs,
        description="enqueueing",
        console=console(sys.stderr),
        disable=as_json or not sys.stderr.isatty(),
        transient=True,
    )

    async def act(database: Database) -> int:
        return await enqueue_many(database, bar, counts=found.counts, queue_size_limit=limit, added_by=login())

    created = with_database(act, needs=PRODUCER) if found.jobs else 0
    known = found.jobs - created
    report = {
        "created": created,
        "known": known,
        "sites": len(found.counts),
        "skipped": found.skipped.total(),
        "skipped_by": dict(found.skipped),
        "bad": found.bad,
    }
    if as_json:
        emit_json(report)
        return
    console().print(f"{counted(created, 'job')} enqueued for {counted(len(found.counts), 'site')}", highlight=False)
    if known:
        console().print(f"enqueued before: {counted(known, 'row')} (--repeatable enqueues them again)", highlight=False)
    for line in found.skipped_lines():
        console().print(line, highlight=False)
