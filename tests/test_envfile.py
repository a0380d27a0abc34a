"""The machine's settings are parsed as systemd parses them and overridden by all others; errors are one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from blogworker import envfile
from blogworker.cli.app import app
from blogworker.envfile import parse, use_machine_file
from blogworker.errors import SettingsError
from blogworker.section import load_section
from blogworker.settings import DatabaseSettings, OpenAISettings, WorkerSettings, load
from tests.forks import Forks

NO_ROLE = 65534
URL = "postgresql://u@db.example/blogs"

names = st.sampled_from(["A", "B_1", "DATABASE_URL", "_x"])
values = st.text(st.sampled_from("aZ0 \t\n\"'\\`$#;={}é"), max_size=20)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a `.env`, a machine without a file, an environment without a setting."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(envfile, "MACHINE_FILE", tmp_path / "blogworker.env")
    for name in list(os.environ):
        if name.startswith(("BLOGWORKER_", "OPENAI_", "DATABASE_")) or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


@contextmanager
def stranger() -> Iterator[None]:
    """A user who cannot read files of mode 0. Root can, so the process becomes nobody for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NO_ROLE)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's own."""
    with TemporaryDirectory(prefix="blogworker-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=b", {"A": "b"}),
        ("  A = b c \t\nB=", {"A": "b c", "B": ""}),
        ("# a comment\n; another\n\nA=1\nno variable\nB=2", {"A": "1", "B": "2"}),
        ("A=p#ss # word", {"A": "p#ss # word"}),
        ("A=$HOME ${HOME}", {"A": "$HOME ${HOME}"}),
        ("A='x \"y\" \\n'\nB=2", {"A": 'x "y" \\n', "B": "2"}),
        (r'A="x \"y\" \\ \$ \n"', {"A": r'x "y" \ $ \n'}),
        ('A="two\nlines"\nB=2', {"A": "two\nlines", "B": "2"}),
        ('A={"gpt": 1}', {"A": '{"gpt": 1}'}),
        ("A=one\\\n two\nB=a\\ ", {"A": "one two", "B": "a "}),
        ("export A=1\n1A=2\nB=3", {"B": "3"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A='1\r\n'\rB=2\\\r\nC=3", {"A": "1\r\n", "B": "2", "C": "3"}),
        ("A=1\nA=2", {"A": "2"}),
    ],
)
def test_a_file_means_what_it_means_to_systemd(text: str, found: dict[str, str]) -> None:
    """Compared with systemd 252 itself. A reader of shell-like files would cut a password at its `#`."""
    assert parse(text) == found


@given(st.dictionaries(names, values, max_size=5))
def test_values_quoted_for_systemd_are_read_back(settings: dict[str, str]) -> None:
    quoted = {
        name: "".join(f"\\{sign}" if sign in '"\\`$' else sign for sign in value) for name, value in settings.items()
    }

    assert parse("".join(f'{name}="{value}"\n' for name, value in quoted.items())) == settings


@given(st.text(st.sampled_from("AB= \t\n\\\"'#;$x\r\0é"), max_size=40))
def test_any_text_is_read(text: str) -> None:
    for name in parse(text):
        assert name.isidentifier()


