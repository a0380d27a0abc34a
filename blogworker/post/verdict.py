"""What the checks say of a finished post: when it is scored, and again whenever a person reviews it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blogworker.post import render
from blogworker.post.defects.kind import Known
from blogworker.post.defects.repeats import main_name
from blogworker.post.defects.standing import Fact, Finding, facts, standing
from blogworker.post.judging import SECTION, SEO_DESCRIPTION_LIMIT, Post, faults_of
from blogworker.post.score import Cost, costs_of
from blogworker.post.site import SiteSettings

# What the prompt asks for, with some room: least and most.
WORDS, SHORT_OF, BEYOND = (800, 1_100), 0.75, 1.25
SECTIONS, MENTIONS, TAGS = (4, 9), (2, 8), (2, 8)
EXCERPT, DESCRIPTION = (60, 300), (80, SEO_DESCRIPTION_LIMIT)  # characters


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stands in a post, where it is far from what was asked for, the facts it states, and how often it names its
    product: None where it is about none."""

    stands: tuple[Finding, ...]
    off_brief: tuple[Finding, ...]
    facts: tuple[Fact, ...]
    mentions: int | None

    def costs(self, written: Mapping[str, Any]) -> list[Cost]:
        """Of all findings. `written`: the content checkpoint, which names what was repaired and what was sent back."""
        return costs_of(
            repaired=written.get("repaired") or (),
            off_brief=[finding.name for finding in self.off_brief],
            sent_back=written.get("returned") or (),
            stands=[finding.name for finding in self.stands],
        )


def verdict_of(
    post: Mapping[str, Any],
    *,
    source: Mapping[str, Any],
    idea: Mapping[str, Any],
    site: SiteSettings,
    links: Mapping[str, str],
) -> Verdict:
    """`post`: the columns of its row; `links`: titles of the site's other posts that it may link to, by address. The
    site's settings are those it was written by."""
    fields = {name: post.get(name) or "" for name in ("title", "excerpt", "seo_title", "seo_description", "image_alt")}
    fields |= {"tags": list(post["tags"]), "body_markdown": post["markdown"]}
    mentions = mentions_in(post["markdown"], source)
    return Verdict(
        stands=(*standing(fields, source=source, idea=idea, links=links), *_shortfalls(fields, post, source, site)),
        off_brief=tuple(_off_brief(post, site, mentions)),
        facts=tuple(facts(fields, source=source)),
        mentions=mentions,
    )


def mentions_in(markdown: str, source: Mapping[str, Any]) -> int | None:
    """How often the text names the product, without what follows a comma or a dash in its name."""
    if source.get("kind") != "product" or not source.get("name"):
        return None
    name = main_name(Known(source, {}, title="")).casefold()
    return " ".join(render.text(markdown).casefold().split()).count(name)


def _shortfalls(
    fields: Mapping[str, Any], post: Mapping[str, Any], source: Mapping[str, Any], site: SiteSettings
) -> Iterator[Finding]:
    own_url = str(source.get("url") or "")
    read = Post.model_construct(**fields)
    for fault in faults_of(read, post["markdown"], words=post["word_count"], own_url=own_url, site=site):
        yield Finding(fault.name, "body_markdown", fault.told)


def _off_brief(post: Mapping[str, Any], site: SiteSettings, mentions: int | None) -> Iterator[Finding]:
    least, most = (site.words, site.words) if site.words else WORDS
    asked = [
        ("length", "body_markdown", "words", post["word_count"], (least * SHORT_OF, most * BEYOND)),
        ("sections", "body_markdown", "sections", len(SECTION.findall(post["markdown"])), SECTIONS),
        ("excerpt", "excerpt", "characters", len(post["excerpt"]), EXCERPT),
        ("SEO description", "seo_description", "characters", len(post["seo_description"]), DESCRIPTION),
        ("tags", "tags", "tags", len(post["tags"]), TAGS),
        ("mentions", "body_markdown", "mentions of the product", mentions, MENTIONS),
    ]
    for name, field, unit, found, (low, high) in asked:
        if found is not None and not low <= found <= high:
            yield Finding(f"{name} off the brief", field, f"{found:,} {unit}: asked for {low:,.0f} to {high:,.0f}")
