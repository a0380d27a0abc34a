"""`blogworker retry`: ended blogs back into the queue, after saying what that will cost."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import typer
from anyio import sleep

from blogworker.cli.known import require_sites
from blogworker.cli.money import dollars
from blogworker.cli.ops import BATCH, BIGGEST_ID, PAUSE_S, seconds
from blogworker.cli.output import complain, console, emit_json
from blogworker.cli.session import with_database
from blogworker.db.pool import Database, Row
from blogworker.errors import BlogworkerError, SettingsError
from blogworker.section import load_section
from blogworker.settings import OpenAISettings, ReplicateSettings

From = Literal["source", "ideas", "content", "image"]
REFUSALS = {
    "running": "it is running: cancel it first",
    "waits": "it waits to run already: cancel it first",
    "done": "it is DONE",
    "published": "its post is up{post}",
    "shown": "its site may have a draft of it: without --from it goes on to publish that",
    "unknown": "there is no such blog, or not among those chosen",
    "held": "another transaction holds it: try again",
}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a retry would do."""

    rows: list[Row]  # of the blogs to retry
    refused: dict[int, str]  # blogs named by id, and why each is not retried
    left_out: int  # others that are not, because their site may show them
    usd: float | None  # None: a model has no price
    usd_at_most: float | None

    @property
    def to_pay(self) -> Counter[tuple[str, str]]:
        return _needs(self.rows)

    def summary(self) -> str:
        """One line: how many blogs, from which stages, at what cost."""
        firsts = Counter(row["first"] for row in self.rows)
        parts = [f"{firsts[stage]:,} anew from {stage}" for stage in get_args(From) if firsts[stage]]
        parts += [f"{firsts[None]:,} from the last checkpoint"] if firsts[None] else []
        if not self.to_pay:
            cost = "nothing has to be paid"
        elif self.usd_at_most is None or self.usd is None:
            cost = "what it costs is not known: a model has no price"
        else:
            cost = f"it costs {dollars(round(self.usd_at_most, 4))} at most, {dollars(round(self.usd, 4))} likely"
        return f"{_blogs(len(self.rows))} to retry ({', '.join(parts)}): {cost}"


def register(app: typer.Typer) -> None:
    app.command()(retry)


