"""Estimate of the cost of jobs, and of the time that the quotas allow, before anything is paid.

Likely: the average of the last finished jobs, by source type and model, at today's prices. With fewer than ENOUGH
finished jobs: the tokens reserved for each call, all at the output price. That is usually more than a job uses.

At most: every text is truncated and requested again with the higher limit, then fails its checks; its repair is also
truncated and requested again; each call has as many input tokens as are reserved for it; and a second picture. Only
calls whose answer was lost can cost more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from blogworker.db.pool import Row
from blogworker.prices import Usage, in_force, text_cost
from blogworker.settings import OpenAISettings, ReplicateSettings

ENOUGH = 20  # jobs whose average is a better estimate than the reservation
DAYS, LATEST = 30, 2_000  # which finished jobs to average
ANY = "any"
USED = ("calls", "tokens_in", "tokens_cached", "tokens_out")


@dataclass(frozen=True, slots=True)
class Prices:
    """The settings that a cost depends on."""

    openai: OpenAISettings
    replicate: ReplicateSettings


@dataclass(frozen=True, slots=True)
class PaidCall:
    """The paid call of one stage, as the settings define it."""

    stage: str
    model: str
    bucket: str
    tokens: int  # reserved for a call; 0: a picture
    most_calls: int  # in the worst case
    most_tokens_out: int = 0  # of all these calls


@dataclass(frozen=True, slots=True)
class Use:
    """What one stage uses per job, for jobs of one source type."""

    source_type: str
    jobs: int
    stage: str
    model: str
    bucket: str
    calls: float
    tokens: float
    usd: float | None  # None: the model has no price in the settings
    usd_at_most: float | None
    seen: int  # finished jobs in the average; 0: the reservation is used instead
    seen_of: str | None  # their source type


@dataclass(frozen=True, slots=True)
class Estimate:
    uses: tuple[Use, ...]
    usd: float | None
    usd_at_most: float | None
    minutes: float  # at least, with the quotas in force
    narrowest: str | None  # the quota that takes this long


def estimate(
    needs: Mapping[tuple[str, str], int],
    calls: Sequence[PaidCall],
    usage: Sequence[Row],
    quotas: Sequence[Row],
    prices: Prices,
) -> Estimate:
    """Return the estimate. `needs`: jobs by source type and paid stage; `usage` and `quotas`: rows of the queries with
    these names, may be empty."""
    uses = tuple(
        _use(kind, needs[kind, call.stage], call, usage, prices)
        for kind in sorted({kind for kind, _ in needs})
        for call in calls
        if (kind, call.stage) in needs
    )
    minutes, narrowest = _time(uses, _limits(quotas, prices))
    return Estimate(
        uses,
        _total((use.usd, use.jobs) for use in uses),
        _total((use.usd_at_most, use.jobs) for use in uses),
        minutes,
        narrowest,
    )


def price(model: str, prices: Prices, *, tokens_in: float, cached: float, out: float) -> float | None:
    """Return the USD of these tokens of a text model, or of one picture; None if the model has no price."""
    today = datetime.now(UTC).date()
    if (text := in_force(prices.openai.prices.get(model, ()), today)) is not None:
        usage = Usage(tokens_in=round(tokens_in), cached=round(cached), tokens_out=round(out))
        return text_cost(text, usage)
    picture = in_force(prices.replicate.prices.get(model, ()), today)
    return None if picture is None else picture.usd


def _use(kind: str, jobs: int, call: PaidCall, usage: Sequence[Row], prices: Prices) -> Use:
    def usd(*, calls: float, tokens_in: float = 0, cached: float = 0, out: float = 0) -> float | None:
        cost = price(call.model, prices, tokens_in=tokens_in, cached=cached, out=out)
        return cost if cost is None or call.tokens else cost * calls

    seen_of, seen = _seen(kind, call, usage)
    if seen:
        each = {name: _sum(seen, name) / _sum(seen, "blogs") for name in USED}
        calls, tokens = each["calls"], each["tokens_in"] + each["tokens_out"]
        likely = usd(calls=calls, tokens_in=each["tokens_in"], cached=each["tokens_cached"], out=each["tokens_out"])
    else:
        calls, tokens, likely = 1.0, float(call.tokens), usd(calls=1, out=call.tokens)
    most = usd(calls=call.most_calls, tokens_in=call.most_calls * call.tokens, out=call.most_tokens_out)
    return Use(
        kind, jobs, call.stage, call.model, call.bucket, calls, tokens, likely, most, _sum(seen, "blogs"), seen_of
    )


def _seen(kind: str, call: PaidCall, usage: Sequence[Row]) -> tuple[str | None, list[Row]]:
    """Return the finished jobs to average: of this source type, else of any type, if there are enough."""
    alike = [row for row in usage if (row["stage"], row["model"]) == (call.stage, call.model)]
    for name, rows in ((kind, [row for row in alike if row["source_type"] == kind]), (ANY, alike)):
        if _sum(rows, "blogs") >= ENOUGH:
            return name, rows
    return None, []


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _total(parts: Iterable[tuple[float | None, int]]) -> float | None:
    total = 0.0
    for each, jobs in parts:
        if each is None:
            return None
        total += each * jobs
    return total


def _limits(quotas: Sequence[Row], prices: Prices) -> dict[str, tuple[float, float | None]]:
    """Return requests and tokens per minute of each quota: in force, else from the settings."""
    openai, replicate = prices.openai, prices.replicate
    limits: dict[str, tuple[float, float | None]] = {
        openai.bucket(model): (openai.rpm, openai.tpm) for model in (openai.ideas_model, openai.content_model)
    }
    limits[replicate.bucket("predictions")] = (replicate.rpm, None)
    for row in quotas:
        requests, tokens = row["requests_per_minute"], row["tokens_per_minute"]
        limits[row["name"]] = (
            min(requests, row["reported_requests_per_minute"] or requests),
            tokens and min(tokens, row["reported_tokens_per_minute"] or tokens),
        )
    return limits


def _time(uses: Sequence[Use], limits: Mapping[str, tuple[float, float | None]]) -> tuple[float, str | None]:
    return max(_times(uses, limits), default=(0.0, None))


def _times(uses: Sequence[Use], limits: Mapping[str, tuple[float, float | None]]) -> Iterator[tuple[float, str]]:
    """Yield the minutes that each quota alone requires, and its name."""
    for bucket in {use.bucket for use in uses}:
        here = [use for use in uses if use.bucket == bucket]
        requests, tokens = limits[bucket]
        yield sum(use.calls * use.jobs for use in here) / requests, f"{bucket} requests"
        if tokens is not None:
            yield sum(use.tokens * use.jobs for use in here) / tokens, f"{bucket} tokens"
