"""The one job that a preview makes, from the command line or a file."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from blogworker.errors import Fault, SettingsError
from blogworker.intake import Accepted, read
from blogworker.intake.read import STDIN
from blogworker.plurals import counted
from blogworker.queue.validation import NewJob, faults

NO_SITE = "preview"  # the cost is recorded under this name when no site is given
NOTES_MAX = 65_536  # bytes, the limit of source_data
NAMED = 8


def written_about(
    *, keyword: str | None, text: str | None, product: str | None, handle: str | None, row: int | None, site: str | None
) -> NewJob:
    """Return the job that the options name. Raises SettingsError."""
    if [keyword, text, product].count(None) != 2:
        raise SettingsError("say what to write about: one of --keyword, --text and --product")
    if product is None and (handle is not None or row is not None):
        raise SettingsError("--handle and --row choose from a file: use them with --product")
    if handle is not None and row is not None:
        raise SettingsError("give either --handle or --row, not both")
    if product is not None:
        return _chosen(product, handle=handle, row=row, site=site)
    subject = {"keyword": keyword} if text is None else {"text": _notes(text)}
    job = NewJob(site or NO_SITE, "keyword" if text is None else "text", None, subject)
    if wrong := faults(job):
        raise SettingsError("\n".join(wrong))
    return job


def _notes(file: str) -> str:
    try:
        with sys.stdin.buffer if file == STDIN else open(file, "rb") as stream:
            data = stream.read(NOTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > NOTES_MAX:
        raise SettingsError(f"{file} is larger than {NOTES_MAX:,} bytes: choose a text file with notes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8 at byte {error.start + 1}: save it as UTF-8") from error


def _chosen(file: str, *, handle: str | None, row: int | None, site: str | None) -> NewJob:
    bad: list[Fault] = []
    jobs = _jobs(file, site or NO_SITE, bad)
    if row is not None:
        found = next(islice(jobs, row - 1, None), None)
        problem = f"{file} has fewer than {counted(row, 'row')}"
    elif handle is not None:
        found, problem = _of_handle(file, jobs, handle)
    else:
        found, problem = _only(file, jobs)
    if found is None:
        raise SettingsError("\n".join([*(f"{file}:{fault.line}: {fault.reason}" for fault in bad[:NAMED]), problem]))
    return replace(found, instance_id=site) if site else found


def _jobs(file: str, site: str, bad: list[Fault]) -> Iterator[NewJob]:
    """Yield the good rows and append the faults of the bad ones to `bad`: they matter only if a bad row was chosen."""
    for found in read(Path(file) if file != STDIN else file, sites=[site], include_hidden=True):
        if isinstance(found, Accepted):
            yield found.job
        elif isinstance(found, Fault) and len(bad) < NAMED:
            bad.append(found)


def _of_handle(file: str, jobs: Iterator[NewJob], handle: str) -> tuple[NewJob | None, str]:
    known: list[str] = []
    for job in jobs:
        if job.source_id == handle:
            return job, ""
        known.append(_name(job))
    near = get_close_matches(handle, known, n=3) or known[:NAMED]
    advice = f": did you mean {', '.join(near)}{' ...' if len(known) > len(near) else ''}?" if near else ""
    return None, f"{file} has no row with the handle {handle!r}{advice}"


def _only(file: str, jobs: Iterator[NewJob]) -> tuple[NewJob | None, str]:
    first = list(islice(jobs, NAMED + 1))
    if len(first) == 1:
        return first[0], ""
    if not first:
        return None, f"{file} has no usable row"
    names = ", ".join(map(_name, first[:NAMED])) + (" ..." if len(first) > NAMED else "")
    raise SettingsError(f"{file} has several rows ({names}): choose one with --handle or --row")


def _name(job: NewJob) -> str:
    data = job.source_data
    return str(job.source_id or data.get("keyword") or data.get("name") or data.get("text") or "")[:60]