def test_a_flag_beats_the_environment_which_beats_the_folder_which_beats_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    envfile.MACHINE_FILE.write_text(
        f"DATABASE_URL={URL}\nBLOGWORKER_CONCURRENCY=5\nBLOGWORKER_LEASE=20\nBLOGWORKER_DRAIN_TIMEOUT=7\n"
    )
    Path(".env").write_text("BLOGWORKER_CONCURRENCY=6\n")
    environment = {"BLOGWORKER_LEASE": "30"}

    use_machine_file(environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    worker = load_section(WorkerSettings, poll_interval=3)
    assert (worker.concurrency, worker.lease, worker.drain_timeout, worker.poll_interval) == (6, 30, 7, 3)
    assert load_section(DatabaseSettings).direct == URL


def test_another_file_or_none_can_be_named(tmp_path: Path) -> None:
    envfile.MACHINE_FILE.write_text("LOG_LEVEL=debug\n")
    (tmp_path / "staging.env").write_text("LOG_LEVEL=error\n")

    named = {"BLOGWORKER_ENV_FILE": str(tmp_path / "staging.env")}
    nothing = {"BLOGWORKER_ENV_FILE": ""}
    use_machine_file(named)
    use_machine_file(nothing)

    assert named["LOG_LEVEL"] == "error"
    assert "LOG_LEVEL" not in nothing


def test_every_command_reads_it_except_those_with_their_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make demo` on a production machine must not use its keys."""
    (tmp_path / "named").write_text("OPENAI_ACCOUNT=acme\n")
    for command, account in (("migrate", "acme"), ("demo", None), ("simulate", None), ("bench", None)):
        monkeypatch.setenv("BLOGWORKER_ENV_FILE", str(tmp_path / "named"))
        monkeypatch.delenv("OPENAI_ACCOUNT", raising=False)

        CliRunner().invoke(app, [command, "--help"])

        assert os.environ.get("OPENAI_ACCOUNT") == account, command
        assert os.environ["BLOGWORKER_ENV_FILE"] == ("" if account is None else str(tmp_path / "named"))
    monkeypatch.delenv("OPENAI_ACCOUNT", raising=False)


def test_an_unreadable_machine_file_is_skipped_and_named_when_a_setting_is_missing(
    public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker gets the values from systemd; a person needs to know where to look."""
    monkeypatch.setattr(envfile, "MACHINE_FILE", public / "blogworker.env")
    envfile.MACHINE_FILE.write_text(f"DATABASE_URL={URL}\n")
    envfile.MACHINE_FILE.chmod(0)
    environment: dict[str, str] = {}

    with stranger():
        use_machine_file(environment)
        reason = r"^DATABASE_URL is not set \(.*blogworker.env cannot be read: permission denied\)$"
        with pytest.raises(SettingsError, match=reason):
            load_section(DatabaseSettings)

    assert environment == {}


def test_an_inaccessible_folder_has_no_dot_env(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo -u worker blogworker ...` is typed in root's own folder; it ended in a traceback."""
    monkeypatch.chdir(public)
    public.chmod(0)

    with stranger():
        assert load_section(WorkerSettings).concurrency == 50


def test_a_dot_env_of_another_user_is_reported_in_one_line(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(public)
    Path(".env").touch(mode=0)

    with stranger(), pytest.raises(SettingsError, match=r"^\.env cannot be read: permission denied$"):
        load_section(WorkerSettings)


def test_a_missing_machine_file_is_not_mentioned() -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL is not set$"):
        load_section(DatabaseSettings)


UNREADABLE = {
    "folder": (lambda path: path.mkdir(), "is a directory"),
    "binary": (lambda path: path.write_bytes(b"\xff\xfe\x00k"), "is not text in UTF-8"),
    "nul": (lambda path: path.write_bytes(b"sk-\0"), "contains a NUL byte"),
    "loop": (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
}


@pytest.mark.parametrize(("make", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_named_file_is_reported_in_one_line(make, reason: str, tmp_path: Path) -> None:
    make(tmp_path / "named")

    with pytest.raises(SettingsError, match=f"^BLOGWORKER_ENV_FILE: .*/named .*{reason}$"):
        use_machine_file({"BLOGWORKER_ENV_FILE": str(tmp_path / "named")})


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    monkeypatch.setenv("DATABASE_URL", URL)
    return folder


@pytest.mark.parametrize(
    ("make", "reason"),
    [*UNREADABLE.values(), (lambda path: path.write_text("\n"), "is empty")],
    ids=[*UNREADABLE, "empty"],
)
def test_an_unreadable_credential_is_reported_in_one_line(make, reason: str, credentials: Path) -> None:
    make(credentials / "openai_api_key")

    with pytest.raises(SettingsError, match=f"^OPENAI_API_KEY: credential .*/openai_api_key .*{reason}$"):
        load()


def test_a_credential_of_another_user_is_reported_in_one_line(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(public))
    (public / "openai_api_key").touch(mode=0)

    reason = r"^OPENAI_API_KEY: credential .* cannot be read: permission denied$"
    with stranger(), pytest.raises(SettingsError, match=reason):
        load_section(OpenAISettings)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("x")], ids=["missing", "file"])
def test_a_missing_folder_of_credentials_is_reported_in_one_line(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "nowhere")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "nowhere"))

    with pytest.raises(SettingsError, match=r"^CREDENTIALS_DIRECTORY: .*/nowhere cannot be read: "):
        load_section(OpenAISettings)


def test_credentials_of_unused_sections_are_ignored(credentials: Path) -> None:
    (credentials / "openai_api_key").mkdir()

    assert load_section(DatabaseSettings).direct == URL


def test_a_binary_dot_env_is_reported_in_one_line() -> None:
    Path(".env").write_bytes(b"OPENAI_API_KEY=\xff\n")

    with pytest.raises(SettingsError, match=r"^\.env is not text in UTF-8$"):
        load_section(OpenAISettings)


def test_the_command_exits_with_2_and_one_line(credentials: Path, tmp_path: Path, forks: Forks) -> None:
    """systemd does not restart such a worker, because retrying cannot help."""
    (credentials / "openai_api_key").write_bytes(b"\xff")
    (credentials / "database_url").write_text(URL)

    ran = forks.run(("run",), folder=tmp_path, environment={**os.environ, "BLOGWORKER_ENV_FILE": ""})

    assert ran.code == 2
    assert ran.complaints == [
        f"blogworker: OPENAI_API_KEY: credential {credentials}/openai_api_key is not text in UTF-8"
    ]
