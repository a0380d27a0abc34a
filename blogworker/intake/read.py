"""Open what a producer brought, find out its kind, and give its rows as blogs that the queue will take."""

import hashlib
import io
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from blogworker.errors import Fault, SettingsError
from blogworker.intake import jsonl, keywords, products
from blogworker.intake.lines import BOM, numbered
from blogworker.intake.rows import Accepted, Draft, Drafted, Row
from blogworker.queue.newblog import IDEMPOTENCY_KEY_MAX, NewBlog, faults

Kind = Literal["auto", "jsonl", "keywords", "csv"]
KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "keywords",
}
STDIN = "-"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read(
    source: str | Path | BinaryIO,
    *,
    name: str | None = None,
    kind: Kind = "auto",
    instance_id: str | None = None,
    sites: Sequence[str] | None = None,
    priority: int = 0,
    idempotent: bool = False,
    published_only: bool = False,
) -> Generator[Row, None, None]:
    """Each row of a file, of stdin (`-`) or of a stream. Raises SettingsError, at the first row, if there is none.

    A row that names no site goes to `instance_id`, or to the next of `sites`. `idempotent` gives each blog a key made
    of its product or keyword, so that a file read again adds nothing. `name` is what complaints call the source.
    """
    takers = cycle(sites or [instance_id or ""]) if sites or instance_id else None
    with _opened(source) as stream:
        name = name or ("stdin" if source == STDIN else str(getattr(source, "name", source)))
        for row in _drafts(stream, name, kind=kind, needs_site=takers is None, published_only=published_only):
            if not isinstance(row, Draft):
                yield row
                continue
            fields = {"source_id": None, "source_data": {}, "priority": priority} | row.fields
            if "instance_id" not in fields:
                fields["instance_id"] = "" if takers is None else next(takers)
            blog = NewBlog(**fields)
            if idempotent and "idempotency_key" not in fields:
                blog = NewBlog(**fields, idempotency_key=_key(blog))
            reasons = faults(blog)
            yield Fault(row.line, "; ".join(reasons)) if reasons else Accepted(row.line, blog)


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
    stream: io.BufferedReader, name: str, *, kind: Kind, needs_site: bool, published_only: bool
) -> Iterator[Drafted]:
    head = stream.peek()
    if not head:
        raise SettingsError(f"{name} is empty")
    if head.startswith(UTF16):
        raise SettingsError(f"{name} is UTF-16: save it as UTF-8")
    if kind == "auto":
        kind = KINDS.get(Path(name).suffix.lower()) or _kind_of(head.removeprefix(BOM).decode(errors="replace"))
    if kind == "jsonl":
        return jsonl.drafts(numbered(stream))
    if needs_site:
        raise SettingsError(f"{name} does not say for which site its blogs are: name one")
    return (
        keywords.drafts(numbered(stream))
        if kind == "keywords"
        else products.drafts(stream, published_only=published_only)
    )


def _kind_of(head: str) -> Kind:
    if head.lstrip().startswith("{"):
        return "jsonl"
    first_line = next((line for line in head.splitlines() if line.strip()), "")
    return "csv" if products.looks_like_products(first_line) else "keywords"


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
