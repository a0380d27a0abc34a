"""The numbered lines of a byte stream: UTF-8, UTF-16 (Excel's "Unicode text") or Windows-1252 (Excel's "CSV").

A byte order mark is optional. Lines end in LF, CRLF or CR, also mixed.
"""

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

from blogworker.errors import Fault
from blogworker.intake.legacy import CODE_PAGE, is_western
from blogworker.intake.legacy import SAMPLE as LEGACY_SAMPLE

LINE_MAX = 1 << 20  # characters kept at once; a row with 64 KiB of data is shorter in every escaping
BOM = "\ufeff"
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE = 400  # bytes checked for the NULs of UTF-16 without a mark
UNDECODED = re.compile("[\udc80-\udcff]")  # bytes kept by surrogateescape
REPLACED = "\ufffd"


class Lines:
    """The physical lines, with their line ends. A line longer than LINE_MAX is yielded in pieces, never kept whole."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.number = 0  # of the last yielded line, from 1
        self.is_cut = False  # whether that line continues
        self.has_end = True  # whether it has a line end; only the last line of a file may have none
        self.encoding = text.encoding.upper()
        self._text = text
        self._kept = ""  # read, but not yielded yet

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = self._kept + self._text.readline(LINE_MAX - len(self._kept))
        self._kept = ""
        if not piece:
            raise StopIteration
        if not self.is_cut:
            self.number += 1
            piece = piece.lstrip(BOM)  # concatenated files have marks in the middle
        self.has_end = piece.endswith(("\n", "\r"))
        self.is_cut = len(piece) >= LINE_MAX and not self.has_end
        return self._cut_safely(piece) if len(piece) >= LINE_MAX else piece

    def _cut_safely(self, piece: str) -> str:
        """Return the piece, cut neither between CR and LF nor between two quotes of a CSV cell."""
        if piece.endswith("\r"):
            self._kept = self._text.readline(1)
            if self._kept == "\n":
                piece, self._kept = piece + "\n", ""
            return piece
        bare = piece.rstrip('"') if self.is_cut else ""
        if bare:
            self._kept = piece[len(bare) :]
        return bare or piece

    def skip_rest(self) -> None:
        """Skip the rest of a line that was yielded in part."""
        while self.is_cut and next(self, None) is not None:
            pass

    def unreadable(self, text: str) -> str | None:
        """Return the position of the first byte or character of the text that could not be decoded, or None."""
        if self._text.errors != "surrogateescape":
            return f"character {text.index(REPLACED) + 1}" if REPLACED in text else None
        if (found := UNDECODED.search(text)) is None:
            return None
        return f"byte {len(text[: found.start()].encode(errors='surrogateescape')) + 1}"


@contextmanager
def lines_of(stream: io.BufferedReader, *, is_unicode: bool = False) -> Iterator[Lines]:
    """Open the lines of a stream, which stays open. `is_unicode`: the format allows no other encoding."""
    encoding = encoding_of(stream.peek())
    if encoding == "utf-8" and not is_unicode and is_western(_beginning(stream)):
        encoding = CODE_PAGE
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    text = io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")
    try:
        yield Lines(text)
    finally:
        text.detach()


def _beginning(stream: io.BufferedReader) -> bytes:
    if not stream.seekable():
        return stream.peek()
    start = stream.tell()
    sample = stream.read(LEGACY_SAMPLE)
    stream.seek(start)
    return sample


def encoding_of(head: bytes) -> str:
    """Return the encoding, by the byte order mark or by the NULs that UTF-16 has beside Latin letters."""
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    even, odd = head[:SAMPLE:2], head[1:SAMPLE:2]
    nul_even, nul_odd = even.count(0), odd.count(0)
    if 2 * nul_odd > len(odd) and not nul_even:
        return "utf-16-le"
    return "utf-16-be" if 2 * nul_even > len(even) and not nul_odd else "utf-8"


def numbered(lines: Lines) -> Iterator[tuple[int, str] | Fault]:
    """Yield each line with its number, without its line end, or the fault of a line that cannot be read."""
    for line in lines:
        number = lines.number
        if lines.is_cut:
            lines.skip_rest()
            yield Fault(number, f"the line is longer than {LINE_MAX:,} characters: is one row on one line?")
        elif place := lines.unreadable(line):
            yield Fault(number, f"{place} is not {lines.encoding}: save the file as UTF-8")
        else:
            yield number, line.rstrip("\r\n")
