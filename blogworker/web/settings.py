"""Settings of the HTTP server."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from blogworker.section import Section


class HttpSettings(Section):
    model_config = SettingsConfigDict(env_prefix="BLOGWORKER_HTTP_")

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on; put a proxy with TLS in front")
    port: int = Field(8080, ge=0, le=65_535, description="port to listen on; 0: any free port")
    rpm: int = Field(30_000, ge=1, le=10_000_000, description="requests per minute and token")
    connections: int = Field(10_000, ge=1, le=100_000, description="open connections; further ones are closed")
