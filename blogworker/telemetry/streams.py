"""Standard output and standard error that never fail.

Standard output may be closed, on a full disk, a pipe whose reader has exited, or ASCII only. Neither a command nor a
worker with paid work in progress must stop because of that. Output that cannot be written is dropped; the first failure
is reported on standard error and in the exit code.

All text is made printable when it is written. Only callers whose text is already printable and has colours write to
`trusted`.
"""

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO, cast

from blogworker.printable import printable_lines

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STANDARD = (0, 1, 2)


class _Drain(io.FileIO):
    """Writes what it can; never raises."""

    def __init__(self, descriptor: int, on_failure: Callable[[OSError], None]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.on_failure = on_failure
        self.failure: OSError | None = None  # the first

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])  # another program made the terminal non-blocking
        except OSError as error:
            if self.failure is None:
                self.failure = error
                self.on_failure(error)
            return memoryview(data).nbytes
        return written


class Stream(io.TextIOWrapper):
    """A text stream that makes everything printable."""

    def __init__(self, drain: _Drain, *, encoding: str, by_line: bool) -> None:
        buffer = io.BufferedWriter(drain)
        ascii_only = codecs.lookup(encoding).name == "ascii"
        # Typer bypasses an ASCII stream and writes UTF-8. So this stream reports UTF-8; its text is ASCII anyway.
        super().__init__(buffer, "utf-8" if ascii_only else encoding, line_buffering=by_line, write_through=True)
        self.drain = drain
        self.trusted = io.TextIOWrapper(
            buffer, encoding, "backslashreplace", line_buffering=by_line, write_through=True
        )

    @property
    def is_incomplete(self) -> bool:
        """Whether output was lost. Not if the reader of a pipe has exited, because then nobody wants it."""
        return self.drain.failure is not None and self.drain.failure.errno != errno.EPIPE

    def write(self, text: str, /) -> int:
        super().write(printable_lines(text, encoding=self.trusted.encoding))
        return len(text)


def replace_standard_streams() -> Stream:
    """Replace sys.stdout and sys.stderr, and return the new stdout, which knows whether output was lost."""
    _open_standard_descriptors()
    if cast("TextIO | None", sys.stdin) is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process lives
    given_out, given_err = cast("TextIO | None", sys.stdout), cast("TextIO | None", sys.stderr)
    for given in (given_out, given_err):
        if given is not None:
            given.flush()
    out = Stream(_Drain(1, _report_unless_pipe_closed), encoding=_encoding(given_out), by_line=os.isatty(1))
    sys.stderr = Stream(_Drain(2, lambda _: None), encoding=_encoding(given_err), by_line=True)
    sys.stdout = out
    return out


def report_closed_pipes(stream: TextIO) -> None:
    """Also report a pipe whose reader exits: a worker runs for days, unlike `list | head -1`."""
    if isinstance(stream, Stream):
        stream.drain.on_failure = _report


def trusted(stream: TextIO) -> TextIO:
    """Return the stream for text that is already printable and may contain colours."""
    return stream.trusted if isinstance(stream, Stream) else stream


def encoding_of(stream: TextIO) -> str:
    """Return the encoding of the output."""
    return trusted(stream).encoding or "utf-8"


def coloured(stream: TextIO) -> bool:
    """Whether to write colours: never with NO_COLOR, always with FORCE_COLOR, otherwise on terminals only."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _open_standard_descriptors() -> None:
    """Open closed standard descriptors. Otherwise the next file or connection gets one and receives the output.

    They are opened read-only, so that each write fails as on a closed one.
    """
    while (taken := os.open(os.devnull, os.O_RDONLY)) in STANDARD:
        os.set_inheritable(taken, True)  # noqa: FBT003 - its signature
    os.close(taken)


def _encoding(given: TextIO | None) -> str:
    return (given and given.encoding) or "utf-8"


def _report_unless_pipe_closed(error: OSError) -> None:
    if error.errno != errno.EPIPE:  # the reader has read enough, as in `| head -1`
        _report(error)


def _report(error: OSError) -> None:
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror
    sys.stderr.write(f"blogworker: standard output cannot be written: {reason}. The command continues without it\n")
