"""Runs commands in forks of one interpreter that has imported them: `forkserver.py SOCKET`.

Each fork has its own standard streams, folder, arguments and environment, and starts and ends as an interpreter of its
own does. A client connects once per command, sends the path of a request with the three streams, and reads the process
id and the exit code, a line each.
"""

import gc
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import blogworker.daemon  # noqa: F401 - what `run` imports late, for all forks at once
from blogworker.cli.app import main


def serve(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        gc.freeze()  # else each fork copies all of it when it collects
        os.write(1, b"ready\n")
        while True:
            connection, _ = server.accept()
            collect_ended()
            if not os.fork():
                server.close()
                attend(connection)
                return
            connection.close()


def collect_ended() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def attend(connection: socket.socket) -> None:
    path, streams, _, _ = socket.recv_fds(connection, 4096, 3)
    request = json.loads(Path(path.decode()).read_text())
    child = os.fork()
    if not child:
        connection.close()
        begin(request, streams)
        main()
    connection.sendall(f"{child}\n".encode())
    connection.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
    os._exit(0)


def begin(request: dict[str, Any], streams: list[int]) -> None:
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["blogworker", *request["arguments"]]
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding=request["err_encoding"], errors="backslashreplace", closefd=False)
    if request["out_encoding"] is None:
        os.close(1)
        sys.stdout = None  # type: ignore[assignment]
    else:
        sys.stdout = os.fdopen(1, "w", encoding=request["out_encoding"], errors="surrogateescape", closefd=False)


if __name__ == "__main__":
    serve(sys.argv[1])
