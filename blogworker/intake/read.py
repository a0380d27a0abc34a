"""Open what a producer brought, find out its kind, and give its rows as blogs that the queue will take."""

import hashlib
import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from blogworker.errors import Fault, SettingsError
from blogworker.intake import jsonl, keywords, products
from blogworker.intake.lines import BOM, encoding_of, lines_of
from blogworker.intake.repeats import Repeats
from blogworker.intake.rows import Accepted, Draft, Drafted, Row
from blogworker.queue.newblog import IDEMPOTENCY_KEY_MAX, NewBlog, faults

Kind = Literal["auto", "jsonl", "keywords", "csv"]
KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
}
UNREADABLE = {  # kinds of files by their first bytes, with what to do
    b"PK\x03\x04": "a workbook or a ZIP archive: save the sheet as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV UTF-8",
    b"\x1f\x8b": "compressed: unpack it, or pipe it in with `gunzip -c`",
    b"%PDF": "a PDF: export the rows as CSV or JSONL",
    b"<!": "a page or XML: export the rows as CSV or JSONL",
    b"<?": "a page or XML: export the rows as CSV or JSONL",
    b"<html": "a page or XML: export the rows as CSV or JSONL",
}
MAYBE_KEYWORDS = ".txt"  # Excel saves tables as "Unicode text" with this suffix too
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
    """Each row of a file, of stdin (`-`) or of a stream. Raises SettingsError, at the first row, if there is none.

    A row that names no site goes to `instance_id`, or to the next of `sites`. `idempotent` gives each blog a key made
    of its product or keyword, so that a file read again adds nothing. `name` is what complaints call the source.
    `repeats` holds the keys of the files read before; `now` decides which products are published later.
    """
    repeats = repeats or Repeats()
    turns = cycle(sites or filter(None, [instance_id]))
    with _opened(source) as stream:
        name = name or _name_of(source)
        kind = _kind_of(stream.peek(), name, told=kind)
        if kind != "jsonl" and not (sites or instance_id):
            raise SettingsError(f"{name} does not say which site its blogs are for: pass --site")
        for row in _drafts(stream, kind=kind, include_hidden=include_hidden, now=now or _this_machine):
            if not isinstance(row, Draft):
                yield row
                continue
            fields = {"source_id": None, "source_data": {}, "priority": priority} | row.fields
            if "instance_id" not in fields:
                fields["instance_id"] = next(turns, "")
            blog = NewBlog(**fields)
            reasons = faults(blog)
            if not reasons and idempotent and blog.idempotency_key is None:
                blog = replace(blog, idempotency_key=_key(blog))
            if not reasons and (reason := repeats.contradiction(blog, name, row.line)):
                reasons = [reason]
            yield Fault(row.line, "; ".join(reasons)) if reasons else Accepted(row.line, blog)


def _name_of(source: str | Path | BinaryIO) -> str:
    return "stdin" if source == STDIN else str(getattr(source, "name", source))


def _this_machine() -> datetime:
    return datetime.now(UTC)


@contextmanager
def at_rest(source: str | Path) -> Iterator[Path]:
    """A regular file to read more than once with what `source` holds: of stdin or a pipe, a temporary copy."""
    if source != STDIN and Path(source).is_file():
        yield Path(source)
        return
    with _opened(source) as stream, tempfile.NamedTemporaryFile(suffix=Path(source).suffix) as copy:
        shutil.copyfileobj(stream, copy)
        copy.flush()
        yield Path(copy.name)


@contextmanager
def _opened(source: str | Path | BinaryIO) -> Iterator[io.BufferedReader]:
    if isinstance(source, (str, Path)) and source != STDIN:
        try:
            file = open(source, "rb")  # noqa: SIM115  closed below; only the opening is guarded
        except (OSError, ValueError) as error:
            raise SettingsError(f"{source} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        with file:
            yield file
        return
    stream = sys.stdin.buffer if isinstance(source, (str, Path)) else source
    if isinstance(stream, io.BufferedReader):
        yield stream
        return
    buffered: io.BufferedReader = io.BufferedReader(cast("Any", stream))
    try:
        yield buffered
    finally:
        buffered.detach()  # else closing ours would close the caller's


def _drafts(
    stream: io.BufferedReader, *, kind: Kind, include_hidden: bool, now: Callable[[], datetime]
) -> Iterator[Drafted]:
    with lines_of(stream) as lines:
        match kind:
            case "jsonl":
                yield from jsonl.drafts(lines)
            case "csv":
                yield from products.drafts(lines, include_hidden=include_hidden, now=now)
            case _:
                yield from keywords.drafts(lines)


def _kind_of(head: bytes, name: str, *, told: Kind) -> Kind:
    """As given, else by the file name, else by the content. Raises SettingsError for a file that cannot hold rows."""
    if not head:
        raise SettingsError(f"{name} is empty")
    if told != "auto":
        return told
    if what := next((what for mark, what in UNREADABLE.items() if head.startswith(mark)), None):
        raise SettingsError(f"{name} is {what}")
    suffix = Path(name).suffix.lower()
    if suffix in KINDS:
        return KINDS[suffix]
    text = head.decode(encoding_of(head), errors="replace").lstrip(BOM)
    if text.lstrip().startswith("{") and suffix != MAYBE_KEYWORDS:
        return "jsonl"
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    return "csv" if "\t" in first_line.strip() or products.looks_like_products(first_line) else "keywords"


def _key(blog: NewBlog) -> str:
    """`product:<handle>`, `keyword:<keyword>`, or a digest where that is too long or there is no such word."""
    data: dict[str, Any] = blog.source_data if isinstance(blog.source_data, dict) else {}
    word = {
        "product": blog.source_id or data.get("name"),
        "keyword": " ".join(str(data.get("keyword") or blog.source_id or "").split()).casefold(),
    }.get(str(blog.source_type))
    key = f"{blog.source_type}:{word}"
    if word and len(key) <= IDEMPOTENCY_KEY_MAX:
        return key
    digest = hashlib.sha256(repr(word or data).encode(errors="replace")).hexdigest()
    return f"{str(blog.source_type)[:20]}:sha256:{digest}"
