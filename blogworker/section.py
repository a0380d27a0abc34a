"""The base of all settings sections: where values come from, and how faults are reported."""

import json
import os
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, get_args
from urllib.parse import unquote
from urllib.request import getproxies

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from blogworker.addresses import Origin, web_address
from blogworker.envfile import LOCAL_FILE, local_file, local_values, read, unreadable_hint
from blogworker.errors import SettingsError
from blogworker.redact import SECRETS

CREDENTIALS = "CREDENTIALS_DIRECTORY"  # set by systemd: a folder with one file per credential

# An encrypted credential has the name of its file in /etc/credstore.encrypted. Without a suffix, systemd would take a
# plain file of the same name in /etc/credstore for it.
PREFIX, SUFFIX = "blogworker.", ".cred"

WebAddress = Annotated[str, AfterValidator(web_address)]
Model = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^\S{1,200}$")]  # the name of one
Call = Annotated[float, Field(gt=0, le=3_600)]  # seconds
Ttl = Annotated[float, Field(gt=0, le=315_360_000)]  # seconds, up to ten years


def credential_name(path: Path) -> str:
    """Return the name of the setting that a credential is for, in lower case."""
    return path.name.lower().removeprefix(PREFIX).removesuffix(SUFFIX)


class _Credentials(SecretsSettingsSource):
    """Finds credentials with and without prefix and suffix; the shortest name wins."""

    @classmethod
    def find_case_path(cls, dir_path: Path, file_name: str, case_sensitive: bool) -> Path | None:  # noqa: FBT001
        found = [path for path in dir_path.iterdir() if credential_name(path) == file_name.lower()]
        return min(found, key=lambda path: len(path.name), default=None)


class Section(BaseSettings):
    """The settings of a room. An empty variable counts as not set."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        env_file=LOCAL_FILE,
        populate_by_name=True,
        hide_input_in_errors=True,  # it may be a secret
        allow_inf_nan=False,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(file_secret_settings, SecretsSettingsSource)  # noqa: S101 - what pydantic passes
        credentials = _Credentials(settings_cls, file_secret_settings.secrets_dir)
        return init_settings, env_settings, dotenv_settings, credentials

    @field_validator("*", mode="before")
    @classmethod
    def _learn(cls, value: object, info: ValidationInfo) -> object:
        """Register secrets with the redactor before validation, so that an invalid secret is hidden too."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str):
            name = info.field_name or ""
            if variable(cls, name) in CONNECTION_STRINGS:
                found = passwords_of(text)
            elif _is_secret(cls.model_fields[name].annotation):
                found = {text.strip()}
            else:
                found = userinfo_of(text)
            for secret in found:
                SECRETS.learn(secret)
        return value


CONNECTION_STRINGS = ("DATABASE_URL", "DATABASE_DIRECT_URL")  # only their passwords are secret
PASSWORDS = ("password", "sslpassword")
USERINFO = re.compile(r"(?:^|://)[^/?#:@]*:(?P<password>[^/?#@]+)@")


class ProviderSettings(Section):
    """The settings that every provider has: the address of its API."""

    base_url: WebAddress
    allow_http: bool = Field(default=False, description="allow unencrypted keys and posts to a base URL with http://")

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        home = Origin.of(self.base_url)
        if home.scheme == "http" and not home.loopback and not self.allow_http:
            base_url, allow_http = (variable(type(self), field) for field in ("base_url", "allow_http"))
            raise ValueError(
                f"{base_url}: http:// would send the key unencrypted; use https://, or set {allow_http}=true"
            )
        return self


S = TypeVar("S", bound=Section)


def load_section(section: type[S], **flags: Any) -> S:
    """Load one section. Faults of other sections do not matter to a command that needs only this one."""
    given = {key: value for key, value in flags.items() if value is not None}
    if faults := [*_unreadable_hintable_credentials(section)]:
        raise SettingsError("\n".join(faults))
    try:
        return section(_env_file=local_file(), _secrets_dir=os.environ.get(CREDENTIALS) or None, **given)
    except ValidationError as error:
        raise SettingsError("\n".join(_fault(section, dict(e)) for e in error.errors(include_input=False))) from error


