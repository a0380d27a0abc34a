"""The settings of traces and of a worker's own metrics, and the levels of its log.

Traces have OpenTelemetry's own variables. Its SDK reads those that are not here from the environment, such as
OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_TIMEOUT and OTEL_BSP_MAX_QUEUE_SIZE.
"""

from ipaddress import IPv4Address
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, IPvAnyAddress, SecretStr
from pydantic_settings import SettingsConfigDict

from blogworker.redact import SECRETS
from blogworker.section import Section, WebAddress

TRACES_PATH = "v1/traces"
PROTOCOL = "http/protobuf"
SEED_LEVELS = {"0": "error", "1": "warning", "2": "info", "3": "debug", "4": "debug"}
SEED_LEVELS |= {"warn": "warning", "trace": "debug"}


def _level(value: object) -> object:
    """Accept names in any case, and the numbers 0 to 4 of the previous system."""
    word = str(value).strip().lower()
    return SEED_LEVELS.get(word, word)


LogLevel = Annotated[Literal["error", "warning", "info", "debug"], BeforeValidator(_level)]


def _parsed(headers: SecretStr) -> dict[str, str]:
    """Return the headers of `name=value,name=value`. Raises ValueError."""
    pairs = [pair.partition("=") for pair in headers.get_secret_value().split(",") if pair.strip()]
    found = {unquote(name).strip().lower(): unquote(value).strip() for name, _, value in pairs}
    right = all(separator and name.strip() for name, separator, _ in pairs)
    if not right or not all(text.isascii() and text.isprintable() for pair in found.items() for text in pair):
        raise ValueError("expected name=value,name=value, with blanks and commas in a value as %20 and %2C")
    return found


def _readable(headers: SecretStr | None) -> SecretStr | None:
    """Refuse what is no list of headers. Each of its values is hidden, in logs and in traces."""
    for value in ({} if headers is None else _parsed(headers)).values():
        SECRETS.learn(value)
    return headers


class TracingSettings(Section):
    endpoint: WebAddress | None = Field(
        None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT", description="base URL of an OTLP/HTTP receiver"
    )
    traces_endpoint: WebAddress | None = Field(
        None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", description="the whole URL for traces"
    )
    headers: Annotated[SecretStr | None, AfterValidator(_readable)] = Field(
        None, validation_alias="OTEL_EXPORTER_OTLP_HEADERS", description="sent to the receiver: name=value,name=value"
    )
    protocol: str = Field(PROTOCOL, validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL")
    exporter: str = Field("otlp", validation_alias="OTEL_TRACES_EXPORTER", description="none: no traces")
    disabled: bool = Field(default=False, validation_alias="OTEL_SDK_DISABLED")

    @property
    def url(self) -> str | None:
        """Where traces are sent; None: nowhere."""
        if self.disabled or self.exporter.strip().lower() == "none":
            return None
        if self.traces_endpoint is not None or self.endpoint is None:
            return self.traces_endpoint
        return f"{self.endpoint.rstrip('/')}/{TRACES_PATH}"

    @property
    def sent_headers(self) -> dict[str, str]:
        return {} if self.headers is None else _parsed(self.headers)


class MetricsSettings(Section):
    model_config = SettingsConfigDict(env_prefix="BLOGWORKER_METRICS_")

    port: int | None = Field(None, ge=0, le=65_535, description="serves this worker's metrics; 0: any free port")
    host: IPvAnyAddress = Field(IPv4Address("127.0.0.1"), description="address that the port is opened on")
