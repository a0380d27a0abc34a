"""Another application that uses the same API key, at a steady rate of tokens."""

from collections.abc import Mapping
from typing import Any

import httpx2
from anyio import create_task_group, current_time, sleep_until

MAX_TOKENS = 2_000
FIRST_TOKENS = 2_000.0  # of a call, before the first answer


class OtherApplication:
    """Counts its own `calls` and those that were `refused`."""

    def __init__(self, url: str, *, model: str, tokens_per_s: float) -> None:
        self._url = f"{url}/openai/v1/chat/completions"
        self._model = model
        self._tokens_per_s = tokens_per_s
        self._mean_tokens = FIRST_TOKENS
        self.calls = 0
        self.refused = 0

    async def run(self) -> None:
        """Call forever, so often that the real usage is `tokens_per_s`."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
        async with (
            httpx2.AsyncClient(timeout=60, trust_env=False, limits=limits) as client,
            create_task_group() as calls,
        ):
            due = current_time()
            while True:
                calls.start_soon(self._call, client)
                due += self._mean_tokens / self._tokens_per_s
                await sleep_until(due)

    async def _call(self, client: httpx2.AsyncClient) -> None:
        body: Mapping[str, Any] = {
            "model": self._model,
            "max_completion_tokens": MAX_TOKENS,
            "reasoning_effort": "high",  # long answers for which the simulator writes no text
            "messages": [{"role": "user", "content": "hello"}],
        }
        answer = await client.post(self._url, json=body, headers={"authorization": "Bearer simulated"})
        self.calls += 1
        if answer.status_code == 200:
            self._mean_tokens += 0.05 * (answer.json()["usage"]["total_tokens"] - self._mean_tokens)
        else:
            self.refused += 1
