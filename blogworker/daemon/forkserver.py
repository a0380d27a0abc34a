"""A process that is forked before the worker starts its event loop and threads, and forks again on demand.

Starting another Python costs more than a second of CPU for the imports. A fork has them already, so the process for
suspects runs within milliseconds, also while workers are killed every few seconds.
"""

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import NoReturn

from anyio import wait_readable

LOOK_S = 0.1  # how often a running child is looked at
MESSAGE = 65_536  # bytes, at most
GONE = -int(signal.SIGKILL)  # exit code of a child whose fork server has died


class ForkServer:
    """The worker's side. One child runs at a time. `main` runs a command line in a child.

    `prepare` runs before each child, in the process that all children are forks of, for example imports.
    """

    def __init__(self, main: Callable[[Sequence[str]], None], *, prepare: Callable[[], object] = bool) -> None:
        self._wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._wire.close()
            _end_with(lambda: _serve(theirs, main, prepare))
        theirs.close()
        self._wire.settimeout(0)
        self.alive = True

    def start(self, arguments: Sequence[str], environment: Mapping[str, str | None] = MappingProxyType({})) -> None:
        """Run a command line in a child. `environment`: variables to set there, or to remove."""
        self._send([list(arguments), dict(environment)])

    async def wait(self) -> int:
        """Wait until the child has ended. Return its exit code; negative: the signal that killed it."""
        await wait_readable(self._wire)
        answer = self._wire.recv(MESSAGE)
        if answer:
            return int(answer)
        self.alive = False
        return GONE

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child, if one runs."""
        self._send(int(number))

    def _send(self, message: Sequence[object] | int) -> None:
        try:
            self._wire.send(json.dumps(message).encode())
        except OSError:
            self.alive = False


def _serve(wire: socket.socket, main: Callable[[Sequence[str]], None], prepare: Callable[[], object]) -> None:
    """Serve until the worker has exited. Ctrl-C does not reach this process or its children: the worker drains them."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    child = 0
    while True:
        if select.select([wire], [], [], LOOK_S if child else None)[0]:
            received = b""
            with suppress(ConnectionError):  # the parent was killed before it read what is on the way
                received = wire.recv(MESSAGE)
            if not received:
                return  # a child that still runs sees that its parent has gone
            message = json.loads(received)
            if isinstance(message, list):
                prepare()
                child = _fork(wire, partial(_run, main, *message))
            elif child:
                os.kill(child, message)
        if child and (ended := os.waitpid(child, os.WNOHANG))[0]:
            child = 0
            with suppress(ConnectionError):  # the worker exited at the same time: the next look finds that
                wire.send(str(os.waitstatus_to_exitcode(ended[1])).encode())


def _run(
    main: Callable[[Sequence[str]], None], arguments: Sequence[str], environment: Mapping[str, str | None]
) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    main(arguments)


def _fork(wire: socket.socket, main: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        wire.close()
        _end_with(main)
    return child


def _end_with(act: Callable[[], None]) -> NoReturn:
    """End this process after `act`, without the code that its parent has left to do."""
    code = 1
    try:
        act()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
