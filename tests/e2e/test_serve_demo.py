"""`blogworker serve --demo`: a dashboard while posts are made, and nothing left running after a signal."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

pytestmark = [pytest.mark.proof, pytest.mark.timeout(240)]

PRINTED = re.compile(r"dashboard: +(\S+)/login#(bw_\S+)")
LIMIT_S = 90.0


def children(pid: int) -> set[int]:
    """The descendants of a process, found by their parents in /proc."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ProcessLookupError):
                continue
            if parent == pid:
                found |= {int(entry.name)} | children(int(entry.name))
    return found


def test_posts_are_made_and_nothing_is_left_running(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "blogworker", "serve", "--demo", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert demo.stdout is not None
        address, token = "", ""
        for line in demo.stdout:
            if printed := PRINTED.search(line):
                address, token = printed.groups()
                break
        started = children(demo.pid)
        with httpx.Client(base_url=address, trust_env=False, timeout=30) as browser:
            assert browser.post("/login", data={"token": token}).status_code == 303
            until = time.monotonic() + LIMIT_S
            while not browser.get("/api/blog-generation", params={"status": "DONE"}, headers=bearer(token)).json()[
                "jobs"
            ]:
                assert time.monotonic() < until
            assert browser.get("/").status_code == 200
        demo.send_signal(signal.SIGTERM)
        out, _ = demo.communicate(timeout=LIMIT_S)
    finally:
        demo.kill()
    assert "nothing is left running" in out
    assert demo.returncode == 0
    assert started
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
