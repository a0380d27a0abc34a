"""Settings: where a value comes from, which one wins, and that everything wrong is told at once."""

import os
import re
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic import SecretStr

from blogworker import settings as module
from blogworker.errors import SettingsError
from blogworker.section import Section, load_section, variable
from blogworker.settings import (
    DatabaseSettings,
    LogSettings,
    OpenAISettings,
    QueueSettings,
    ReplicateSettings,
    Settings,
    WixSettings,
    WorkerSettings,
    load,
    require_keys,
)

URL = "postgresql://u:hunter2@db.example/blogs"
DOCUMENTED = {
    "DATABASE_URL": None,
    "DB_POOL_MIN": 2,
    "DB_POOL_MAX": 20,
    "LOG_LEVEL": "info",
    "OPENAI_API_KEY": None,
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENAI_RPM": 450,
    "OPENAI_TPM": 450_000,
    "REPLICATE_API_TOKEN": None,
    "REPLICATE_BASE_URL": "https://api.replicate.com",
    "REPLICATE_RPM": 600,
    "WIX_APP_ID": None,
    "WIX_APP_SECRET": None,
    "WIX_BASE_URL": "https://www.wixapis.com",
    "BLOGWORKER_CONCURRENCY": 50,
    "BLOGWORKER_BATCH_SIZE": 100,
    "BLOGWORKER_MAX_PER_INSTANCE": 20,
    "BLOGWORKER_QUOTA_PATIENCE": 5,
    "BLOGWORKER_POLL_INTERVAL": 10,
    "BLOGWORKER_HEARTBEAT_INTERVAL": 30,
    "BLOGWORKER_QUEUE_SIZE_LIMIT": None,
    "BLOGWORKER_DRAIN_TIMEOUT": 60,
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a `.env` and an environment without a setting."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name in known() or name.startswith("BLOGWORKER_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


def known() -> dict[str, tuple[type[Section], str]]:
    """Each variable with its section and field."""
    sections: list[type[Section]] = list(get_type_hints(Settings).values())
    return {variable(s, field): (s, field) for s in sections for field in s.model_fields}


@pytest.mark.parametrize(("name", "default"), DOCUMENTED.items())
def test_every_documented_variable_is_read_and_has_its_default(name: str, default: object) -> None:
    section, field = known()[name]

    info = section.model_fields[field]

    assert (None if info.is_required() else info.default) == default


def test_every_variable_the_documentation_names_exists() -> None:
    root = Path(__file__).parents[1]
    pages = [root / "README.md", *(root / "blogworker").rglob("README.md"), *root.glob("s*/README.md")]
    ours = re.compile(r"\b(?:DATABASE|DB|OPENAI|REPLICATE|WIX|BLOGWORKER|LOG)_[A-Z_]*[A-Z]\b")

    named = {name for page in pages for name in ours.findall(page.read_text(encoding="utf-8"))}

    assert (
        named
        - set(known())
        - {"BLOGWORKER_PG_BIN", "BLOGWORKER_ENV_FILE", "BLOGWORKER_TEST_DATABASE_URL", "BLOGWORKER_API_TOKEN"}
        == set()
    )


def test_no_two_settings_share_a_variable() -> None:
    sections: list[type[Section]] = list(get_type_hints(Settings).values())

    assert len(known()) == sum(len(section.model_fields) for section in sections)


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_section(WorkerSettings).concurrency == 50

    Path(".env").write_text("BLOGWORKER_CONCURRENCY=10\n")
    assert load_section(WorkerSettings).concurrency == 10

    monkeypatch.setenv("BLOGWORKER_CONCURRENCY", "20")
    assert load_section(WorkerSettings).concurrency == 20

    assert load_section(WorkerSettings, concurrency=30).concurrency == 30
    assert load_section(WorkerSettings, concurrency=None).concurrency == 20


def test_flags_of_several_sections_are_laid_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)

    settings = load({"worker": {"name": "w", "concurrency": None}, "queue": {"batch_size": 7}})

    assert (settings.worker.name, settings.worker.concurrency, settings.queue.batch_size) == ("w", 50, 7)


