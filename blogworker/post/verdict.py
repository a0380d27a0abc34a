"""The result of all checks of a finished post, for its score and for the review by a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blogworker.post import render
from blogworker.post.defects.remaining import Fact, Finding, facts, remaining_findings
from blogworker.post.judging import SECTION, SEO_DESCRIPTION_LIMIT, Post, faults_of
from blogworker.post.product_name import main_name
from blogworker.post.score import Cost, costs_of
from blogworker.post.site import SiteSettings

# What the prompt asks for, with a tolerance: least and most.
WORDS, SHORTEST, LONGEST = (800, 1_100), 0.75, 1.25
SECTIONS, MENTIONS, TAGS = (4, 9), (2, 8), (2, 8)
EXCERPT, DESCRIPTION = (60, 300), (80, SEO_DESCRIPTION_LIMIT)  # characters


@dataclass(frozen=True, slots=True)
class Verdict:
    """The defects that remain in a post, where it does not follow the brief, the facts that it states, and how often it
    names its product (None if it is not about one)."""

    remaining: tuple[Finding, ...]
    off_brief: tuple[Finding, ...]
    facts: tuple[Fact, ...]
    mentions: int | None

    def costs(self, written: Mapping[str, Any]) -> list[Cost]:
        """Return the costs of all findings. `written` is the content checkpoint: what was repaired and sent back."""
        return costs_of(
            repaired=written.get("repaired") or (),
            off_brief=[finding.name for finding in self.off_brief],
            sent_back=written.get("returned") or (),
            remaining=[finding.name for finding in self.remaining],
        )


def verdict_of(
    post: Mapping[str, Any],
    *,
    source: Mapping[str, Any],
    idea: Mapping[str, Any],
    site: SiteSettings,
    links: Mapping[str, str],
) -> Verdict:
    """Check a finished post. `post` has the columns of its row. `links` maps addresses of the site's other posts, which
    it may link to, to titles. `site` has the settings that the post was written with."""
    fields = {name: post.get(name) or "" for name in ("title", "excerpt", "seo_title", "seo_description", "image_alt")}
    fields |= {"tags": list(post["tags"]), "body_markdown": post["markdown"]}
    mentions = mentions_in(post["markdown"], source)
    return Verdict(
        remaining=(
            *remaining_findings(fields, source=source, idea=idea, links=links),
            *_writer_faults(fields, post, source, site),
        ),
        off_brief=tuple(_off_brief(post, site, mentions)),
        facts=tuple(facts(fields, source=source)),
        mentions=mentions,
    )


def mentions_in(markdown: str, source: Mapping[str, Any]) -> int | None:
    """Return how often the text names the product, by the main part of its name and in any case."""
    if source.get("kind") != "product" or not source.get("name"):
        return None
    name = main_name(str(source["name"])).casefold()
    return " ".join(render.text(markdown).casefold().split()).count(name)


def _writer_faults(
    fields: Mapping[str, Any], post: Mapping[str, Any], source: Mapping[str, Any], site: SiteSettings
) -> Iterator[Finding]:
    own_url = str(source.get("url") or "")
    read = Post.model_construct(**fields)
    for fault in faults_of(read, post["markdown"], words=post["word_count"], own_url=own_url, site=site):
        yield Finding(fault.name, "body_markdown", fault.message)


def _off_brief(post: Mapping[str, Any], site: SiteSettings, mentions: int | None) -> Iterator[Finding]:
    least, most = (site.words, site.words) if site.words else WORDS
    asked = [
        ("length", "body_markdown", "words", post["word_count"], (least * SHORTEST, most * LONGEST)),
        ("sections", "body_markdown", "sections", len(SECTION.findall(post["markdown"])), SECTIONS),
        ("excerpt", "excerpt", "characters", len(post["excerpt"]), EXCERPT),
        ("SEO description", "seo_description", "characters", len(post["seo_description"]), DESCRIPTION),
        ("tags", "tags", "tags", len(post["tags"]), TAGS),
        ("mentions", "body_markdown", "mentions of the product", mentions, MENTIONS),
    ]
    for name, field, unit, found, (low, high) in asked:
        if found is not None and not low <= found <= high:
            yield Finding(f"{name} off the brief", field, f"{found:,} {unit}: expected {low:,.0f} to {high:,.0f}")
