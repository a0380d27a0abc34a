"""What a campaign will cost and how long the quota makes it take, before anything is bought.

Likely: what the blogs that were finished last have used, by kind of source and model, at today's prices. Where fewer
than ENOUGH of them are known: the tokens reserved for each call, all at the price of output, which is more than a blog
takes as a rule.

At most: every text cut off, written again with the larger cap, found unfit, and its repair cut off and written again,
each call reading as many tokens as are reserved for it; and a second picture. Only calls whose answer was lost, which
nobody can count, could add to that.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from blogworker.db.pool import Row
from blogworker.prices import Usage, in_force, text_cost
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.stages.writing import LARGER_CAP

ENOUGH = 20  # blogs whose average is worth more than the reservation
DAYS, LATEST = 30, 2_000  # how far to look back for them
MOST_CALLS, MOST_CAPS = 4, 2 * (1 + LARGER_CAP)  # of one text, and the sum of their caps in reservations
MOST_PICTURES = 2
ANY = "any"
PAID = ("ideas", "content", "image")
USED = ("calls", "tokens_in", "tokens_cached", "tokens_out")


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage needs, as the settings have it."""

    name: str
    model: str
    bucket: str
    tokens: int  # reserved for a call; 0: a picture


@dataclass(frozen=True, slots=True)
class Use:
    """What one stage takes of each of these blogs."""

    source_type: str
    blogs: int
    stage: str
    model: str
    bucket: str
    calls: float
    tokens: float
    usd: float | None  # None: the model has no price in the settings
    usd_at_most: float | None
    seen: int  # blogs the averages come from; 0: what is reserved
    seen_of: str | None  # their kind of source


@dataclass(frozen=True, slots=True)
class Estimate:
    uses: tuple[Use, ...]
    usd: float | None
    usd_at_most: float | None
    minutes: float  # that the quota takes at the least
    narrowest: str | None  # what it takes them for


def estimate(
    kinds: Mapping[str, int],
    usage: Sequence[Row],
    quotas: Sequence[Row],
    *,
    openai: OpenAISettings,
    replicate: ReplicateSettings,
) -> Estimate:
    """`kinds`: blogs by source type; `usage` and `quotas`: rows of the queries of that name, or none."""
    needs = {(kind, stage): blogs for kind, blogs in kinds.items() for stage in PAID}
    return estimate_stages(needs, usage, quotas, openai=openai, replicate=replicate)


def estimate_stages(
    needs: Mapping[tuple[str, str], int],
    usage: Sequence[Row],
    quotas: Sequence[Row],
    *,
    openai: OpenAISettings,
    replicate: ReplicateSettings,
) -> Estimate:
    """`needs`: blogs by source type and paid stage, where not every blog needs all of them."""
    stages = (
        Stage("ideas", openai.ideas_model, openai.bucket(openai.ideas_model), openai.ideas_tokens),
        Stage("content", openai.content_model, openai.bucket(openai.content_model), openai.content_tokens),
        Stage("image", replicate.model, replicate.bucket("predictions"), 0),
    )
    uses = tuple(
        _use(kind, needs[kind, stage.name], stage, usage, openai, replicate)
        for kind in sorted({kind for kind, _ in needs})
        for stage in stages
        if (kind, stage.name) in needs
    )
    minutes, narrowest = _time(uses, _limits(quotas, openai, replicate))
    return Estimate(
        uses,
        _total((use.usd, use.blogs) for use in uses),
        _total((use.usd_at_most, use.blogs) for use in uses),
        minutes,
        narrowest,
    )


def price(
    model: str, *, tokens_in: float, cached: float, out: float, openai: OpenAISettings, replicate: ReplicateSettings
) -> float | None:
    """USD of so many tokens of a text model, or of one picture; None when the settings do not know the model."""
    today = datetime.now(UTC).date()
    if (text := in_force(openai.prices.get(model, ()), today)) is not None:
        usage = Usage(tokens_in=round(tokens_in), cached=round(cached), tokens_out=round(out))
        return text_cost(text, usage)
    picture = in_force(replicate.prices.get(model, ()), today)
    return None if picture is None else picture.usd


def _use(
    kind: str, blogs: int, stage: Stage, usage: Sequence[Row], openai: OpenAISettings, replicate: ReplicateSettings
) -> Use:
    def usd(*, calls: float, tokens_in: float = 0, cached: float = 0, out: float = 0) -> float | None:
        cost = price(stage.model, tokens_in=tokens_in, cached=cached, out=out, openai=openai, replicate=replicate)
        return cost if cost is None or stage.tokens else cost * calls

    seen_of, seen = _seen(kind, stage, usage)
    if seen:
        each = {name: _sum(seen, name) / _sum(seen, "blogs") for name in USED}
        calls, tokens = each["calls"], each["tokens_in"] + each["tokens_out"]
        likely = usd(calls=calls, tokens_in=each["tokens_in"], cached=each["tokens_cached"], out=each["tokens_out"])
    else:
        calls, tokens, likely = 1.0, float(stage.tokens), usd(calls=1, out=stage.tokens)
    most = usd(calls=MOST_PICTURES, tokens_in=MOST_CALLS * stage.tokens, out=MOST_CAPS * stage.tokens)
    return Use(
        kind, blogs, stage.name, stage.model, stage.bucket, calls, tokens, likely, most, _sum(seen, "blogs"), seen_of
    )


def _seen(kind: str, stage: Stage, usage: Sequence[Row]) -> tuple[str | None, list[Row]]:
    """The finished blogs to go by: of this kind, else of any, if there are enough."""
    alike = [row for row in usage if (row["stage"], row["model"]) == (stage.name, stage.model)]
    for name, rows in ((kind, [row for row in alike if row["source_type"] == kind]), (ANY, alike)):
        if _sum(rows, "blogs") >= ENOUGH:
            return name, rows
    return None, []


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _total(parts: Iterable[tuple[float | None, int]]) -> float | None:
    total = 0.0
    for each, blogs in parts:
        if each is None:
            return None
        total += each * blogs
    return total


def _limits(
    quotas: Sequence[Row], openai: OpenAISettings, replicate: ReplicateSettings
) -> dict[str, tuple[float, float | None]]:
    """Requests and tokens a minute of each bucket: those in force, else those of the settings."""
    limits: dict[str, tuple[float, float | None]] = {
        openai.bucket(model): (openai.rpm, openai.tpm) for model in (openai.ideas_model, openai.content_model)
    }
    limits[replicate.bucket("predictions")] = (replicate.rpm, None)
    for row in quotas:
        requests, tokens = row["requests_per_minute"], row["tokens_per_minute"]
        limits[row["name"]] = (
            min(requests, row["vendor_requests_per_minute"] or requests),
            tokens and min(tokens, row["vendor_tokens_per_minute"] or tokens),
        )
    return limits


def _time(uses: Sequence[Use], limits: Mapping[str, tuple[float, float | None]]) -> tuple[float, str | None]:
    return max(_times(uses, limits), default=(0.0, None))


def _times(uses: Sequence[Use], limits: Mapping[str, tuple[float, float | None]]) -> Iterator[tuple[float, str]]:
    """The minutes that each limit alone would take, and its name."""
    for bucket in {use.bucket for use in uses}:
        here = [use for use in uses if use.bucket == bucket]
        requests, tokens = limits[bucket]
        yield sum(use.calls * use.blogs for use in here) / requests, f"{bucket} requests"
        if tokens is not None:
            yield sum(use.tokens * use.blogs for use in here) / tokens, f"{bucket} tokens"