def retry(
    job_ids: list[int] = typer.Argument(None, min=1, max=BIGGEST_ID, help="Blogs to try again, FAILED or CANCELLED."),
    site: list[str] = typer.Option([], help="All FAILED ones of this site; may be given often."),
    kind: list[str] = typer.Option([], help="All whose last error is of this kind, for example Unavailable."),
    within: str | None = typer.Option(None, help="All that failed within this time: 30min, 12h, 7d."),
    everything: bool = typer.Option(False, "--all", help="All FAILED ones."),
    first: From | None = typer.Option(
        None,
        "--from",
        help="Make them anew from this stage on, and pay for that. No blog whose site may have its draft.",
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask, on a terminal, whether to spend the money."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """Put ended blogs back into the queue, with a full set of attempts: from their last checkpoint, or anew where their
    source_data or the settings of their site have changed. What it costs is said first."""
    if not (job_ids or site or kind or within or everything):
        raise SettingsError("which blogs? Give ids, --site, --kind, --within, or --all")
    chosen = {
        "job_ids": job_ids or None,
        "instance_ids": site or None,
        "kinds": kind or None,
        "younger_than_s": None if within is None else seconds(within),
        "retry_from": first,
    }
    outlook = with_database(lambda database: _look(database, chosen))
    if not as_json and outlook.rows:
        console().print(outlook.summary(), highlight=False)
        if outlook.to_pay and not yes and sys.stdin.isatty() and sys.stdout.isatty():
            typer.confirm("Go on?", abort=True)
    retried = with_database(lambda database: _put_back(database, outlook.rows, first)) if outlook.rows else []
    left = {row["job_id"] for row in outlook.rows}.difference(retried)
    refused = outlook.refused | dict.fromkeys(sorted(left), REFUSALS["held"])
    if as_json:
        emit_json(_machine(outlook, retried, refused))
    else:
        console().print(f"{_blogs(len(retried))} {'is' if len(retried) == 1 else 'are'} PENDING again", highlight=False)
    if outlook.left_out:
        complain(f"{_blogs(outlook.left_out)} left out: their posts are up, or their sites may have drafts of them")
    if refused:
        reasons = "; ".join(f"{job_id}: {reason}" for job_id, reason in sorted(refused.items()))
        raise BlogworkerError(f"not retried: {reasons}")


def _machine(outlook: Outlook, retried: Sequence[int], refused: dict[int, str]) -> dict[str, Any]:
    return {
        "retried": retried,
        "anew_from": {row["job_id"]: row["first"] for row in outlook.rows if row["first"] is not None},
        "to_pay": dict(sum((Counter({stage: n}) for (_, stage), n in outlook.to_pay.items()), Counter[str]())),
        "usd": outlook.usd,
        "usd_at_most": outlook.usd_at_most,
        "refused": [{"id": job_id, "reason": reason} for job_id, reason in sorted(refused.items())],
        "left_out": outlook.left_out,
    }


async def _look(database: Database, chosen: dict[str, Any]) -> Outlook:
    await require_sites(database, chosen["instance_ids"] or [])
    found = await database.rows("queue/retry_outlook", **chosen)
    rows = [row for row in found if row["refusal"] is None]
    refused = {row["job_id"]: _refusal(row) for row in found if row["refusal"] is not None}
    named = chosen["job_ids"] or []
    refused |= dict.fromkeys(set(named) - {row["job_id"] for row in found}, REFUSALS["unknown"])
    if chosen["kinds"] and not rows:
        await _tell_kinds(database, chosen["kinds"])
    usd, usd_at_most = await _cost(database, _needs(rows))
    return Outlook(rows, refused if named else {}, 0 if named else len(refused), usd, usd_at_most)


def _refusal(row: Row) -> str:
    return REFUSALS[row["refusal"]].format(post=f" ({row['post']})" if row["post"] else "")


def _needs(rows: Sequence[Row]) -> Counter[tuple[str, str]]:
    """Blogs by source type and paid stage."""
    return Counter((row["source_type"], stage) for row in rows for stage in row["to_pay"])


async def _cost(database: Database, needs: Counter[tuple[str, str]]) -> tuple[float | None, float | None]:
    """USD likely, and at most; None where a model has no price."""
    if not needs:
        return 0.0, 0.0
    from blogworker.stages.estimate import DAYS, LATEST, estimate_stages  # with the stages come the vendors' SDKs

    usage = await database.rows("stages/usage", days=DAYS, most=LATEST)
    openai, replicate = load_section(OpenAISettings), load_section(ReplicateSettings)
    found = estimate_stages(needs, usage, [], openai=openai, replicate=replicate)
    return found.usd, found.usd_at_most


async def _put_back(database: Database, rows: Sequence[Row], first: str | None) -> list[int]:
    """The ids of those that are PENDING again: none but those whose cost was told, and each once."""
    retried: list[int] = []
    for start in range(0, len(rows), BATCH):
        ids = [row["job_id"] for row in rows[start : start + BATCH]]
        found = await database.rows(
            "queue/retry",
            job_ids=ids, instance_ids=None, kinds=None, younger_than_s=None, retry_from=first, after_id=0, batch=BATCH,
        )  # fmt: skip
        retried.extend(row["job_id"] for row in found)
        await sleep(PAUSE_S)
    return retried


async def _tell_kinds(database: Database, wanted: Sequence[str]) -> None:
    """A kind that nothing ended with may be a slip."""
    kinds = [row["kind"] for row in await database.rows("ops/failed_kinds")]
    for kind in wanted:
        if kind not in kinds:
            existing = f"they are of {', '.join(kinds)}" if kinds else "none is FAILED"
            complain(f"no FAILED blog is of kind {kind}: {existing}")


def _blogs(number: int) -> str:
    return f"{number:,} blog{'' if number == 1 else 's'}"
