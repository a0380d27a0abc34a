"""`blogworker review`: finished posts beside their source, with the results of all checks."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Group

from blogworker.cli.jobs import BIGGEST_ID
from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.errors import BlogworkerError, SettingsError
from blogworker.ops.age import seconds
from blogworker.ops.posts import By, PostChoice, find_posts
from blogworker.ops.records import PostSummary
from blogworker.plurals import counted

if TYPE_CHECKING:
    from blogworker.ops.review import Review

MOST = 1_000  # posts at once; nobody reads a longer page
BY_HAND = "publish or delete them in the dashboard of the site; blogworker is not notified"


def register(app: typer.Typer) -> None:
    app.command()(review)


def review(
    job_ids: list[int] = typer.Argument(None, min=1, max=BIGGEST_ID, help="Ids of jobs whose posts to show."),
    site: str | None = typer.Option(None, help="Only posts of this site."),
    sample: int | None = typer.Option(None, min=1, max=MOST, metavar="N", help="This many posts, chosen at random."),
    worst: int | None = typer.Option(
        None, min=1, max=MOST, metavar="N", help="This many posts, the lowest scores first."
    ),
    drafts: bool = typer.Option(False, "--drafts", help="Only posts that are drafts on their site."),
    since: str = typer.Option("31d", help="Only posts finished within this time: 12h, 7d. Does not apply to ids."),
    most: int = typer.Option(20, "--limit", min=1, max=MOST, help="How many posts, without --sample and --worst."),
    page: Path | None = typer.Option(None, metavar="FILE", help="Write an HTML page with the pictures instead."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show posts beside their source, with their scores and the findings of all checks.

    Without options, list the posts that are drafts, such as those of `sites set --review-every`. Publish a draft in
    the dashboard of its site; blogworker is not notified."""
    _require_one_choice(job_ids, site=site, sample=sample, worst=worst, drafts=drafts)
    if page is not None and not (page.parent.is_dir() and not page.is_dir()):
        raise SettingsError(f"--page {page} cannot be written: name a file in a folder that exists")
    listed = not (job_ids or site or sample or worst or drafts or page)
    by: By = "worst" if worst or listed else "sample" if sample else "newest"
    choice = PostChoice(
        job_ids=list(dict.fromkeys(job_ids)) if job_ids else None,
        instance_id=site,
        within_s=seconds(since),
        drafts=drafts or listed,
        by=by,
        most=len(job_ids) if job_ids else worst or sample or most,
    )
    if listed:
        _list(with_database(lambda database: find_posts(database, choice)), as_json=as_json)
        return
    from blogworker.ops.review import read_reviews  # imports the providers' SDKs, which takes half a second

    found, pictures = with_database(lambda database: read_reviews(database, choice, with_pictures=page is not None))
    _show(found, pictures, page=page, as_json=as_json)
    if missing := set(job_ids or ()) - {review.job_id for review in found}:
        raise BlogworkerError(f"no post for job {', '.join(map(str, sorted(missing)))}. See `blogworker list`")


def _require_one_choice(
    job_ids: list[int] | None, *, site: str | None, sample: int | None, worst: int | None, drafts: bool
) -> None:
    if job_ids and (site is not None or sample or worst or drafts):
        raise SettingsError("give either ids, or --site, --sample, --worst and --drafts")
    if sample and worst:
        raise SettingsError("give either --sample or --worst, not both")
    if job_ids and len(set(job_ids)) > MOST:
        raise SettingsError(f"at most {MOST:,} posts at once")


def _list(posts: list[PostSummary], *, as_json: bool) -> None:
    if as_json:
        emit_json([asdict(post) for post in posts])
        return
    out = console()
    if not posts:
        out.print("no post is a draft")
        return
    columns = ["id", "site", "title", "score", "finished", "why"]
    cells = [(str(post.id), post.instance_id, post.title, post.score, post.finished_at, post.reason) for post in posts]
    out.print(table("Drafts", columns, cells, fold=["title", "why"]))
    out.print(f"show them with `blogworker review --drafts`; {BY_HAND}")


def _show(found: list["Review"], pictures: dict[int, bytes], *, page: Path | None, as_json: bool) -> None:
    from blogworker.cli import review_forms as forms

    if page is not None:
        from blogworker.demo.review_page import review_page

        try:
            page.write_text(review_page(found, pictures), encoding="utf-8")
        except OSError as error:
            raise BlogworkerError(f"{page} cannot be written: {error.strerror}") from error
    if as_json:
        emit_json([forms.as_json(review) for review in found])
    elif page is not None:
        console().print(f"{counted(len(found), 'post')}: {page}")
    elif found:
        console().print(Group(*(part for review in found for part in forms.parts(review))))
    else:
        console().print("no post matches")
