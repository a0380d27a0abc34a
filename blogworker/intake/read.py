"""Open a file of a producer, detect its kind, and yield its rows as jobs that the queue accepts."""

import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from blogworker.errors import Fault, SettingsError
from blogworker.intake import jsonl, keywords, products
from blogworker.intake.identity import key_of, site_of
from blogworker.intake.lines import BOM, encoding_of, lines_of
from blogworker.intake.repeats import Repeats
from blogworker.intake.rows import Accepted, Draft, Drafted, Row
from blogworker.intake.table import SEPARATOR_LINE
from blogworker.queue.validation import NewJob, faults

Kind = Literal["auto", "jsonl", "keywords", "csv"]
KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
}
_ARCHIVE = "a workbook or an archive: save the sheet as CSV UTF-8"
_PACKED = "compressed: unpack it, or pipe it in, for example with `gunzip -c`"
_PAGE = "a page or XML: export the rows as CSV or JSONL"
_PICTURE = "a picture: export the rows as CSV or JSONL"
UNREADABLE = {  # kinds of files by their first bytes, with what to do
    **dict.fromkeys((b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf", b"Rar!\x1a"), _ARCHIVE),
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV UTF-8",
    **dict.fromkeys((b"\x1f\x8b", b"BZh9", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"), _PACKED),
    **dict.fromkeys((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"), _PICTURE),
    b"%PDF": "a PDF: export the rows as CSV or JSONL",
}
MARKUP = {  # by the beginning of the text, in lower case
    **dict.fromkeys(("<!", "<?", "<html", "<head", "<meta", "<body", "<table", "<div", "<rss"), _PAGE),
    "{\\rtf": "a formatted text: save it as plain text in UTF-8",
}
MAYBE_KEYWORDS = ".txt"  # Excel saves tables as "Unicode text" with this suffix too
FIRST_LINES = 20  # that show whether a text is a table
STDIN = "-"


def read(
    source: str | Path | BinaryIO,
    *,
    name: str | None = None,
    kind: Kind = "auto",
    instance_id: str | None = None,
    sites: Sequence[str] | None = None,
    priority: int = 0,
    idempotent: bool = False,
    include_hidden: bool = False,
    repeats: Repeats | None = None,
    now: Callable[[], datetime] | None = None,
) -> Generator[Row, None, None]:
    """Yield each row of a file, of stdin (`-`) or of a stream. Raises SettingsError at the first row if it is unusable.

    A row without a site goes to `instance_id`, or to that of `sites` that `site_of` chooses. `idempotent` gives each
    job a key made of its product or keyword, so that the same file adds nothing a second time. `name` names the source
    in messages. `repeats` has the keys of the files read before. Products published after `now` are skipped.
    """
    repeats = repeats or Repeats()
    sites = sites or ([instance_id] if instance_id else [])
    name = name or _name_of(source)
    with _opened(source, name) as stream:
        kind = _kind_of(stream.peek(), name, given=kind)
        if kind != "jsonl" and not sites:
            raise SettingsError(f"{name} does not name a site: pass --site")
        for row in _drafts(stream, kind=kind, include_hidden=include_hidden, now=now or _this_machine):
            if not isinstance(row, Draft):
                yield row
                continue
            fields = {"instance_id": "", "source_id": None, "source_data": {}, "priority": priority} | row.fields
            job = NewJob(**fields)
            if "instance_id" not in row.fields:
                job = replace(job, instance_id=site_of(job, sites))
            reasons = faults(job)
            if not reasons and idempotent and job.idempotency_key is None:
                job = replace(job, idempotency_key=key_of(job))
            if reasons:
                yield Fault(row.line, "; ".join(reasons))
            else:
                yield repeats.of(job, name, row.line) or Accepted(row.line, job)


def _name_of(source: str | Path | BinaryIO) -> str:
    return "stdin" if source == STDIN else str(getattr(source, "name", source))


def _this_machine() -> datetime:
    return datetime.now(UTC)


@contextmanager
def at_rest(source: str | Path) -> Iterator[Path]:
    """Return a regular file that can be read several times: the source, or a temporary copy of stdin or a pipe."""
    if source != STDIN and Path(source).is_file():
        yield Path(source)
        return
    try:
        with ExitStack() as stack:
            copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=Path(source).suffix))
            with _opened(source, _name_of(source)) as stream:
                shutil.copyfileobj(stream, copy)
            copy.flush()
            kept = stack.pop_all()
    except OSError as error:
        raise SettingsError(f"{_name_of(source)} cannot be copied: {error.strerror or error}") from error
    with kept:
        yield Path(copy.name)


@contextmanager
def _opened(source: str | Path | BinaryIO, name: str) -> Iterator[io.BufferedReader]:
    """Open the source. Raises SettingsError if it cannot be opened or read to its end."""
    try:
        with ExitStack() as stack:
            if isinstance(source, (str, Path)) and source != STDIN:
                yield stack.enter_context(_open(source))
                return
            stream = sys.stdin.buffer if isinstance(source, (str, Path)) else source
            if isinstance(stream, io.BufferedReader):
                yield stream
                return
            buffered: io.BufferedReader = io.BufferedReader(cast("Any", stream))
            stack.callback(buffered.detach)  # else closing this reader would close the caller's stream
            yield buffered
    except OSError as error:
        raise SettingsError(f"{name} cannot be read: {error.strerror or error}") from error


def _open(path: str | Path) -> io.BufferedReader:
    try:
        return open(path, "rb")
    except ValueError as error:  # a NUL in its name
        raise SettingsError(f"{path} cannot be read: {error}") from error


def _drafts(
    stream: io.BufferedReader, *, kind: Kind, include_hidden: bool, now: Callable[[], datetime]
) -> Iterator[Drafted]:
    with lines_of(stream, is_unicode=kind == "jsonl") as lines:
        match kind:
            case "jsonl":
                yield from jsonl.drafts(lines, include_hidden=include_hidden, now=now)
            case "csv":
                yield from products.drafts(lines, include_hidden=include_hidden, now=now)
            case _:
                yield from keywords.drafts(lines)


def _kind_of(head: bytes, name: str, *, given: Kind) -> Kind:
    """Return the kind: given, by the file name, or by the content. Raises SettingsError for a file without rows."""
    if not head:
        raise SettingsError(f"{name} is empty")
    if given != "auto":
        return given
    text = head.decode(encoding_of(head), errors="replace").lstrip(BOM)
    begins = text.lstrip()[:9].lower()
    unreadable = [what for mark, what in UNREADABLE.items() if head.startswith(mark)]
    unreadable += [what for mark, what in MARKUP.items() if begins.startswith(mark)]
    if unreadable:
        raise SettingsError(f"{name} is {unreadable[0]}")
    suffix = Path(name).suffix.lower()
    if suffix in KINDS:
        return KINDS[suffix]
    if text.lstrip().startswith(("{", "[{")) and suffix != MAYBE_KEYWORDS:
        return "jsonl"
    return _kind_of_text(text, name)


def _kind_of_text(text: str, name: str) -> Kind:
    lines = [line for line in text.splitlines() if line.strip()][:FIRST_LINES]
    header = next((line for line in lines if not SEPARATOR_LINE.fullmatch(line)), "")
    if "\t" in header.strip() or products.looks_like_products(header):
        return "csv"
    if reason := keywords.why_no_list([line for line in lines if not line.startswith("#")]):
        raise SettingsError(f"{name} {reason}")
    return "keywords"
