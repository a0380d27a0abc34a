"""The fork server: its children run, are signalled, are waited for, and outlive nothing."""

import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

PARENT = """
import os, signal, sys, time
import anyio
from blogworker.daemon.forkserver import GONE, ForkServer

def main(arguments):
    act, *rest = arguments
    if act == "exit":
        sys.exit(int(rest[0]))
    if act == "environment":
        sys.exit(int(os.environ["CODE"]) + 10 * ("REMOVED" in os.environ))
    if act == "raise":
        raise ValueError("told so")
    parent = os.getppid()
    print("in the child", parent, flush=True)
    os.write(tells, b".")
    while os.getppid() == parent:
        time.sleep(0.05)

started, tells = os.pipe()
os.environ["REMOVED"] = "yes"
forks = ForkServer(main)

async def each():
    for arguments, number in {cases!r}:
        forks.start(arguments, {{"CODE": "7", "REMOVED": None}})
        if number:
            await anyio.wait_readable(started)
            os.read(started, 1)
            if number == "server":
                os.kill(forks.pid, signal.SIGKILL)
            else:
                forks.signal(signal.Signals(number))
        print("code", await forks.wait(), forks.alive, flush=True)
    {after}

anyio.run(each)
"""


def run(*cases: tuple[list[str], object], after: str = "pass") -> subprocess.CompletedProcess[str]:
    script = PARENT.format(cases=list(cases), after=after)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)


def test_a_child_has_the_environment_of_its_start() -> None:
    """After a reload a suspect runs with the new keys, although the server was forked with the old ones."""
    assert run((["environment"], None)).stdout.split() == ["code", "7", "True"]


def has_ended(pid: int) -> bool:
    """A process that nobody has waited for yet is still listed, as a zombie. Its files are closed a moment before."""
    for _ in range(1_000):
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8"):
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        (["exit", "0"], None, 0),
        (["exit", "2"], None, 2),
        (["raise"], None, 1),
        (["sleep"], int(signal.SIGTERM), -15),
        (["sleep"], int(signal.SIGKILL), -9),
    ],
)
def test_the_exit_code_of_a_child_is_that_of_its_command(arguments: list[str], number: object, code: int) -> None:
    ended = run((arguments, number), (["exit", "7"], None))

    assert [line for line in ended.stdout.splitlines() if line.startswith("code")] == [
        f"code {code} True",
        "code 7 True",
    ], ended.stderr
    assert ("told so" in ended.stderr) == (arguments == ["raise"])


def test_a_worker_sees_that_its_fork_server_has_died() -> None:
    ended = run((["sleep"], "server"))

    assert "code -9 False" in ended.stdout, ended.stderr
    server = int(ended.stdout.split("in the child ")[1].split()[0])
    assert has_ended(server)


def test_the_fork_server_ends_quietly_with_a_worker_that_left_its_message_unread() -> None:
    """It printed a traceback: the socket is reset then."""
    unread = "forks.start(['exit', '0'], {}); await anyio.wait_readable(forks._wire); os.kill(os.getpid(), 9)"

    ended = run(after=unread)

    assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, "")


def test_the_fork_server_ends_with_its_worker() -> None:
    ended = run((["exit", "0"], None), after="print('server', forks.pid, flush=True); os.kill(os.getpid(), 9)")

    assert ended.returncode == -signal.SIGKILL
    # The output is complete only when the server, which has it open too, has exited.
    assert has_ended(int(ended.stdout.split("server ")[1]))
