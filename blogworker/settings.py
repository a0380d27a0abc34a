"""All settings, with name, bounds, unit and default. They are read once, in `cli`; each room gets its section.

A flag overrides the environment, then `.env`, the file of the machine (`envfile.py`) and the default. A value may also
come from a file with its lower-case name in `CREDENTIALS_DIRECTORY`, where systemd puts the credentials of a unit.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_type_hints

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from blogworker.envfile import unreadable_hint
from blogworker.errors import SettingsError
from blogworker.prices import IMAGE_PRICES, TEXT_PRICES, ImagePrices, TextPrices
from blogworker.proxies import Proxies
from blogworker.section import Call, Model, ProviderSettings, Secret, Section, Ttl, WebAddress, from_json, load_section
from blogworker.slots import SlotSettings
from blogworker.telemetry_settings import LogLevel, MetricsSettings, TracingSettings
from blogworker.webhook_settings import WebhookSettings

ImageTrouble = Literal["wait", "skip", "fail"]
EXAMPLE_URL = "postgresql://user:password@host:5432/database"
MOST_A_MINUTE = MOST_IN_QUEUE = 2**31 - 1  # requests, tokens or jobs: the range of the column
EXTEND_TO_LEASE = 3  # two extensions may be lost before the lease ends


class LogSettings(Section):
    level: LogLevel = Field("info", validation_alias="LOG_LEVEL")
    format: Literal["auto", "json", "console"] = Field(
        "auto", validation_alias="BLOGWORKER_LOG_FORMAT", description="auto: console form on a terminal, else JSON"
    )


def _connectable(url: SecretStr) -> SecretStr:
    """Refuse what libpq would misread. The messages of libpq would quote the string with its password."""
    try:
        parts = conninfo_to_dict(url.get_secret_value().strip() or "?")  # blanks alone would mean libpq's defaults
    except ProgrammingError:
        raise ValueError(f"not a connection string of Postgres, such as {EXAMPLE_URL}") from None
    hosts, ports = (str(parts.get(name) or "").split(",") for name in ("host", "port"))
    misread = any("@" in host[1:] and not host.startswith("/") for host in hosts)  # a socket may have one in its path
    misread = misread or any(mark in str(parts.get("dbname") or "") for mark in "@/")
    if misread or any(port and not port.isdigit() for port in ports):
        raise ValueError(
            "its host or port is wrong: in a password, write / as %2F, @ as %40 and : as %3A, "
            f"as in {EXAMPLE_URL.replace('password', 'p%40ss')}"
        )
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(_connectable)]


class DatabaseSettings(Section):
    url: DatabaseUrl = Field(validation_alias="DATABASE_URL", description="the connection string of Postgres")
    direct_url: DatabaseUrl | None = Field(
        None, validation_alias="DATABASE_DIRECT_URL", description="bypasses a pooler: for LISTEN, the lease, migrations"
    )
    pool_min: int = Field(2, ge=1, le=10_000, validation_alias="DB_POOL_MIN", description="connections kept open")
    pool_max: int = Field(20, ge=1, le=10_000, validation_alias="DB_POOL_MAX", description="most for a worker")
    connect_timeout_s: float = Field(5, gt=0, le=600, validation_alias="BLOGWORKER_DB_CONNECT_TIMEOUT")
    idle_timeout_s: float = Field(30, gt=0, le=86_400, validation_alias="BLOGWORKER_DB_IDLE_TIMEOUT")

    @property
    def direct(self) -> str:
        return (self.direct_url or self.url).get_secret_value()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.pool_min > self.pool_max:
            raise ValueError(f"DB_POOL_MIN ({self.pool_min}) is above DB_POOL_MAX ({self.pool_max})")
        return self


class _DatabaseAddress(Section):
    """For commands that also work without a database: reads whether one is configured, without validation."""

    url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")


class QueueSettings(Section):
    model_config = SettingsConfigDict(env_prefix="BLOGWORKER_")

    batch_size: int = Field(100, ge=1, le=1000, description="most jobs in one claim")
    max_per_instance: int = Field(20, ge=1, le=1000, description="most jobs of one site in one claim: the window")
    queue_size_limit: int | None = Field(
        None, ge=1, le=MOST_IN_QUEUE, description="waiting jobs above which enqueueing is refused; unset: 10,000"
    )


def default_name() -> str:
    """Return a name that is unique to this process. Under systemd, BLOGWORKER_NAME sets a stable one."""
    return f"{socket.gethostname()}/{os.getpid()}"


class WorkerSettings(SlotSettings):
    model_config = SettingsConfigDict(env_prefix="BLOGWORKER_")

    name: str = Field(default_factory=default_name, min_length=1, max_length=200, description="this worker's name")
    poll_interval: float = Field(10, gt=0, le=3_600, description="seconds between polls of an idle worker")
    heartbeat_interval: float = Field(30, gt=0, le=3_600, description="seconds between heartbeat log lines")
    lease: float = Field(15, ge=3, le=3_600, description="seconds after which an unextended lease expires")
    drain_timeout: float = Field(60, ge=0, le=86_400, description="seconds for running jobs to finish after SIGTERM")
    quota_patience: float = Field(
        5, gt=0, le=300, description="longest wait of a running job for quota before it releases its slot, in seconds"
    )
    review_every: int | None = Field(None, ge=1, le=1_000, description="one of this many posts stays a draft")
    retry_base: float = Field(2, gt=0, le=86_400, description="seconds of backoff after the first failure")
    retry_cap: float = Field(300, gt=0, le=604_800, description="longest backoff in seconds")

    @property
    def extend_s(self) -> float:
        return self.lease / EXTEND_TO_LEASE


# The name of the account that a key belongs to, if the keys of a fleet belong to several accounts.
Account = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
Family = Annotated[str, Field(pattern=r"^\S{1,100}$")]


def _credential(provider: str, account: str | None) -> str:
    """Return the name that quotas and breakers belong to. Each account has its own."""
    return provider if account is None else f"{provider}@{account}"


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
# Always sent, because the default of the provider, medium, uses hidden output tokens. None: the model has no effort.
TEXT_EFFORTS: dict[str, Effort | None] = {"gpt-4.1-mini": None, "gpt-4o-mini": None}


class OpenAISettings(ProviderSettings):
    model_config = SettingsConfigDict(env_prefix="OPENAI_")

    api_key: Secret = None
    account: Account | None = Field(None, description="the account of the key; unset: all keys belong to the same")
    base_url: WebAddress = "https://api.openai.com/v1"
    rpm: int = Field(450, ge=1, le=MOST_A_MINUTE, description="requests per minute, for the whole fleet")
    tpm: int = Field(450_000, ge=1, le=MOST_A_MINUTE, description="tokens per minute, for the whole fleet")
    timeout: Call = Field(180, description="seconds one call may take")
    ideas_model: Model = Field("gpt-6-luna", validation_alias="BLOGWORKER_IDEAS_MODEL")
    content_model: Model = Field("gpt-6.1-terra", validation_alias="BLOGWORKER_CONTENT_MODEL")
    fallback_model: Model | None = Field(None, validation_alias="BLOGWORKER_FALLBACK_MODEL")  # if a model is unknown
    families: Annotated[dict[str, Family], NoDecode, BeforeValidator(from_json)] = Field(
        {},
        validation_alias="BLOGWORKER_MODEL_FAMILIES",
        description="models that share one limit: model -> name of the limit",
    )
    efforts: Annotated[dict[str, Effort | None], NoDecode, BeforeValidator(from_json)] = Field(
        TEXT_EFFORTS, validation_alias="BLOGWORKER_TEXT_EFFORTS"
    )  # other models: low
    ideas_ttl: Ttl = Field(30 * 86_400, validation_alias="BLOGWORKER_IDEAS_TTL", description="seconds")
    ideas_tokens: int = Field(
        2_000, ge=500, le=MOST_A_MINUTE, validation_alias="BLOGWORKER_IDEAS_TOKENS", description="reserved per call"
    )
    content_tokens: int = Field(
        4_000, ge=1_000, le=MOST_A_MINUTE, validation_alias="BLOGWORKER_CONTENT_TOKENS", description="reserved per post"
    )
    prices: Annotated[dict[str, TextPrices], NoDecode, BeforeValidator(from_json)] = Field(
        TEXT_PRICES, validation_alias="BLOGWORKER_TEXT_PRICES", description="USD per million tokens: see prices.py"
    )

    @model_validator(mode="after")
    def _calls_fit(self) -> Self:
        name = "CONTENT" if self.content_tokens >= self.ideas_tokens else "IDEAS"
        if self.tpm < (tokens := max(self.content_tokens, self.ideas_tokens)):
            raise ValueError(f"OPENAI_TPM ({self.tpm}) is below BLOGWORKER_{name}_TOKENS ({tokens}) for a call")
        return self

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(filter(None, (self.ideas_model, self.content_model, self.fallback_model))))

    @property
    def credential(self) -> str:
        return _credential("openai", self.account)

    def bucket(self, model: str) -> str:
        """Return the name of the quota for calls of a model."""
        return f"{self.credential}/{self.families.get(model, model)}"


class ReplicateSettings(ProviderSettings):
    model_config = SettingsConfigDict(env_prefix="REPLICATE_")

    api_token: Secret = None
    account: Account | None = Field(None, description="the account of the token; unset: all belong to the same")
    base_url: WebAddress = "https://api.replicate.com"
    rpm: int = Field(600, ge=1, le=MOST_A_MINUTE, description="predictions created per minute, for the whole fleet")
    reads_rpm: int = Field(
        3_000, ge=1, le=MOST_A_MINUTE, description="other calls per minute, mostly polls, for the whole fleet"
    )
    timeout: Call = Field(60, description="seconds one HTTP call may take")
    poll_interval: Call = Field(0.5, description="seconds between polls of a prediction")
    deadline: float = Field(120, ge=5, le=86_400, description="seconds one prediction may take")
    model: str = Field(
        "black-forest-labs/flux-schnell", pattern=r"^[^/\s]+/[^/\s]+$", validation_alias="BLOGWORKER_IMAGE_MODEL"
    )
    image_trouble: ImageTrouble = Field(
        "wait",
        validation_alias="BLOGWORKER_IMAGE_TROUBLE",
        description="if a picture cannot be made: wait for it, skip it, or fail the job; a site may override this",
    )
    prices: Annotated[dict[str, ImagePrices], NoDecode, BeforeValidator(from_json)] = Field(
        IMAGE_PRICES, validation_alias="BLOGWORKER_IMAGE_PRICES", description="USD per picture: see prices.py"
    )

    @property
    def credential(self) -> str:
        return _credential("replicate", self.account)

    def bucket(self, calls: Literal["predictions", "reads"]) -> str:
        """Return the name of the quota for creating predictions, or for all other calls."""
        return f"{self.credential}/{calls}"


class WixSettings(ProviderSettings):
    model_config = SettingsConfigDict(env_prefix="WIX_")

    app_id: str | None = None
    app_secret: Secret = None
    base_url: WebAddress = "https://www.wixapis.com"
    rpm: int = Field(200, ge=8, le=MOST_A_MINUTE, description="calls per minute that Wix allows for one site")
    timeout: Call = Field(60, description="seconds one call may take; a draft can take 30")
    product_ttl: Ttl = Field(3_600, validation_alias="BLOGWORKER_PRODUCT_TTL", description="seconds")
    slowest_draft: float = Field(40, gt=0, le=3_600, description="seconds until a requested draft exists")
    media_timeout: Call = Field(30, description="seconds an import may take to become READY")
    media_poll_interval: Call = Field(1, description="seconds between polls of an import")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.app_id is None) != (self.app_secret is None):
            raise ValueError("set both WIX_APP_ID and WIX_APP_SECRET, or neither (then posts are not published)")
        return self

    @property
    def configured(self) -> bool:
        return self.app_id is not None


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections."""

    log: LogSettings
    database: DatabaseSettings
    queue: QueueSettings
    worker: WorkerSettings
    openai: OpenAISettings
    replicate: ReplicateSettings
    wix: WixSettings
    webhook: WebhookSettings
    tracing: TracingSettings
    metrics: MetricsSettings


