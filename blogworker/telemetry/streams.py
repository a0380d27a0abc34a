"""Standard output and standard error, whatever they lead to.

A command may be started with its output closed, on a full disk, into a pipe whose reader leaves, or where only ASCII is
spoken. None of that changes what the command does: it would stop half way, or end a worker with paid work in progress.
What cannot be written is dropped, the first failure is told once on standard error, and the exit code tells it as well.

All text is made printable on its way out. Only who has done so already and adds colours writes to `trusted`.
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
    """Writes what can be written; never raises."""

    def __init__(self, descriptor: int, on_failure: Callable[[OSError], None]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.on_failure = on_failure
        self.failure: OSError | None = None  # the first

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])  # someone else made the terminal non-blocking
        except OSError as error:
            if self.failure is None:
                self.failure = error
                self.on_failure(error)
            return memoryview(data).nbytes
        return written


class Stream(io.TextIOWrapper):
    """Text that is made printable."""

    def __init__(self, drain: _Drain, *, encoding: str, by_line: bool) -> None:
        buffer = io.BufferedWriter(drain)
        ascii_only = codecs.lookup(encoding).name == "ascii"
        # Typer takes an ASCII stream for a mistake and writes UTF-8 past it: what is written here is ASCII already.
        super().__init__(buffer, "utf-8" if ascii_only else encoding, line_buffering=by_line, write_through=True)
        self.drain = drain
        self.trusted = io.TextIOWrapper(
            buffer, encoding, "backslashreplace", line_buffering=by_line, write_through=True
        )

    @property
    def is_incomplete(self) -> bool:
        """Whether somebody misses what could not be written: not the reader of a pipe, who has left."""
        return self.drain.failure is not None and self.drain.failure.errno != errno.EPIPE

    def write(self, text: str, /) -> int:
        super().write(printable_lines(text, encoding=self.trusted.encoding))
        return len(text)


def take_over() -> Stream:
    """Put streams of ours in the place of sys.stdout and sys.stderr; give the first, which knows what was lost."""
    _occupy()
    if cast("TextIO | None", sys.stdin) is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process lives
    given_out, given_err = cast("TextIO | None", sys.stdout), cast("TextIO | None", sys.stderr)
    for given in (given_out, given_err):
        if given is not None:
            given.flush()
    out = Stream(_Drain(1, _complain), encoding=_encoding(given_out), by_line=os.isatty(1))
    sys.stderr = Stream(_Drain(2, lambda _: None), encoding=_encoding(given_err), by_line=True)
    sys.stdout = out
    return out


def miss_readers(stream: TextIO) -> None:
    """Tell also when the reader of a pipe leaves: who runs on for days is not done, as `list | head -1` is."""
    if isinstance(stream, Stream):
        stream.drain.on_failure = _tell


def trusted(stream: TextIO) -> TextIO:
    """Where text goes that is printable already, with colours added."""
    return stream.trusted if isinstance(stream, Stream) else stream


def spoken(stream: TextIO) -> str:
    """The encoding of what is written."""
    return trusted(stream).encoding or "utf-8"


def coloured(stream: TextIO) -> bool:
    """Whether to write colours: NO_COLOR forbids them, FORCE_COLOR asks for them; else only a terminal has them."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _occupy() -> None:
    """A closed descriptor would be given to the next file or connection, and what is printed would go there.

    Opened for reading, it answers each write with the error of a closed one.
    """
    while (taken := os.open(os.devnull, os.O_RDONLY)) in STANDARD:
        os.set_inheritable(taken, True)  # noqa: FBT003 - its signature
    os.close(taken)


def _encoding(given: TextIO | None) -> str:
    return (given and given.encoding) or "utf-8"


def _complain(error: OSError) -> None:
    if error.errno != errno.EPIPE:  # else the reader has seen enough, as of `| head -1`
        _tell(error)


def _tell(error: OSError) -> None:
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror
    sys.stderr.write(f"blogworker: standard output cannot be written: {reason}. The command goes on without it\n")
