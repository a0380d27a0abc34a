"""Values of settings: everything wrong is reported at once, and no secret is shown."""

import re
from contextlib import nullcontext
from typing import get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le

from blogworker import settings as module
from blogworker.errors import SettingsError
from blogworker.redact import SECRETS
from blogworker.section import load_section
from blogworker.settings import (
    DatabaseSettings,
    LogSettings,
    OpenAISettings,
    QueueSettings,
    ReplicateSettings,
    WixSettings,
    WorkerSettings,
    load,
    require_keys,
)
from blogworker.webhook_settings import WebhookSettings

from .variables import URL, known


def test_all_faults_of_all_sections_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
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
    """`blogworker list` works on a machine where no provider is set up."""
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
    ("stages", "slots", "concurrency", "groups"),
    [
        ("", "", 50, [(("source", "ideas", "content", "image", "publish"), 50)]),
        (" image , Ideas,", "", 50, [(("ideas", "image"), 50)]),
        ("", "content=40, image=80,publish=20", 140, [
            (("source", "ideas", "content"), 40), (("image",), 80), (("publish",), 20)
        ]),
        ("image,publish", "IMAGE=3", 3, [(("image", "publish"), 3)]),
    ],
)  # fmt: skip
def test_slots_are_one_number_or_one_for_each_stage(monkeypatch, stages, slots, concurrency, groups) -> None:
    monkeypatch.setenv("BLOGWORKER_STAGES", stages)
    monkeypatch.setenv("BLOGWORKER_SLOTS", slots)
    read = load_section(WorkerSettings)

    assert (read.concurrency, [(group.stages, group.size) for group in read.slot_groups]) == (concurrency, groups)


@pytest.mark.parametrize(
    ("stages", "slots", "fault"),
    [
        ("ideas,drafts", "", "BLOGWORKER_STAGES: 'drafts' is not a stage: the stages are source, ideas"),
        (",", "", "BLOGWORKER_STAGES: name at least one stage of: source, ideas"),
        ("ideas", "image=3", "BLOGWORKER_SLOTS names image, but BLOGWORKER_STAGES does not"),
        ("", "image", "BLOGWORKER_SLOTS: write a number from 1 to 1,000 for each stage"),
        ("", "image=0", "BLOGWORKER_SLOTS: write a number from 1 to 1,000"),
        ("", "image=٣", "BLOGWORKER_SLOTS: write a number from 1 to 1,000"),
        ("", "image=99999999999999999999", "BLOGWORKER_SLOTS: write a number from 1 to 1,000"),
        ("", "image=1,image=2", "BLOGWORKER_SLOTS: it names image twice"),
        ("", "images=1", "BLOGWORKER_SLOTS: 'images' is not a stage"),
        ("", "content=900,image=900", "1000"),
    ],
)
def test_a_stage_or_number_that_cannot_be_is_named(monkeypatch, stages, slots, fault) -> None:
    monkeypatch.setenv("BLOGWORKER_STAGES", stages)
    monkeypatch.setenv("BLOGWORKER_SLOTS", slots)

    with pytest.raises(SettingsError, match=re.escape(fault)):
        load_section(WorkerSettings)


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


def test_missing_required_keys_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("OPENAI_API_KEY", "  ")

    with pytest.raises(SettingsError) as caught:
        require_keys(load())

    openai, replicate = str(caught.value).splitlines()
    assert openai.startswith("OPENAI_API_KEY is not set")
    assert replicate.startswith("REPLICATE_API_TOKEN is not set")


def test_every_number_has_a_bound() -> None:
    """A zero is refused here, not met as a hang later, and a number beyond what Postgres stores is not met in SQL."""
    for name, (section, field) in known().items():
        info = section.model_fields[field]
        if {int, float} & {info.annotation, *get_args(info.annotation)} and get_origin(info.annotation) is not dict:
            bounds = {type(bound) for bound in info.metadata}
            assert Le in bounds, f"{name} has no upper bound in {module.__name__}"
            assert {Ge, Gt} & bounds, f"{name} has no lower bound in {module.__name__}"


JSON = ("MODEL_FAMILIES", "TEXT_EFFORTS", "TEXT_PRICES", "IMAGE_PRICES", "WEBHOOK_URLS")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BLOGWORKER_ALERT_REMINDER", "4e11"),
        ("BLOGWORKER_QUEUE_SIZE_LIMIT", "9999999999"),
        *((f"BLOGWORKER_{name}", "[" * 5_000) for name in JSON),
        *((f"BLOGWORKER_{name}_MODEL", "  ") for name in ("IDEAS", "CONTENT", "FALLBACK", "IMAGE")),
        ("BLOGWORKER_IMAGE_MODEL", " / "),
        ("DATABASE_URL", "  "),
        ("DATABASE_DIRECT_URL", "  "),
    ],
)
def test_a_value_that_nothing_could_use_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        load()

    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["BLOGWORKER_LEASE", "BLOGWORKER_RETRY_CAP", "BLOGWORKER_DB_CONNECT_TIMEOUT"])
@pytest.mark.parametrize("value", ["inf", "nan", "15000000"])
def test_an_infinite_duration_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Milliseconds taken for seconds: Postgres or the event loop would fail on it, again and again under systemd."""
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}: input should be "):
        load()


def test_an_error_names_efforts_that_are_not_json(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_secret_unusable_in_a_header_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)

    with pytest.raises(SettingsError, match=r"^OPENAI_API_KEY: contains a blank") as caught:
        load_section(OpenAISettings)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["BLOGWORKER_IDEAS_TOKENS", "BLOGWORKER_CONTENT_TOKENS"])
def test_a_limit_that_is_too_low_for_one_call_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One call would move the clock of the fleet by minutes, or by hours."""
    monkeypatch.setenv(name, "9000")
    for tpm, fits in (("9000", True), ("8999", False)):
        monkeypatch.setenv("OPENAI_TPM", tpm)
        with nullcontext() if fits else pytest.raises(SettingsError, match=rf"OPENAI_TPM \({tpm}\) is below {name}"):
            load_section(OpenAISettings)


@pytest.mark.parametrize("mark", ["?k=", "/?k=", "/a/", "#"])
def test_the_secret_part_of_a_webhook_address_is_hidden(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    secret = f"T0123456789B{ord(mark[-1])}{len(mark)}"
    monkeypatch.setenv("BLOGWORKER_WEBHOOK_URLS", f'{{"chat": "https://hooks.example.com{mark}{secret}"}}')
    with nullcontext() if "#" not in mark else pytest.raises(SettingsError):
        load_section(WebhookSettings)

    assert secret not in SECRETS.hide(f"sent to https://hooks.example.com{mark}{secret}")