def load(overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """Load all settings. `overrides` are flags: section -> field -> value, where None means "not given".

    Raises SettingsError with all faults at once.
    """
    sections: dict[str, Any] = {}
    faults: list[str] = []
    for name, section in get_type_hints(Settings).items():
        try:
            sections[name] = load_section(section, **(overrides or {}).get(name, {}))
        except SettingsError as error:
            faults.append(str(error))
    try:
        Proxies.of_environment()
    except SettingsError as error:
        faults.append(str(error))
    if faults:
        raise SettingsError("\n".join(faults))
    return Settings(**sections)


def has_database() -> bool:
    """Whether DATABASE_URL is set in any source of settings, valid or not."""
    return load_section(_DatabaseAddress).url is not None


def require_keys(settings: Settings, *, illustrated: bool = True) -> None:
    """Raise SettingsError if a provider that every job needs has no key."""
    missing = [
        f"{name} is not set{unreadable_hint()}: the worker cannot {purpose} without it. "
        "For a trial without keys: blogworker demo"
        for name, value, purpose in (
            ("OPENAI_API_KEY", settings.openai.api_key, "write"),
            *([("REPLICATE_API_TOKEN", settings.replicate.api_token, "illustrate")] if illustrated else []),
        )
        if value is None
    ]
    if missing:
        raise SettingsError("\n".join(missing))
