"""The client of `forkserver.py`: a command costs a fork instead of an interpreter and its imports."""

import json
import os
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

LIMIT_S = 30
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
        """`out`: a `file`, a file in `ascii`, a `full` disk, a `pipe` without a reader, or `closed`."""
        encoding = {"closed": None, "ascii": "ascii"}.get(out, "utf-8")
        request = {"arguments": [*map(os.fsdecode, arguments)], "folder": str(folder), "environment": {**environment}}
        request |= {"out_encoding": encoding, "err_encoding": err_encoding}
        files = {name: self.folder / f"{uuid4().hex}.{name}" for name in ("request", "out", "err")}
        files["request"].write_text(json.dumps(request))
        with ExitStack() as stack:
            written = stack.enter_context(files["out"].open("wb")).fileno()
            errors = stack.enter_context(files["err"].open("wb")).fileno()
            if out == "full":
                written = stack.enter_context(open("/dev/full", "wb")).fileno()
            elif out == "pipe":
                reader, written = os.pipe()
                os.close(reader)
                stack.callback(os.close, written)
            code = self._code(files["request"], stdin, written, errors)
        return Ran(code, files["out"].read_bytes().decode(), files["err"].read_bytes().decode())

    def _code(self, request: Path, stdin: bytes, out: int, err: int) -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT_S)
            connection.connect(str(self.folder / "socket"))
            with _fed(stdin) as reader:
                socket.send_fds(connection, [str(request).encode()], [reader, out, err])
            with connection.makefile() as answer:
                pid = int(answer.readline())
                try:
                    return int(answer.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise


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