def test_credentials_of_systemd_are_read_and_the_environment_beats_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`LoadCredential=` puts each into a file of its name; a secret then never stands in an environment."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "database_url").write_text(f"{URL}\n")
    (folder / "openai_api_key").write_text("sk-of-the-file\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))

    settings = load()
    assert settings.database.url.get_secret_value() == URL
    assert settings.openai.api_key == SecretStr("sk-of-the-file")

    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    assert load().openai.api_key == SecretStr("sk-of-the-environment")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Environment=X=` in a unit, or `X: ""` in a compose file, means the default."""
    monkeypatch.setenv("DB_POOL_MAX", "")
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DATABASE_DIRECT_URL", "")
    monkeypatch.setenv("WIX_APP_ID", "")

    settings = load()

    assert settings.database.pool_max == 20
    assert settings.database.direct == URL
    assert not settings.wix.configured


def test_all_faults_of_all_sections_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {
        "DB_POOL_MAX": "0",
        "LOG_LEVEL": "loud",
        "OPENAI_RPM": "many",
        "WIX_APP_ID": "app",
        "BLOGWORKER_LEASE": "1",
    }
    for name, value in faults.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        load({"worker": {"concurrency": 0}})

    lines = str(caught.value).splitlines()
    for name in ("DATABASE_URL is not set", "DB_POOL_MAX: ", "LOG_LEVEL: ", "OPENAI_RPM: ", "set both WIX_APP_ID"):
        assert [line for line in lines if line.startswith(name)], name
    assert [line for line in lines if line.startswith("BLOGWORKER_CONCURRENCY: ")]
    assert [line for line in lines if line.startswith("BLOGWORKER_LEASE: ")]
    assert len(lines) == 7


def test_a_section_is_read_without_the_faults_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """`blogworker list` works on a machine where no vendor is set up."""
    monkeypatch.setenv("OPENAI_RPM", "many")
    monkeypatch.setenv("DATABASE_URL", URL)

    assert load_section(DatabaseSettings).url.get_secret_value() == URL


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ("0", "error"),
        ("1", "warning"),
        ("2", "info"),
        ("3", "debug"),
        ("4", "debug"),
        ("WARN", "warning"),
        (" Debug ", "debug"),
        ("error", "error"),
    ],
)
def test_a_log_level_is_a_name_in_any_case_or_a_number(monkeypatch: pytest.MonkeyPatch, given: str, level: str) -> None:
    monkeypatch.setenv("LOG_LEVEL", given)

    assert load_section(LogSettings).level == level


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2%zz@h/d",
        "postgresql://u:hunter2/x@h/d",
        "postgresql://u:p@hunter2@h/d",
        "hunter2",
        "host=h port=hunter2",
    ],
)
def test_a_wrong_url_is_refused_without_a_trace_of_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Neither in the message nor in what a traceback would print."""
    monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(SettingsError, match="DATABASE_URL: ") as caught:
        load_section(DatabaseSettings)

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss@h:6432/d?sslmode=require",
        "postgres://h/d",
        "postgresql://u@/d?host=/run/p@th&port=5433",
        "host=a,b port=5432,5433 dbname=d",
        "postgresql://u@a:1,b:2/d?target_session_attrs=primary",
        "dbname=d",
    ],
)
def test_whatever_libpq_understands_is_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    assert load_section(DatabaseSettings).url.get_secret_value() == url


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "DATABASE_URL": URL,
        "DATABASE_DIRECT_URL": URL,
        "OPENAI_API_KEY": "sk-hunter2",
        "REPLICATE_API_TOKEN": "r8-hunter2",
        "WIX_APP_ID": "app",
        "WIX_APP_SECRET": "hunter2",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)

    assert "hunter2" not in repr(load()) + str(load())


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    for section in (QueueSettings, OpenAISettings, ReplicateSettings, WixSettings):
        read = load_section(section)
        with pytest.raises(ValueError, match="frozen"):
            setattr(read, next(iter(section.model_fields)), None)


def test_a_lease_is_extended_often_enough_to_lose_an_extension() -> None:
    worker = load_section(WorkerSettings)

    assert worker.extend_s * 2 < worker.lease


def test_the_keys_no_worker_can_do_without_are_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("OPENAI_API_KEY", "  ")

    with pytest.raises(SettingsError) as caught:
        require_keys(load())

    openai, replicate = str(caught.value).splitlines()
    assert openai.startswith("OPENAI_API_KEY is not set")
    assert replicate.startswith("REPLICATE_API_TOKEN is not set")


def test_every_number_has_a_bound() -> None:
    """A zero or a negative number is refused here, not met as a hang later."""
    for name, (section, field) in known().items():
        info = section.model_fields[field]
        if info.annotation in (int, float):
            assert info.metadata, f"{name} has no bound in {module.__name__}"


@pytest.mark.parametrize("name", ["BLOGWORKER_LEASE", "BLOGWORKER_RETRY_CAP", "BLOGWORKER_DB_CONNECT_TIMEOUT"])
@pytest.mark.parametrize("value", ["inf", "nan", "15000000"])
def test_a_time_without_end_is_refused_before_the_database_meets_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Milliseconds taken for seconds: Postgres or the event loop would fail on it, again and again under systemd."""
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}: input should be "):
        load()


def test_efforts_that_are_no_json_are_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOGWORKER_TEXT_EFFORTS", "low")

    with pytest.raises(SettingsError, match=r"^BLOGWORKER_TEXT_EFFORTS: not JSON"):
        load_section(OpenAISettings)


def test_a_price_that_lacks_a_part_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that the variable is unset, which sends a person to the wrong place."""
    monkeypatch.setenv("BLOGWORKER_TEXT_PRICES", '{"gpt-6-luna": {"input": 1, "output": 1}}')

    with pytest.raises(SettingsError, match=r"^BLOGWORKER_TEXT_PRICES: gpt-6-luna: 0: cached: field required$"):
        load_section(OpenAISettings)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "REPLICATE_API_TOKEN", "WIX_APP_SECRET"])
def test_a_secret_loses_the_line_break_it_was_pasted_with(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With it no header can be sent: every call would look like a connection that was lost."""
    monkeypatch.setenv("WIX_APP_ID", "app")
    monkeypatch.setenv("WIX_APP_SECRET", "else")
    monkeypatch.setenv(name, " hunter2\n")
    section, field = known()[name]

    assert getattr(load_section(section), field).get_secret_value() == "hunter2"


@pytest.mark.parametrize("value", ["hunter2\nhunter2", "sk hunter2", "\u201chunter2\u201d", "\u2022\u2022hunter2"])
def test_a_secret_that_no_header_can_carry_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)

    with pytest.raises(SettingsError, match=r"^OPENAI_API_KEY: contains a blank") as caught:
        load_section(OpenAISettings)

    assert "hunter2" not in str(caught.value)


BASE_URLS = pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "REPLICATE_BASE_URL", "WIX_BASE_URL"])


@BASE_URLS
@pytest.mark.parametrize("value", ["http://api.example.com", "http://10.0.0.1", "http://127.0.0.1.x"])
def test_a_key_is_not_sent_unencrypted_unless_a_setting_allows_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    allowed = name.replace("BASE_URL", "ALLOW_HTTP")
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=rf"^{name}: http:// would send the key.*{allowed}=true$"):
        load_section(known()[name][0])

    monkeypatch.setenv(allowed, "true")
    assert load_section(known()[name][0]).base_url == value


@BASE_URLS
@pytest.mark.parametrize(
    "value",
    ["http://127.0.0.1:8400/v1", "http://localhost", "http://[::1]:1", "http://127.3.2.1", "http://0.0.0.0:8400"],
)
def test_this_machine_is_reached_unencrypted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    assert load_section(known()[name][0]).base_url == value


@BASE_URLS
@pytest.mark.parametrize(
    "value",
    [
        *(
            "https://h:99999",
            "https://h:0",
            "https://h:x",
            "https://[::1",
            "https://h h/",
            "https://h\\@g/",
            "https://h/\x00",
        ),
        *("https://u:hunter2@h", "https://hunter2@h", "https://@h", "https://h?hunter2", "https://h#hunter2"),
        *("https://-", "https://.", "https://..h", "https://a..b", "https://h\t.example", "https://\u212a.example"),
        *("https://%68.example", f"https://{'a' * 300}", "https://h/\u00e9"),
    ],
)
def test_a_base_url_that_is_misread_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    section, field = known()[name]

    with pytest.raises(SettingsError) as caught:
        load_section(section, **{field: value})

    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@BASE_URLS
@pytest.mark.parametrize("value", ["api.example.com", "localhost:8400/v1", "https://", "ftp://h"])
def test_an_address_without_its_scheme_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A worker would start, and meet it as an outage of the vendor."""
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}: must begin with https://"):
        load_section(known()[name][0])
