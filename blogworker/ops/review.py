"""One post for a person to judge: beside its source as the model read it, with what every check says of it now."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any

from blogworker.post import render
from blogworker.post.defects.table import DEFECTS
from blogworker.post.judging import ALT_LIMIT, SEO_DESCRIPTION_LIMIT, SEO_TITLE_LIMIT
from blogworker.post.language import most_likely_language
from blogworker.post.product_url import page_of
from blogworker.post.score import Cost, Outcome, score_of
from blogworker.post.site import usable
from blogworker.post.verdict import Verdict, verdict_of
from blogworker.stages.material import material

LINKS = re.compile(r'<a href="([^"]*)"')
LIMITS = {"seo_title": SEO_TITLE_LIMIT, "seo_description": SEO_DESCRIPTION_LIMIT, "image_alt": ALT_LIMIT}
ORDER = (
    "kind", "name", "keyword", "text", "description", "price", "compare_at_price", "discount", "currency",
    "availability", "options", "variants", "details", "product_type", "vendor", "sku", "tags", "pictures", "url",
    "site",
)  # fmt: skip
NAMES = {
    "body_markdown": "body",
    "seo_title": "SEO title",
    "seo_description": "SEO description",
    "image_alt": "alt text",
}
TEXTS = ("title", "slug", "excerpt", "seo_title", "seo_description", "image_alt", "markdown", "html")
BY_REPAIR_OR_RETURN = frozenset(defect.name for defect in DEFECTS if defect.repair is not None)


@dataclass(frozen=True, slots=True)
class Review:
    """A post, its source and what is known of both. Texts are as they are stored."""

    job_id: int
    instance_id: str
    site: str  # as people call it
    finished_at: Any  # null while it is not
    state: str  # whether it is published, in words
    waits: bool  # as a draft on its site
    source: Mapping[str, Any]  # what the model read
    post: Mapping[str, Any]
    model: str
    verdict: Verdict
    costs: Sequence[Cost]
    score: int | None  # as it was stored; None: the post was made before posts were scored
    facts: Mapping[str, str]  # lengths, links, language and the like, in words

    @property
    def score_now(self) -> int:
        """By the checks of this version, on the post as it is now."""
        return score_of(self.costs)

    @property
    def checks(self) -> dict[str, str]:
        """Each defect of the table, and what became of it: `passed`, or its outcome."""
        outcomes = {cost.name: str(cost.outcome) for cost in self.costs}
        return {defect.name: outcomes.get(defect.name, "passed") for defect in DEFECTS}

    def where(self, cost: Cost) -> str:
        """The field and what was found there, of a finding that can still be seen."""
        seen = {Outcome.REMAINING: self.verdict.remaining, Outcome.OFF_BRIEF: self.verdict.off_brief}.get(
            cost.outcome, ()
        )
        return "; ".join(
            f"{NAMES.get(finding.field, finding.field)}: {finding.found}"
            for finding in seen
            if finding.name == cost.name
        )


def review_of(row: Mapping[str, Any]) -> Review:
    """`row`: of ops/reviewed_posts. What cannot be read in it counts as missing."""
    source, idea, written, ended = (_object(row[name]) for name in ("source", "idea", "written", "ended"))
    post = dict(row["post"])
    post |= {name: str(post.get(name) or "") for name in TEXTS} | {"tags": [str(tag) for tag in post["tags"] or []]}
    site = usable(_object(source.get("site")))
    links = {str(url): str(url) for url in written.get("links") or ()}
    verdict = verdict_of(post, source=source, idea=idea, site=site, links=links)
    costs = verdict.costs(_outcomes(written))
    read = material(source)
    return Review(
        job_id=row["id"],
        instance_id=row["instance_id"],
        site=row["site"] or row["instance_id"],
        finished_at=row["finished_at"],
        state=_state(post, ended, row["status"]),
        waits=row["status"] == "DONE" and bool(post["wix_draft_id"]) and not post["wix_post_id"],
        source={name: read[name] for name in sorted(read, key=_place)},
        post=post,
        model=str(written.get("model") or ""),
        verdict=verdict,
        costs=costs,
        score=post.get("score"),
        facts=_facts(row, post, source, verdict),
    )


def _place(name: str) -> tuple[int, str]:
    """Of a fact of the source among the others; the database does not keep their order."""
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _object(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _outcomes(written: Mapping[str, Any]) -> dict[str, list[str]]:
    """What was repaired and what was sent back. Older versions stored both as `defects`."""
    names = {name: [str(one) for one in written.get(name) or []] for name in ("repaired", "returned", "defects")}
    if "returned" in written:
        return names
    return {
        "repaired": [name for name in names["defects"] if name in BY_REPAIR_OR_RETURN],
        "returned": [name for name in names["defects"] if name not in BY_REPAIR_OR_RETURN],
    }


def _state(post: Mapping[str, Any], ended: Mapping[str, Any], status: str) -> str:
    if post["wix_post_id"]:
        return f"published: {post['url']}" if post["url"] else "published"
    if status != "DONE":
        return f"not published: the blog is {status}"
    return str(ended.get("reason") or "not published")


def _facts(
    row: Mapping[str, Any], post: Mapping[str, Any], source: Mapping[str, Any], verdict: Verdict
) -> dict[str, str]:
    known = {
        "length": f"{post['word_count']:,} words",
        "language": _language(post, source),
        "links": _links(post, source),
        "named": None if verdict.mentions is None else _times(verdict.mentions),
        "title unique": _unique(row["title_of"], row["id"]),
        "slug unique": _unique(row["slug_of"], row["id"]),
    }
    return {name: told for name, told in known.items() if told is not None}


def _language(post: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    seen = most_likely_language(re.findall(r"[^\W\d_]+", render.text(post["markdown"]).lower())) or "not known"
    asked = _object(source.get("site")).get("language")
    return f"{seen}; asked for {asked}" if asked else f"{seen}; none was asked for"


def _links(post: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    found = [unescape(address) for address in LINKS.findall(post["html"])]
    own = [address for address in found if render.same_page(address, str(source.get("url") or ""))]
    others = [address for address in found if address not in own]
    told = [f"to its product: {_times(len(own))}"] if own else []
    told += [f"to elsewhere: {', '.join(dict.fromkeys(others))}"] if others else []
    if not told and source.get("url"):
        return f"none; its product is at {source['url']}"
    return "; ".join(told) or page_of(source) or "none"


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def _unique(holder: int | None, own: int) -> str:
    """Whether no other post of the site has it. `holder`: the blog that it is reserved for, 0 if that is pruned."""
    if holder is None:
        return "not reserved"
    if holder == own:
        return "yes"
    return f"no: blog {holder} has it" if holder else "no: a blog that was pruned has it"
