"""Another application with the same key: takes an even share of the token limit for a while, and learns nothing."""

from collections.abc import Mapping
from typing import Any

import httpx2
from anyio import create_task_group, current_time, sleep_until

CAP_TOKENS = 2_000
EXPECTED_TOKENS = 2_000.0  # until answers tell


class Foreigner:
    """`calls` and `refused` are its own count."""

    def __init__(self, url: str, *, model: str, tokens_per_s: float) -> None:
        self._url = f"{url}/openai/v1/chat/completions"
        self._model = model
        self._tokens_per_s = tokens_per_s
        self._typical = EXPECTED_TOKENS
        self.calls = 0
        self.refused = 0

    async def run(self) -> None:
        """Call for ever, so often that real usage adds up to the share."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
        async with (
            httpx2.AsyncClient(timeout=60, trust_env=False, limits=limits) as client,
            create_task_group() as calls,
        ):
            due = current_time()
            while True:
                calls.start_soon(self._call, client)
                due += self._typical / self._tokens_per_s
                await sleep_until(due)

    async def _call(self, client: httpx2.AsyncClient) -> None:
        body: Mapping[str, Any] = {
            "model": self._model,
            "max_completion_tokens": CAP_TOKENS,
            "reasoning_effort": "high",  # long answers that cost the simulator no writing
            "messages": [{"role": "user", "content": "hello"}],
        }
        answer = await client.post(self._url, json=body, headers={"authorization": "Bearer simulated"})
        self.calls += 1
        if answer.status_code == 200:
            self._typical += 0.05 * (answer.json()["usage"]["total_tokens"] - self._typical)
        else:
            self.refused += 1
