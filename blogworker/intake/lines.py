"""The lines of a byte stream, numbered, whatever is in them: UTF-8, or UTF-16 as Excel saves its Unicode text, with a
byte order mark or without; lines that end in LF, CRLF, CR, or one in this way and one in that."""

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

from blogworker.errors import Fault

LINE_MAX = 1 << 20  # characters held at once; a row may hold 64 KiB of data, which is less however it is escaped
BOM = "\ufeff"
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE = 400  # bytes that show whether each second one is NUL, as in UTF-16 without a mark
UNDECODED = re.compile("[\udc80-\udcff]")  # bytes that surrogateescape kept
REPLACED = "\ufffd"


class Lines:
    """The physical lines, with their ends. A line longer than LINE_MAX comes in pieces and is never held whole."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.number = 0  # of the line last given, from 1
        self.is_cut = False  # whether there is more of that line
        self.encoding = text.encoding.upper()
        self._text = text
        self._kept = ""  # read, and not given yet

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = self._kept + self._text.readline(LINE_MAX - len(self._kept))
        self._kept = ""
        if not piece:
            raise StopIteration
        if not self.is_cut:
            self.number += 1
            piece = piece.lstrip(BOM)  # files that were joined have marks within
        self.is_cut = len(piece) >= LINE_MAX and not piece.endswith(("\n", "\r"))
        return self._between(piece) if len(piece) >= LINE_MAX else piece

    def _between(self, piece: str) -> str:
        """The piece without what must not be parted: CR from LF, and a quote of a CSV cell from the next one."""
        if piece.endswith("\r"):
            self._kept = self._text.readline(1)
            if self._kept == "\n":
                piece, self._kept = piece + "\n", ""
            return piece
        bare = piece.rstrip('"') if self.is_cut else ""
        if bare:
            self._kept = piece[len(bare) :]
        return bare or piece

    def pass_over_rest(self) -> None:
        while self.is_cut and next(self, None) is not None:
            pass

    def unreadable(self, text: str) -> str | None:
        """The first part of a text of this file that could not be decoded."""
        if self._text.errors != "surrogateescape":
            return f"character {text.index(REPLACED) + 1}" if REPLACED in text else None
        if (found := UNDECODED.search(text)) is None:
            return None
        return f"byte {len(text[: found.start()].encode(errors='surrogateescape')) + 1}"


@contextmanager
def lines_of(stream: io.BufferedReader) -> Iterator[Lines]:
    """The stream stays open."""
    encoding = encoding_of(stream.peek())
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    text = io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")
    try:
        yield Lines(text)
    finally:
        text.detach()


def encoding_of(head: bytes) -> str:
    """By its byte order mark, or by the NULs that UTF-16 has beside each Latin letter, delimiter and line end."""
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    even, odd = head[:SAMPLE:2], head[1:SAMPLE:2]
    nul_even, nul_odd = even.count(0), odd.count(0)
    if 2 * nul_odd > len(odd) and not nul_even:
        return "utf-16-le"
    return "utf-16-be" if 2 * nul_even > len(even) and not nul_odd else "utf-8"


def numbered(lines: Lines) -> Iterator[tuple[int, str] | Fault]:
    """Each line from 1 without its end, or why it cannot be read."""
    for line in lines:
        number = lines.number
        if lines.is_cut:
            lines.pass_over_rest()
            yield Fault(number, f"the line is longer than {LINE_MAX:,} characters: is one row on one line?")
        elif place := lines.unreadable(line):
            yield Fault(number, f"{place} is not {lines.encoding}: save the file as UTF-8")
        else:
            yield number, line.rstrip("\r\n")
