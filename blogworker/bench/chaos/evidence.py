"""What all who know have to say when the queue is empty, or should have been."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import errors

from blogworker.bench.chaos.logbook import Logbook
from blogworker.bench.chaos.poison import SITE as POISONED
from blogworker.bench.chaos.producers import SITE as INNOCENT
from blogworker.bench.chaos.producers import Ledger
from blogworker.bench.chaos.storm import Tally
from blogworker.bench.chaos.vendors import Vendors
from blogworker.db.pool import Database, Row

LOSSES = ("LeaseLost", "OutcomeUnknown", None)  # None: released, which leaves no error
OUR_QUOTA = "the fleet's quota"  # waiting for it leaves none either, but nothing had been asked of the vendor
MISFIT = "42"  # the class of the SQLSTATEs that say: this statement does not fit this database, or this role
WITNESSES = (
    *("bench/chaos_history", "bench/chaos_record", "bench/chaos_watch"),
    *("bench/chaos_answers", "bench/chaos_note_answer", "bench/chaos_watch_answers"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What those who struck and those who asked for blogs know."""

    ledger: Ledger
    tally: Tally
    exits: Counter[int]  # of workers, by code
    killed: int  # workers killed by us
    logbook: Logbook
    opening: Sequence[str] = ()  # topics that were there before the storm
    poisons: int = 0  # rows that the database accepted
    refused: Counter[str] = field(default_factory=Counter)  # the others, by SQLSTATE
    acts: Counter[str] = field(default_factory=Counter)  # of the crowd


@dataclass(frozen=True, slots=True)
class Evidence:
    """The report, and what the database and the vendors say."""

    report: Report
    blogs: Sequence[Row]  # the innocent sites' and the burst's
    poisoned: Sequence[Row]
    ends: Sequence[Row]  # attempts that did not finish their blog
    claims: Sequence[Row]
    lost_places: Sequence[str]  # innocent sites whose place in the line is no number
    spend: Row
    stats: dict[str, Any]
    posts: Sequence[dict[str, Any]]

    @property
    def paid(self) -> int:
        """Calls that the vendors finished and charged."""
        text = sum(model["calls"] for model in self.stats["openai"]["models"].values())
        return int(text + self.stats["replicate"]["predictions"])

    @property
    def stored(self) -> int:
        """Of them, those whose answer was stored."""
        return int(self.spend["stored"])

    @property
    def interrupted(self) -> list[Row]:
        """Attempts that were cut off, or lost an answer, in a stage whose paid answer was not stored yet."""
        return [
            end
            for end in self.ends
            if end["buying"] and end["kind"] in LOSSES and not (end["error"] or "").startswith(OUR_QUOTA)
        ]

    @property
    def innocent_ends(self) -> list[Row]:
        return [end for end in self.ends if not end["instance_id"].startswith(POISONED)]

    @property
    def innocent_claims(self) -> list[Row]:
        return [claim for claim in self.claims if claim["instance_id"].startswith(INNOCENT)]

    @property
    def incompatible_ends(self) -> list[Row]:
        """Attempts that ended because the database did not fit."""
        return [end for end in self.ends if _sqlstate(end["kind"]).startswith(MISFIT)]


async def watch(database: Database) -> None:
    """From now on the database writes a history of its own."""
    for statement in WITNESSES:
        await database.execute(statement)


async def gather(database: Database, vendors: Vendors, report: Report) -> Evidence:
    """Ask all who know."""
    blogs = await database.rows("bench/chaos_blogs")
    return Evidence(
        report=report,
        blogs=[blog for blog in blogs if not blog["poisoned"]],
        poisoned=[blog for blog in blogs if blog["poisoned"]],
        ends=await database.rows("bench/chaos_ends"),
        claims=await database.rows("bench/chaos_claims"),
        lost_places=[site["instance_id"] for site in await database.rows("bench/chaos_sites")],
        spend=await database.one("bench/chaos_spend"),
        stats=await vendors.stats(),
        posts=await vendors.posts(),
    )


def _sqlstate(kind: str | None) -> str:
    """The SQLSTATE of the psycopg error class with this name; empty for any other name."""
    return getattr(getattr(errors, kind or "", None), "sqlstate", None) or ""
