"""Runs commands in forks of one interpreter that has imported them: `forkserver.py SOCKET`.

Each fork has its own standard streams, folder, arguments and environment, and starts and ends as an interpreter of its
own does, but for the modules: it leaves them as they are, because tearing them down copies nearly every page of the
server. A client connects once per command, sends the path of a request with the three streams, and reads the process id
and the exit code, a line each.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import anyio

import blogworker.daemon
import blogworker.simulator  # noqa: F401 - what `run` and `simulate` import late, for all forks at once
from blogworker.cli.app import command, main

Clients = dict[int, socket.socket]  # by the process that runs the command


def serve(address: str) -> None:
    command()
    anyio.run(anyio.sleep, 0)  # imports what only a running loop does
    clients: Clients = {}
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # it only wakes the loop
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        gc.collect()
        gc.freeze()  # otherwise a collection in each fork copies all of it
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([server, woken], [], [])
            if woken in ready:
                woken.recv(4096)
                report_ended(clients)
            if server in ready:
                start(server, clients, (woken, wake))


def report_ended(clients: Clients) -> None:
    """Give each client whose command has ended its exit code."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            with clients.pop(pid) as client, suppress(BrokenPipeError):
                client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def start(server: socket.socket, clients: Clients, own: tuple[socket.socket, ...]) -> None:
    """Take one request and run it in a fork."""
    client, _ = server.accept()
    path, streams, _, _ = socket.recv_fds(client, 4096, 3)
    request = json.loads(Path(path.decode()).read_text())
    child = os.fork()
    if not child:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup make test` ignores it
        for inherited in (server, client, *own, *clients.values()):
            inherited.close()
        begin(request, streams)
        end(run())
    for stream in streams:
        os.close(stream)
    clients[child] = client
    with suppress(BrokenPipeError):
        client.sendall(f"{child}\n".encode())


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


def run() -> int:
    """The exit code of the command."""
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1


def end(code: int) -> NoReturn:
    """Wait for threads, run what is registered for the exit, and flush, as the interpreter does."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
