"""The files given to `enqueue`: read once to check them, and again to enqueue the good rows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from blogworker.cli.output import complain
from blogworker.cli.session import with_database
from blogworker.db.pool import Database
from blogworker.errors import DatabaseUnready, Fault, InvalidInput, SettingsError
from blogworker.intake import Accepted, Kind, Repeats, Skipped, read
from blogworker.queue.validation import NewJob, PublishMode
from blogworker.settings import has_database

FAULTS_KEPT = 1000  # per file; all are counted
# Kinds of skipped rows with their text; every other kind is a product that shoppers cannot see.
COUNTED = {"repeated": "{:,} repeated in the files", "variant": "{:,} rows of variants"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file and how to read it, the same way in both passes."""

    path: Path
    name: str  # as given on the command line
    kind: Kind
    sites: tuple[str, ...]
    priority: int
    repeatable: bool
    include_hidden: bool
    run_at: datetime | None
    publish_at: datetime | None
    mode: PublishMode | None

    def rows(self, repeats: Repeats) -> Iterator[Accepted | Skipped | Fault]:
        for row in read(
            self.path,
            name=self.name,
            kind=self.kind,
            sites=self.sites or None,
            priority=self.priority,
            idempotent=not self.repeatable,
            include_hidden=self.include_hidden,
            repeats=repeats,
            now=_now,
        ):
            yield replace(row, blog=self._timed(row.blog)) if isinstance(row, Accepted) else row

    def _timed(self, blog: NewJob) -> NewJob:
        return replace(
            blog,
            run_at=blog.run_at or self.run_at,
            publish_at=blog.publish_at or self.publish_at,
            publish_mode=blog.publish_mode or self.mode,
        )


@dataclass(slots=True)
class Checked:
    """What the first pass over the files found."""

    counts: Counter[str] = field(default_factory=Counter)  # blogs per site
    skipped: Counter[str] = field(default_factory=Counter)  # rows per kind
    bad: int = 0

    @property
    def blogs(self) -> int:
        return self.counts.total()

    def told(self) -> list[str]:
        """A line for each kind of good rows that were skipped."""
        lines = [words.format(self.skipped[kind]) for kind, words in COUNTED.items() if self.skipped[kind]]
        hidden = {kind: count for kind, count in sorted(self.skipped.items()) if kind not in COUNTED}
        if hidden:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in hidden.items())
            total = f"{sum(hidden.values()):,} not visible in the shop and skipped"
            lines.append(f"{total}: {kinds} (--include-hidden enqueues them)")
        return lines


def check(sources: Sequence[Source], *, skip_bad: bool) -> Checked:
    """The first pass: count good rows and report bad ones. Raises InvalidInput, unless bad rows are skipped."""
    found, repeats = Checked(), Repeats()
    for source in sources:
        _check(source, found, repeats, skip_bad=skip_bad)
    return found


def blogs(sources: Sequence[Source], found: Checked) -> Iterator[NewJob]:
    """The second pass. Raises SettingsError at its end if it differs from the first."""
    seen: Counter[str] = Counter()
    repeats = Repeats()
    for source in sources:
        for row in source.rows(repeats):
            if isinstance(row, Accepted):
                seen[row.blog.instance_id] += 1
                yield row.blog
    if seen != found.counts:
        raise SettingsError("a file changed while it was read, so nothing was enqueued: try again")


def _check(source: Source, found: Checked, repeats: Repeats, *, skip_bad: bool) -> None:
    faults: list[Fault] = []
    more = 0
    for row in source.rows(repeats):
        match row:
            case Accepted(blog=blog):
                found.counts[blog.instance_id] += 1
            case Skipped(kind=kind):
                found.skipped[kind] += 1
            case Fault() if len(faults) < FAULTS_KEPT:
                faults.append(row)
            case Fault():
                more += 1
    found.bad += len(faults) + more
    if faults and not skip_bad:
        raise InvalidInput(source.name, faults, more=more)
    for fault in faults:
        complain(f"{source.name}:{fault.line}: {fault.reason} (skipped)")
    if more:
        complain(f"{source.name}: ... and {more:,} more (skipped)")


@cache
def _now() -> datetime:
    """The database's time; this machine's if there is no database, as then only `--dry-run` can follow."""

    async def act(database: Database) -> datetime:
        time: datetime = (await database.one("db/clock"))["now"]
        return time

    try:
        return with_database(act) if has_database() else datetime.now(UTC)
    except DatabaseUnready:
        return datetime.now(UTC)
