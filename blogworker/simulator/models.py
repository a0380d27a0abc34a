"""The language models: names, output speed, reasoning tokens and the prompt cache."""

import hashlib
import math
from dataclasses import dataclass
from random import Random

from blogworker.simulator.clock import Clock

LOGNORMAL_SIGMA = math.log(3) / 2.326  # the 99th percentile is three times the median
CHARS_PER_TOKEN = 4
CACHE_FLOOR_TOKENS = 1_024
CACHE_STEP_TOKENS = 128
CACHE_LIFE_S = 1_800.0
EFFORT_TOKENS = {"none": 0, "minimal": 40, "low": 250, "medium": 900, "high": 2_500, "xhigh": 5_000, "max": 9_000}


@dataclass(frozen=True, slots=True)
class Model:
    """One model. `slowest` and `fastest` are output tokens per second."""

    slowest: float
    fastest: float
    can_skip_thinking: bool = True  # accepts effort "none"
    default_effort: str = "medium"
    reasons: bool = True
    writes_cache: bool = False  # reports cache writes


_LUNA = Model(140, 200, writes_cache=True)
_MINI = Model(120, 180)
_TERRA = Model(85, 130, writes_cache=True)
_SOL = Model(55, 90, writes_cache=True)
_OLD = Model(110, 160, reasons=False, default_effort="none")

MODELS = {
    "gpt-6-luna": _LUNA,
    "gpt-6.1-terra": _TERRA,
    "gpt-6.1-sol": Model(55, 90, can_skip_thinking=False, writes_cache=True),
    "gpt-6-sol": _SOL,
    "gpt-6-astra": Model(40, 60, writes_cache=True),
    "gpt-5.6-luna": _LUNA,
    "gpt-5.6-terra": _TERRA,
    "gpt-5.6-sol": _SOL,
    "gpt-5.5": Model(50, 80),
    "gpt-5.4": Model(57, 88),
    "gpt-5.4-mini": _MINI,
    "gpt-5.4-nano": Model(160, 220),
    "gpt-5": Model(50, 80, can_skip_thinking=False),
    "gpt-5-mini": Model(90, 140, can_skip_thinking=False),
    "gpt-5-nano": Model(130, 190, can_skip_thinking=False),
    "gpt-4.1-mini": _OLD,
    "gpt-4o-mini": _OLD,
}


def tokens_of(text: str) -> int:
    """Estimate the tokens of a text. The provider's tokenizer gives slightly other numbers."""
    return math.ceil(len(text) / CHARS_PER_TOKEN)


def thinking_tokens(model: Model, effort: str, random: Random) -> int:
    """How many reasoning tokens the model uses before it writes."""
    return round(EFFORT_TOKENS[effort] * random.uniform(0.6, 1.5)) if model.reasons else 0


def answer_time_s(model: Model, output_tokens: int, random: Random, *, tail: float) -> float:
    """Provider seconds until the answer is complete. `tail`: share of the answers that take minutes."""
    if random.random() < tail:
        return random.uniform(120.0, 180.0)
    first_token_s = random.uniform(0.4, 1.0)
    median_s = first_token_s + output_tokens / random.uniform(model.slowest, model.fastest)
    return median_s * random.lognormvariate(0.0, LOGNORMAL_SIGMA)


class PromptCache:
    """Caches prefixes of prompts: 1,024 tokens, and then steps of 128."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[bytes, float] = {}  # digest of model and prefix -> when it was last used

    def cached_tokens(self, model: str, prompt: str) -> tuple[int, int]:
        """How many tokens of the prompt were read from the cache, and how many were written to it."""
        floor, step = CACHE_FLOOR_TOKENS * CHARS_PER_TOKEN, CACHE_STEP_TOKENS * CHARS_PER_TOKEN
        now, read, end = self._clock.now(), 0, floor
        digest = hashlib.blake2b(model.encode(), digest_size=12)
        digest.update(prompt[: floor - step].encode())
        while end <= len(prompt):
            digest.update(prompt[end - step : end].encode())
            key = digest.digest()
            if now - self._seen.get(key, -math.inf) <= self._clock.real_seconds(CACHE_LIFE_S):
                read = end
            self._seen[key] = now
            end += step
        whole = max(0, end - step) if end > floor else 0
        self._remove_expired(now)
        return read // CHARS_PER_TOKEN, (whole - read) // CHARS_PER_TOKEN

    def _remove_expired(self, now: float) -> None:
        if len(self._seen) > 50_000:
            life = self._clock.real_seconds(CACHE_LIFE_S)
            self._seen = {key: at for key, at in self._seen.items() if now - at <= life}
