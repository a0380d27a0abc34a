"""The lines of a byte stream, numbered, whatever is in them."""

from collections.abc import Iterator
from typing import BinaryIO

from blogworker.errors import Fault

LINE_MAX = 1 << 20  # bytes; a row may hold 64 KiB of data, which is less than this however it is escaped
BOM = b"\xef\xbb\xbf"


def numbered(stream: BinaryIO) -> Iterator[tuple[int, str] | Fault]:
    """Each line from 1 without its end, or why it cannot be read. A longer line than LINE_MAX is never held whole."""
    number = 0
    while line := stream.readline(LINE_MAX):
        number += 1
        if len(line) == LINE_MAX and not line.endswith(b"\n"):
            _pass_over_rest(stream)
            yield Fault(number, f"the line is longer than {LINE_MAX:,} bytes: is one row on one line?")
            continue
        try:
            yield number, line.removeprefix(BOM if number == 1 else b"").decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield Fault(number, f"byte {error.start + 1} is not UTF-8: save the file as UTF-8")


def _pass_over_rest(stream: BinaryIO) -> None:
    while (rest := stream.readline(LINE_MAX)) and not rest.endswith(b"\n"):
        pass
