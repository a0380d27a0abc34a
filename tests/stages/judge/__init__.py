"""Wix's own validator of rich content (the npm package `ricos-schema`), asked over a pipe.

It is installed once, as its lock says, into pytest's cache; without Node, npm or the registry there is no judge.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", ".npmrc", "judge.js")
INSTALL = "npm ci --ignore-scripts --no-audit --no-fund --prefer-offline --fetch-retries=0 --fetch-timeout=20000"
INSTALL_LIMIT_S = 45


class NoJudge(Exception):
    """Why there is none on this machine."""


class Judge:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def faults(self, document: Any) -> list[str]:
        """What Wix's schema has against a document; empty if it is valid."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(document) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the judge died: see its words above"
        return json.loads(answer)


@contextmanager
def sitting(cache: Path) -> Iterator[Judge]:
    """One judge for as many documents as wanted. Raises NoJudge."""
    home = installed(cache)
    with subprocess.Popen(
        ["node", "judge.js"], cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield Judge(process)
        assert process.stdin is not None
        process.stdin.close()


def installed(cache: Path) -> Path:
    """The folder that the judge runs from, made if need be: whole, or not at all."""
    if missing := [program for program in ("node", "npm") if shutil.which(program) is None]:
        raise NoJudge(f"{missing[0]} is not installed")
    home = cache / sha256(b"".join((HERE / name).read_bytes() for name in FILES)).hexdigest()[:16]
    if home.exists():
        return home
    with tempfile.TemporaryDirectory(dir=cache) as made:
        room = Path(made) / "room"
        room.mkdir()
        for name in FILES:
            shutil.copyfile(HERE / name, room / name)
        try:
            subprocess.run(INSTALL.split(), cwd=room, capture_output=True, check=True, timeout=INSTALL_LIMIT_S)
        except subprocess.CalledProcessError as error:
            raise NoJudge(f"npm could not install it: {error.stderr.decode(errors='replace')[-300:]}") from None
        except subprocess.TimeoutExpired:
            raise NoJudge(f"npm could not install it within {INSTALL_LIMIT_S} s") from None
        try:
            room.rename(home)
        except OSError:  # another run of the tests was first
            if not home.exists():
                raise
    return home
