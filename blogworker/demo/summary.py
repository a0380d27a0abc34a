"""The figures of a run at the top of the gallery."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from re import sub

from blogworker.demo.formatting import dollars, duration, short_number
from blogworker.plurals import counted


@dataclass(frozen=True, slots=True)
class GallerySummary:
    """The figures of one demo run."""

    posts: int
    sites: int
    elapsed_s: float
    posts_per_minute: float
    cost_usd: float
    requests: int
    tokens: int
    jain: float  # Jain's fairness index; 1 means that all sites got their fair share
    duplicates: int  # posts that were published more than once
    facts: Mapping[str, str]  # further lines, name and value


def headline(summary: GallerySummary) -> str:
    if not summary.posts:
        return "No posts yet"
    whole = round(summary.elapsed_s)
    time = counted(whole, "second") if whole < 100 else counted(round(whole / 60), "minute")
    return f"<em>{counted(summary.posts, 'post')}</em> for <em>{counted(summary.sites, 'site')}</em> in <em>{time}</em>"


def figures(summary: GallerySummary, *, words: int, per_site: Sequence[int]) -> Iterator[str]:
    each = summary.cost_usd / summary.posts if summary.posts else 0.0
    yield figure("Posts", f"{summary.posts:,}", f"{short_number(words)} words")
    yield figure("Sites", f"{summary.sites:,}", shares(per_site))
    yield figure("Time", duration(summary.elapsed_s), "from first to last")
    yield figure("Posts a minute", f"{summary.posts_per_minute:,.1f}", "over the whole run")
    yield figure("Cost, simulated", dollars(summary.cost_usd), f"{dollars(each)} a post")
    yield figure("Tokens", short_number(summary.tokens), f"{summary.requests:,} requests")
    yield figure("Fairness", f"{summary.jain:.3f}", "Jain's index, 1 is even")
    yield figure(
        "Duplicates", f"{summary.duplicates:,}", "published twice", mood="bad" if summary.duplicates else "good"
    )


def figure(name: str, value: str, note: str, *, mood: str = "plain") -> str:
    value = sub(r" ([a-z]+)", r"<small>\1</small>", escape(value))  # a unit is set smaller than its number
    return f'<div><dt>{name}</dt><dd class="{mood}">{value}</dd><dd class="note">{escape(note)}</dd></div>'


def shares(per_site: Sequence[int]) -> str:
    low, high = min(per_site, default=0), max(per_site, default=0)
    return f"{counted(high, 'post')} each" if low == high else f"{low:,} to {high:,} posts each"


def facts(lines: Mapping[str, str]) -> str:
    if not lines:
        return ""
    rows = definition_rows(lines.items())
    return f'<details class="facts"><summary>More about this run</summary><dl>{rows}</dl></details>'


def definition_rows(lines: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in lines)
