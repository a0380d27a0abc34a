"""The one blog that a preview is asked for, on the command line or in a file."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from blogworker.errors import Fault, SettingsError
from blogworker.intake import Accepted, read
from blogworker.intake.read import STDIN
from blogworker.queue.validation import NewJob, faults

NO_ROLE = "preview"  # whom the cost is counted to when no site is named
NOTES_MAX = 65_536  # bytes, as source_data may have
NAMED = 8


def written_about(
    *, keyword: str | None, text: str | None, product: str | None, handle: str | None, row: int | None, site: str | None
) -> NewJob:
    """Raises SettingsError, in a line for the person who asked."""
    if [keyword, text, product].count(None) != 2:
        raise SettingsError("say what to write about: one of --keyword, --text and --product")
    if product is None and (handle is not None or row is not None):
        raise SettingsError("--handle and --row choose from a file: use them with --product")
    if handle is not None and row is not None:
        raise SettingsError("give either --handle or --row, not both")
    if product is not None:
        return _chosen(product, handle=handle, row=row, site=site)
    subject = {"keyword": keyword} if text is None else {"text": _notes(text)}
    blog = NewJob(site or NO_ROLE, "keyword" if text is None else "text", None, subject)
    if wrong := faults(blog):
        raise SettingsError("\n".join(wrong))
    return blog


def _notes(file: str) -> str:
    try:
        with sys.stdin.buffer if file == STDIN else open(file, "rb") as stream:
            data = stream.read(NOTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > NOTES_MAX:
        raise SettingsError(f"{file} is larger than {NOTES_MAX:,} bytes: is it notes?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8 at byte {error.start + 1}: save it as UTF-8") from error


def _chosen(file: str, *, handle: str | None, row: int | None, site: str | None) -> NewJob:
    bad: list[Fault] = []
    blogs = _blogs(file, site or NO_ROLE, bad)
    if row is not None:
        found = next(islice(blogs, row - 1, None), None)
        trouble = f"{file} holds fewer than {row} blogs"
    elif handle is not None:
        found, trouble = _of_handle(file, blogs, handle)
    else:
        found, trouble = _only(file, blogs)
    if found is None:
        raise SettingsError("\n".join([*(f"{file}:{fault.line}: {fault.reason}" for fault in bad[:NAMED]), trouble]))
    return replace(found, instance_id=site) if site else found


def _blogs(file: str, site: str, bad: list[Fault]) -> Iterator[NewJob]:
    """The good rows; `bad` takes the others, which matter only to whoever asks for one of them."""
    for found in read(Path(file) if file != STDIN else file, sites=[site], include_hidden=True):
        if isinstance(found, Accepted):
            yield found.blog
        elif isinstance(found, Fault) and len(bad) < NAMED:
            bad.append(found)


def _of_handle(file: str, blogs: Iterator[NewJob], handle: str) -> tuple[NewJob | None, str]:
    known: list[str] = []
    for blog in blogs:
        if blog.source_id == handle:
            return blog, ""
        known.append(_name(blog))
    near = get_close_matches(handle, known, n=3) or known[:NAMED]
    advice = f": is it {', '.join(near)}{' ...' if len(known) > len(near) else ''}?" if near else ""
    return None, f"{file} holds no blog with the handle {handle!r}{advice}"


def _only(file: str, blogs: Iterator[NewJob]) -> tuple[NewJob | None, str]:
    first = list(islice(blogs, NAMED + 1))
    if len(first) == 1:
        return first[0], ""
    if not first:
        return None, f"{file} holds no blog"
    names = ", ".join(map(_name, first[:NAMED])) + (" ..." if len(first) > NAMED else "")
    raise SettingsError(f"{file} holds several blogs ({names}): choose one with --handle or --row")


def _name(blog: NewJob) -> str:
    data = blog.source_data
    return str(blog.source_id or data.get("keyword") or data.get("name") or data.get("text") or "")[:60]
