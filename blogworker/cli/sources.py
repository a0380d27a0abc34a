"""The files of `enqueue`: read once to check them, and again to enqueue the good rows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from blogworker.cli.output import complain
from blogworker.cli.session import with_database
from blogworker.errors import DatabaseNotReady, Fault, InvalidInput, SettingsError
from blogworker.intake import Accepted, Kind, Repeats, Skipped, read
from blogworker.ops.jobs import database_time
from blogworker.plurals import counted
from blogworker.queue.validation import NewJob, PublishMode
from blogworker.settings import has_database

FAULTS_KEPT = 1000  # per file; all are counted
# Kinds of skipped rows with their text. Every other kind is a product that is not visible in its shop.
COUNTED = {
    "repeated": "skipped: {}, repeated in the files",
    "error": "skipped: {} with an error of a spreadsheet",
    "variant": "skipped: {} of variants",
    "store_view": "skipped: {} of store views",
}


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
    withdrawn: set[int] = field(default_factory=set)  # lines of rows that a later row has shown to be bad

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
            if not isinstance(row, Accepted):
                yield row
            elif row.line not in self.withdrawn:
                yield replace(row, job=self._timed(row.job))

    def _timed(self, job: NewJob) -> NewJob:
        return replace(
            job,
            run_at=job.run_at or self.run_at,
            publish_at=job.publish_at or self.publish_at,
            publish_mode=job.publish_mode or self.mode,
        )


@dataclass(slots=True)
class Checked:
    """What the first pass over the files found."""

    counts: Counter[str] = field(default_factory=Counter)  # jobs per site
    skipped: Counter[str] = field(default_factory=Counter)  # rows per kind
    bad: int = 0

    @property
    def jobs(self) -> int:
        return self.counts.total()

    def skipped_lines(self) -> list[str]:
        """Return one line per kind of good rows that were skipped."""
        lines = [
            text.format(counted(self.skipped[kind], "row")) for kind, text in COUNTED.items() if self.skipped[kind]
        ]
        hidden = {kind: count for kind, count in sorted(self.skipped.items()) if kind not in COUNTED}
        if hidden:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in hidden.items())
            total = counted(sum(hidden.values()), "product")
            lines.append(f"skipped: {total} not visible in the shop: {kinds} (--include-hidden enqueues them)")
        return lines


def check(sources: Sequence[Source], *, skip_bad: bool) -> Checked:
    """Read the files a first time: count good rows and report bad ones. Raises InvalidInput unless `skip_bad`."""
    found, repeats = Checked(), Repeats()
    for source in sources:
        _check(source, found, repeats, skip_bad=skip_bad)
    if any(source.withdrawn for source in sources):
        found.counts = Counter(job.instance_id for job in _good(sources))
    return found


def jobs(sources: Sequence[Source], found: Checked) -> Iterator[NewJob]:
    """Read the files again and yield the jobs. Raises SettingsError at the end if a file has changed."""
    seen: Counter[str] = Counter()
    for job in _good(sources):
        seen[job.instance_id] += 1
        yield job
    if seen != found.counts:
        raise SettingsError("a file changed while it was read, so nothing was enqueued: try again")


def _good(sources: Sequence[Source]) -> Iterator[NewJob]:
    repeats = Repeats()
    for source in sources:
        for row in source.rows(repeats):
            if isinstance(row, Accepted):
                yield row.job


def _check(source: Source, found: Checked, repeats: Repeats, *, skip_bad: bool) -> None:
    faults: list[Fault] = []
    more = 0
    for row in source.rows(repeats):
        if isinstance(row, Fault) and row.earlier is not None:
            source.withdrawn.add(row.earlier)
        match row:
            case Accepted(job=job):
                found.counts[job.instance_id] += 1
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
    """Return the time of the database; of this machine if there is no database, because then only `--dry-run` works."""
    try:
        return with_database(database_time) if has_database() else datetime.now(UTC)
    except DatabaseNotReady:
        return datetime.now(UTC)
