"""Where a setting comes from, and which source wins."""

import os
import re
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic import SecretStr

from blogworker.errors import SettingsError
from blogworker.reloading import gather, replace_all, unchanged_if_wrong
from blogworker.section import Section, load_section, variable
from blogworker.settings import (
    Settings,
    WorkerSettings,
    load,
)
from blogworker.telemetry import keys_of
from blogworker.telemetry.log import EVENTS
from blogworker.web.settings import HttpSettings

from .variables import URL, known

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


@pytest.mark.parametrize(("name", "default"), DOCUMENTED.items())
def test_every_documented_variable_is_read_and_has_its_default(name: str, default: object) -> None:
    section, field = known()[name]

    info = section.model_fields[field]

    assert (None if info.is_required() else info.default) == default


def test_every_variable_the_documentation_names_exists() -> None:
    root = Path(__file__).parents[2]
    pages = [root / "README.md", *(root / "blogworker").rglob("README.md"), *root.glob("s*/README.md")]
    ours = re.compile(r"\b(?:DATABASE|DB|OPENAI|REPLICATE|WIX|BLOGWORKER|LOG)_[A-Z_]*[A-Z]\b")

    named = {name for page in pages for name in ours.findall(page.read_text(encoding="utf-8"))}

    assert (
        named
        - set(known())
        - {variable(HttpSettings, field) for field in HttpSettings.model_fields}
        - {f"BLOGWORKER_{key.upper()}" for event in EVENTS for keys in keys_of(event) for key in keys}  # of the journal
        - {"BLOGWORKER_EVENT", "BLOGWORKER_JOB_ID", "BLOGWORKER_INSTANCE_ID"}
        - {"BLOGWORKER_PG_BIN", "BLOGWORKER_ENV_FILE", "BLOGWORKER_TEST_DATABASE_URL"}
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


def test_flags_of_several_sections_are_combined(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("name", ["openai_api_key", "blogworker.openai_api_key", "blogworker.openai_api_key.cred"])
def test_a_credential_is_found_by_the_names_that_the_units_give_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Plain in /etc/credstore, or decrypted from /etc/credstore.encrypted; a plain one wins, also when it is delivered
    by a reload."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", URL)
    (tmp_path / name).write_text("sk-of-the-file\n")
    (tmp_path / "another.program").write_text("not ours\n")

    assert load().openai.api_key == SecretStr("sk-of-the-file")
    assert gather(os.environ) == {"DATABASE_URL": URL, "OPENAI_API_KEY": "sk-of-the-file"}

    (tmp_path / "openai_api_key").write_text("sk-plain\n")
    assert load().openai.api_key == SecretStr("sk-plain")
    assert gather(os.environ)["OPENAI_API_KEY"] == "sk-plain"


def test_delivered_settings_replace_all_others_and_wrong_ones_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that was removed from the file must not survive a reload."""
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("OPENAI_RPM", "7")
    monkeypatch.setenv("HOME", "/nowhere")
    before = dict(os.environ)

    def reload(**delivered: str) -> None:
        with unchanged_if_wrong():
            replace_all(delivered, os.environ)
            load()

    with pytest.raises(SettingsError):
        reload(DATABASE_URL=URL, OPENAI_TPM="none")
    assert dict(os.environ) == before

    reload(DATABASE_URL=URL, OPENAI_TPM="9000", LD_PRELOAD="x")
    assert (load().openai.rpm, load().openai.tpm) == (450, 9_000)
    assert "LD_PRELOAD" not in os.environ
    assert os.environ["HOME"] == "/nowhere"
    os.environ.clear()
    os.environ.update(before)


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
