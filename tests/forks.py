"""The client of `forkserver.py`: a command costs a fork instead of an interpreter and its imports."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

LIMIT_S = 90
SERVER = Path(__file__).with_name("forkserver.py")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaints(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


@dataclass(frozen=True, slots=True)
class Forks:
    """A running server, and the folder of its socket."""

    folder: Path

    def run(
        self,
        arguments: tuple[str | bytes, ...],
        *,
        folder: Path,
        environment: Mapping[str, str],
        stdin: bytes = b"",
        out: str = "file",
        err_encoding: str = "utf-8",
    ) -> Ran:
        """`out`: a `file`, a file in `ascii`, a `full` disk, a `pipe` or a `socket` without a reader, or `closed`."""
        encoding = {"closed": None, "ascii": "ascii"}.get(out, "utf-8")
        request = {"arguments": [*map(os.fsdecode, arguments)], "folder": str(folder), "environment": {**environment}}
        request |= {"out_encoding": encoding, "err_encoding": err_encoding}
        files = {name: self.folder / f"{uuid4().hex}.{name}" for name in ("out", "err")}
        with ExitStack() as stack:
            written = stack.enter_context(files["out"].open("wb")).fileno()
            errors = stack.enter_context(files["err"].open("wb")).fileno()
            if out == "full":
                written = stack.enter_context(open("/dev/full", "wb")).fileno()
            elif out == "pipe":
                reader, written = os.pipe()
                os.close(reader)
                stack.callback(os.close, written)
            elif out == "socket":
                reading, writing = socket.socketpair()
                reading.close()
                written = stack.enter_context(writing).fileno()
            stdin_reader = stack.enter_context(_fed(stdin))
            child = stack.enter_context(self._child(request, (stdin_reader, written, errors)))
            code = child.wait(LIMIT_S)
        return Ran(code, files["out"].read_bytes().decode(), files["err"].read_bytes().decode())

    def start(
        self, arguments: tuple[str, ...], *, folder: Path, environment: Mapping[str, str], out: Path, err: Path
    ) -> "Child":
        """A command that goes on. Its standard input is empty."""
        request = {"arguments": arguments, "folder": str(folder), "environment": {**environment}}
        with open(os.devnull, "rb") as nothing, out.open("wb") as written, err.open("wb") as errors:
            streams = tuple(file.fileno() for file in (nothing, written, errors))
            return self._child(request | {"out_encoding": "utf-8", "err_encoding": "utf-8"}, streams)

    def _child(self, request: dict[str, Any], streams: tuple[int, ...]) -> "Child":
        path = self.folder / f"{uuid4().hex}.request"
        path.write_text(json.dumps(request))
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.folder / "socket"))
        socket.send_fds(connection, [str(path).encode()], streams)
        return Child(connection)


class Child:
    """A command in its fork, with what tests use of `subprocess.Popen`. It is killed at the end of its block."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.returncode: int | None = None
        self._answer = connection.makefile("rb")
        self.pid = int(self._answer.readline())

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self.wait()

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """Raises TimeoutError."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout_s)[0]:
                raise TimeoutError(f"process {self.pid} still runs after {timeout_s} s")
            self._end()
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        self.returncode = int(self._answer.readline())
        self._answer.close()
        self._connection.close()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@contextmanager
def _fed(data: bytes) -> Iterator[int]:
    """The reading end of a pipe that a thread writes `data` to."""
    reader, writer = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), open(writer, "wb") as pipe:
            pipe.write(data)

    threading.Thread(target=feed, daemon=True).start()
    try:
        yield reader
    finally:
        os.close(reader)


@contextmanager
def forking(folder: Path) -> Iterator[Forks]:
    """A server for as long as the block lasts."""
    command = [sys.executable, str(SERVER), str(folder / "socket")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield Forks(folder)
        finally:
            process.terminate()
