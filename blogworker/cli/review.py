"""`blogworker review`: finished posts beside their source, with what every check says of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich.console import Group

from blogworker.cli.ops import BIGGEST_ID, seconds
from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.pool import Database, Row
from blogworker.errors import BlogworkerError, SettingsError
from blogworker.ops.sites import require_site

if TYPE_CHECKING:
    from blogworker.ops.review import Review

MOST = 1_000  # posts at once: a page of more is none to read
BY_HAND = "publish or delete them in the site's own dashboard; blogworker does not learn of it"
By = Literal["newest", "worst", "sample"]


def register(app: typer.Typer) -> None:
    app.command()(review)


def review(
    job_ids: list[int] = typer.Argument(None, min=1, max=BIGGEST_ID, help="Blogs whose posts to show."),
    site: str | None = typer.Option(None, help="Posts of this site."),
    sample: int | None = typer.Option(None, min=1, max=MOST, metavar="N", help="So many, chosen at random."),
    worst: int | None = typer.Option(None, min=1, max=MOST, metavar="N", help="So many, the lowest scores first."),
    drafts: bool = typer.Option(False, "--drafts", help="Only those left as drafts on their site."),
    since: str = typer.Option("31d", help="Finished within this time: 12h, 7d. Named blogs may be older."),
    most: int = typer.Option(20, "--limit", min=1, max=MOST, help="How many, without --sample and --worst."),
    page: Path | None = typer.Option(None, metavar="FILE", help="Write a page of HTML with the pictures, instead."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """Show posts beside their source, with their scores and what every check finds in them.

    Without a choice it lists the posts that wait as drafts, such as those of `sites set --review-every`. A person
    publishes a draft in the dashboard of its site; blogworker does not learn of it."""
    _require_one_choice(job_ids, site=site, sample=sample, worst=worst, drafts=drafts)
    if page is not None and not (page.parent.is_dir() and not page.is_dir()):
        raise SettingsError(f"--page {page} cannot be written: name a file in a folder that exists")
    listed = not (job_ids or site or sample or worst or drafts or page)
    by: By = "worst" if worst or listed else "sample" if sample else "newest"
    chosen = {
        "job_ids": list(dict.fromkeys(job_ids)) if job_ids else None,
        "instance_id": site,
        "within_s": seconds(since),
        "drafts": drafts or listed,
        "by": by,
        "most": len(job_ids) if job_ids else worst or sample or most,
    }
    if listed:
        _list(with_database(lambda database: database.rows("ops/posts_to_review", **chosen)), as_json=as_json)
        return
    found, pictures = with_database(lambda database: _read(database, chosen, illustrated=page is not None))
    _show(found, pictures, page=page, as_json=as_json)
    if missing := set(job_ids or ()) - {review.job_id for review in found}:
        raise BlogworkerError(f"no post: {', '.join(map(str, sorted(missing)))}. See `blogworker list`")


def _require_one_choice(
    job_ids: list[int] | None, *, site: str | None, sample: int | None, worst: int | None, drafts: bool
) -> None:
    if job_ids and (site is not None or sample or worst or drafts):
        raise SettingsError("give either ids, or --site, --sample, --worst and --drafts")
    if sample and worst:
        raise SettingsError("give either --sample or --worst, not both")
    if job_ids and len(set(job_ids)) > MOST:
        raise SettingsError(f"at most {MOST:,} posts at once")


async def _read(
    database: Database, chosen: dict[str, Any], *, illustrated: bool
) -> tuple[list["Review"], dict[int, bytes]]:
    from blogworker.ops.review import review_of  # with the stages come the vendors' SDKs

    await require_site(database, chosen["instance_id"])
    rows = await database.rows("ops/posts_to_review", **chosen)
    ids = chosen["job_ids"] or [row["id"] for row in rows]
    found = [review_of(row) for row in await database.rows("ops/reviewed_posts", job_ids=ids)]
    pictures: dict[int, bytes] = {}
    for review in found if illustrated else ():
        row = await database.maybe("stages/load_image", job_id=review.job_id)
        if row is not None and row["image"] is not None:
            pictures[review.job_id] = bytes(row["image"])
    return found, pictures


def _list(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
        return
    out = console()
    if not rows:
        out.print("no post waits as a draft")
        return
    columns = ["id", "site", "title", "score", "finished", "why"]
    cells = [
        (str(row["id"]), row["instance_id"], row["title"], row["score"], row["finished_at"], row["reason"])
        for row in rows
    ]
    out.print(table("Left as drafts", columns, cells, fold=["title", "why"]))
    out.print(f"read them with `blogworker review --drafts`; {BY_HAND}")


def _show(found: list["Review"], pictures: dict[int, bytes], *, page: Path | None, as_json: bool) -> None:
    from blogworker.cli import review_forms as forms

    if page is not None:
        from blogworker.demo.review_page import review_page

        try:
            page.write_text(review_page(found, pictures), encoding="utf-8")
        except OSError as error:
            raise BlogworkerError(f"{page} cannot be written: {error.strerror}") from error
    if as_json:
        emit_json([forms.machine(review) for review in found])
    elif page is not None:
        console().print(f"{len(found):,} post{'' if len(found) == 1 else 's'}: {page}")
    elif found:
        console().print(Group(*(part for review in found for part in forms.parts(review))))
    else:
        console().print("no such post")
