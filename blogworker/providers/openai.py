"""Text from OpenAI's Responses API.

Every response with status 200 was paid for, so `generate` returns a Generation even if its text is not usable: the
caller records its cost first, and then gets the text with `checked()`. The queue does all retries, because it sees the
code of an error, while the SDK sees only the status.
"""

from collections.abc import Mapping
from typing import Any, Self

import httpx2
from anyio import fail_after
from openai import (
    APIConnectionError,
    APIStatusError,
    AsyncOpenAI,
    OpenAIError,
    omit,
)

from blogworker.errors import Misconfigured, OutcomeUnknown, ProviderError
from blogworker.providers import http, transport
from blogworker.providers.blame import Blame
from blogworker.providers.openai_answers import PROVIDER, Generation, generation_of, is_ours, refusal
from blogworker.settings import Effort, OpenAISettings
from blogworker.telemetry import tracing


class OpenAIClient:
    """One per process."""

    def __init__(self, settings: OpenAISettings, *, connections: int) -> None:
        self._settings = settings
        self._connections = connections
        self._sdk: AsyncOpenAI | None = None
        self._blame = Blame(PROVIDER)

    async def open(self) -> None:
        if self._settings.api_key is None:
            raise Misconfigured("OPENAI_API_KEY is not set", provider=PROVIDER)
        wire = transport.Transport(self._settings, connections=self._connections)
        self._sdk = AsyncOpenAI(
            api_key=self._settings.api_key.get_secret_value(),
            base_url=self._settings.base_url,
            max_retries=0,
            timeout=httpx2.Timeout(self._settings.timeout, connect=transport.CONNECT_TIMEOUT_S),
            http_client=transport.client(wire, timeout_s=self._settings.timeout),
        )

    async def aclose(self) -> None:
        if self._sdk is not None:
            await self._sdk.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @tracing.called(PROVIDER, "responses.create")
    async def generate(
        self,
        *,
        model: str,
        instructions: str,
        input: str,  # noqa: A002 - the API's own word
        schema_name: str,
        schema: Mapping[str, Any],
        max_output_tokens: int,
        effort: Effort | None = "low",
        timeout_s: float | None = None,
        cache_key: str | None = None,
    ) -> Generation:
        """Return one answer of `model`, as JSON that matches `schema`. `max_output_tokens` includes reasoning.

        `effort` is None for models without it. `timeout_s` of None is the timeout of the settings.
        """
        tracing.describe_call(model=model)
        allowed_s = timeout_s or self._settings.timeout
        if self._sdk is None:
            raise RuntimeError("the client is not open")
        try:
            with fail_after(allowed_s):  # httpx2 limits each read, not the total
                raw = await self._sdk.responses.with_raw_response.create(
                    model=model,
                    instructions=instructions,
                    input=input,
                    text={
                        "format": {"type": "json_schema", "name": schema_name, "strict": True, "schema": dict(schema)}
                    },
                    max_output_tokens=max_output_tokens,
                    reasoning=omit if effort is None else {"effort": effort},
                    store=False,
                    timeout=httpx2.Timeout(allowed_s, connect=transport.CONNECT_TIMEOUT_S),
                    prompt_cache_key=cache_key or schema_name,
                )
        except APIStatusError as error:
            raise self._refusal(error.response, input) from error
        except (OpenAIError, TimeoutError, ValueError, RecursionError, *http.TransportError) as error:
            raise _lost(error) from error
        self._blame.accepted()
        prices = self._settings.prices.get(model, ())
        made = generation_of(raw.http_response.content, raw.headers, model=model, prices=prices)
        tracing.describe_call(
            tokens_in=made.tokens_in, tokens_out=made.tokens_out, cost_usd=made.cost_usd, request_id=made.request_id
        )
        return made

    def _refusal(self, answer: httpx2.Response, job: str) -> ProviderError:
        failure = refusal(answer.status_code, answer.content, answer.headers)
        return self._blame.attributed(failure, ours=is_ours(answer.content), job=job)


def _lost(error: Exception) -> ProviderError:
    """Return the error for an exception of the SDK."""
    match error:
        case APIConnectionError():
            return http.lost(error.__cause__ or error, provider=PROVIDER)
        case OpenAIError() | ValueError() | RecursionError():  # a response that the SDK cannot parse
            return OutcomeUnknown(f"unreadable response: {type(error).__name__}", provider=PROVIDER)
        case _:
            return http.lost(error, provider=PROVIDER)
