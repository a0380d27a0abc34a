"""`blogworker preview` as a real process: a post with its picture, and nothing left behind."""

import base64
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

WITHIN_S = 90.0
MARK = "BLOGWORKER_TEST_MARK"
SHARED = "/var/tmp"  # noqa: S108 - every user reaches it, and the path of a socket in it is short enough

pytestmark = pytest.mark.timeout(300)


class Asked:
    """A preview under way, with a folder of its own for whatever it makes in passing."""

    def __init__(self, *arguments: str, folder: Path, environment: dict[str, str]) -> None:
        self.temporary = Path(tempfile.mkdtemp(prefix="bw-", dir=SHARED))
        self.temporary.chmod(0o755)  # Postgres runs as somebody else when we are root
        self.mark = uuid4().hex
        inherited = {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(self.temporary), MARK: self.mark}
        inherited |= {
            name: value for name, value in os.environ.items() if name == "PYTHONPATH"
        }  # a checkout's own code
        self.process = subprocess.Popen(
            [sys.executable, "-m", "blogworker", "preview", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=inherited | environment,
        )

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, out, err

    def relatives(self) -> list[str]:
        """The commands of what still runs. Postgres has an environment of its own, but its data are in our folder."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            if f"{MARK}={self.mark}".encode() in environment or str(self.temporary) in command:
                found.append(command)
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.temporary)


Ask = Callable[..., Asked]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    asked: list[Asked] = []

    def begin(*arguments: str, **environment: str) -> Asked:
        asked.append(Asked(*arguments, folder=tmp_path, environment=environment))
        return asked[-1]

    yield begin
    for one in asked:
        one.end()


def test_a_newcomer_sees_a_post_with_its_picture_without_keys_or_servers(ask: Ask, tmp_path: Path) -> None:
    preview = ask("--simulate", "--keyword", "linen curtains", "--format", "json", "--html", "page.html")
    code, out, err = preview.finish()

    assert code == 0, err
    told = json.loads(out)
    picture = base64.b64decode(told["image"]["base64"])
    assert Image.open(io.BytesIO(picture)).width > 500
    assert len(picture) == told["image"]["bytes"]
    assert "linen curtains" in told["post"]["title"].lower()
    assert [call["name"] for call in told["calls"]] == ["ideas.draft", "content.draft", "image.prediction"]
    assert told["cost_usd"] == pytest.approx(sum(call["cost_usd"] for call in told["calls"]))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert told["image"]["base64"] in page
    assert "http://" not in page.replace(told["post"]["html"], "")
    assert told["post"]["html"] in page
    assert (told["simulated"], '<span class="simulated">' in page, "not billed: stand-ins" in err) == (True,) * 3
    assert preview.relatives() == []
    assert list(preview.temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_preview_leaves_nothing_behind(ask: Ask, number: signal.Signals) -> None:
    preview = ask("--simulate", "--keyword", "linen curtains")
    deadline = time.monotonic() + WITHIN_S
    while not any("postgres" in command and "-D" in command for command in preview.relatives()):
        assert preview.process.poll() is None, preview.finish()
        assert time.monotonic() < deadline
        time.sleep(0.02)

    preview.process.send_signal(number)
    code, out, err = preview.finish()

    assert (code, out, err) == (130, "", "blogworker: stopped; nothing is left running\n")
    assert preview.relatives() == []
    assert list(preview.temporary.iterdir()) == []


def test_a_guest_of_the_fleet_waits_for_its_quota_and_counts_what_it_spends(
    ask: Ask, vendors: Any, queue: Any, database_url: str, tmp_path: Path
) -> None:
    """Its own settings allow other limits than the fleet's: those stay. No blog is queued, none published."""
    queue.run(
        "insert into quotas (name, provider, requests_per_minute, tokens_per_minute) "
        "values ('openai/gpt-6-luna', 'openai', 7000, 7000000)"
    )
    queue.run("""insert into sites (instance_id, settings) values ('shop', '{"language": "en", "tone": "dry"}')""")
    (tmp_path / "products.csv").write_text(
        "Handle,Title,Variant Price\nmug,Low Water Mug,26.00\nbowl,Tide Bowl,31.00\n"
    )

    preview = ask(
        *("--product", "products.csv", "--handle", "bowl", "--site", "shop", "--tone", "warm"),
        **vendors.environment,
        DATABASE_URL=database_url,
    )
    code, out, err = preview.finish()

    assert code == 0, err
    assert out.startswith("# ")
    assert "- Site: language en, tone warm\n" in out
    assert "imulated" not in out + err
    assert "image.prediction" in err
    limits = "select requests_per_minute, tokens_clock > now() as used from quotas where name = 'openai/gpt-6-luna'"
    assert queue.run(limits)[0]["requests_per_minute"] == 7_000
    known = queue.run("select name from quotas where provider <> 'wix' order by name")
    assert [row["name"] for row in known] == [
        "openai/gpt-6-luna",
        "openai/gpt-6.1-terra",
        "replicate/predictions",
        "replicate/reads",
    ]
    spent = queue.run("select instance_id, requests, cost_usd > 0 as paid from provider_usage")
    assert spent == [{"instance_id": "shop", "requests": 1, "paid": True}] * 3
    for table in ("blog_generations", "generation_stages", "blog_posts", "workers"):
        assert queue.value(f"select count(*) from {table}") == 0
    assert vendors.posts("shop") == []


def test_a_vendor_that_refuses_is_told_in_one_line(ask: Ask, vendors: Any, database_url: str) -> None:
    vendors.set("faults", kind="refusal", vendor="openai", contains="forbidden kilns", times=2)  # the second rephrased

    code, out, err = ask("--keyword", "forbidden kilns", **vendors.environment, DATABASE_URL=database_url).finish()

    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("blogworker: refused: ")
    assert "provider openai" in err


def test_a_post_without_its_picture_is_shown_and_still_a_failure(ask: Ask, vendors: Any, database_url: str) -> None:
    vendors.set("faults", kind="no_credit", vendor="replicate", times=1)

    code, out, err = ask("--keyword", "mugs", **vendors.environment, DATABASE_URL=database_url).finish()

    assert code == 1
    assert out.startswith("# ")
    assert err.splitlines()[-1].startswith("blogworker: ")
    assert "provider replicate" in err.splitlines()[-1]