def _unreadable_hintable_credentials(section: type[BaseSettings]) -> Iterable[str]:
    """Yield one line for each credential of the section that exists but cannot be read."""
    if not (folder := os.environ.get(CREDENTIALS)):
        return
    try:
        found = {credential_name(path): path for path in Path(folder).iterdir()}
    except OSError as error:
        yield f"{CREDENTIALS}: {folder} cannot be read: {(error.strerror or type(error).__name__).lower()}"
        return
    for name in (variable(section, field) for field in section.model_fields):
        if (path := found.get(name.lower())) is not None:
            try:
                if not read(path).strip():
                    yield f"{name}: credential {path} is empty"
            except SettingsError as error:
                yield f"{name}: credential {error}"


def learn_secrets(sections: Iterable[type[Section]]) -> None:
    """Register the secrets of all sections, even of those that the command does not use: it may show text of a worker
    that uses them."""
    for section in sections:
        with suppress(SettingsError, ValueError, OSError):  # the command that needs the section reports the fault
            load_section(section)
    for address in getproxies().values():
        for secret in userinfo_of(address):
            SECRETS.learn(secret)


def userinfo_of(address: str) -> set[str]:
    """Return the passwords in the addresses of a text, as written and decoded."""
    found = {match["password"] for match in USERINFO.finditer(address)}
    return found | {unquote(password) for password in found}


def passwords_of(url: str) -> set[str]:
    """Return the passwords of a connection string, as written and decoded; the whole text if it is not one.

    A password that equals the user, database or host name is not included, because that would hide these names."""
    try:
        parsed = conninfo_to_dict(url)
    except (ProgrammingError, ValueError):
        parsed = {}
    written = (
        url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    )  # up to the last @, as a password may contain one
    found = {written, unquote(written), *(str(parsed.get(name) or "") for name in PASSWORDS)}
    address = url.strip().removeprefix("postgresql://").removeprefix("postgres://")
    if not parsed and (address == url.strip() or not written):
        found.add(address)
    return found - {str(parsed.get(name)) for name in ("user", "dbname", "host")}


def variable(section: type[BaseSettings], field: str) -> str:
    """Return the environment variable that sets a field."""
    alias = section.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias) if alias else f"{section.model_config.get('env_prefix', '')}{field}".upper()


def from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None


def unknown_variables(
    sections: Iterable[type[BaseSettings]], *, prefix: str, besides: Collection[str]
) -> dict[str, str | None]:
    """Return unknown variables with our prefix, here or in `.env`, each with the most similar known one."""
    known = {*besides, *(variable(section, field) for section in sections for field in section.model_fields)}
    given = {name.upper() for name in (*os.environ, *local_values())}
    unknown = sorted(name for name in given - known if name.startswith(prefix))
    return {name: next(iter(get_close_matches(name, known, n=1)), None) for name in unknown}


def without_line_break(value: object) -> object:
    """Remove a line break pasted with a secret. Raises ValueError for characters that a header cannot have."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        return value
    text = text.strip()
    if not all("!" <= character <= "~" for character in text):
        raise ValueError(
            "contains a blank, a line break or a character that is not ASCII: copy it again, without quotes"
        )
    return text or None


Secret = Annotated[SecretStr | None, BeforeValidator(without_line_break)]


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(_is_secret(part) for part in get_args(annotation))


def _fault(section: type[BaseSettings], detail: dict[str, Any]) -> str:
    field = str(detail["loc"][0]) if detail["loc"] else None
    message = str(detail["msg"]).removeprefix("Value error, ")
    if field is None:
        return message
    name = variable(section, field) if field in section.model_fields else field
    if detail["type"] == "missing" and len(detail["loc"]) == 1:
        return f"{name} is not set{unreadable_hint()}"
    place = "".join(f"{part}: " for part in detail["loc"][1:])  # within a table of prices
    return f"{name}: {place}{message[0].lower()}{message[1:]}"
