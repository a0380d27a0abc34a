"""Review of one post: its source as the model read it, and the findings of all checks of this version."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any

from blogworker.db.pool import Database
from blogworker.ops.posts import PostChoice, find_posts
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
    """A post, its source and the findings. Texts are as stored."""

    job_id: int
    instance_id: str
    site: str  # display name
    finished_at: Any  # None while the job is running
    state: str  # whether it is published, as text
    waits: bool  # it is a draft on its site
    source: Mapping[str, Any]  # what the model read
    post: Mapping[str, Any]
    model: str
    verdict: Verdict
    costs: Sequence[Cost]
    score: int | None  # as stored; None: the post is older than scores
    facts: Mapping[str, str]  # lengths, links, language and others, as text

    @property
    def score_now(self) -> int:
        """Return the score of the post by the checks of this version."""
        return score_of(self.costs)

    @property
    def checks(self) -> dict[str, str]:
        """Return `passed` or the outcome, for each defect of the table."""
        outcomes = {cost.name: str(cost.outcome) for cost in self.costs}
        return {defect.name: outcomes.get(defect.name, "passed") for defect in DEFECTS}

    def where(self, cost: Cost) -> str:
        """Return the field and the text of a finding that is still in the post."""
        seen = {Outcome.REMAINING: self.verdict.remaining, Outcome.OFF_BRIEF: self.verdict.off_brief}.get(
            cost.outcome, ()
        )
        return "; ".join(
            f"{NAMES.get(finding.field, finding.field)}: {finding.found}"
            for finding in seen
            if finding.name == cost.name
        )


async def read_reviews(
    database: Database, choice: PostChoice, *, with_pictures: bool
) -> tuple[list[Review], dict[int, bytes]]:
    """Return the chosen posts with their reviews, and their pictures by job id if `with_pictures`."""
    found = await find_posts(database, choice)
    ids = list(choice.job_ids or [post.id for post in found])
    reviews = [review_of(row) for row in await database.rows("ops/reviewed_posts", job_ids=ids)]
    pictures: dict[int, bytes] = {}
    for review in reviews if with_pictures else ():
        row = await database.maybe("stages/load_image", job_id=review.job_id)
        if row is not None and row["image"] is not None:
            pictures[review.job_id] = bytes(row["image"])
    return reviews, pictures


def review_of(row: Mapping[str, Any]) -> Review:
    """Return the review of a row of `reviewed_posts`. A value that cannot be read counts as missing."""
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
    """Return the position of a field of the source: the database does not keep the order of fields."""
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _object(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _outcomes(written: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what was repaired and what was returned to the model. Older versions stored both as `defects`."""
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
        return f"not published: the job is {status}"
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
    return {name: text for name, text in known.items() if text is not None}


def _language(post: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    seen = most_likely_language(re.findall(r"[^\W\d_]+", render.text(post["markdown"]).lower())) or "unknown"
    asked = _object(source.get("site")).get("language")
    return f"{seen}; requested: {asked}" if asked else f"{seen}; none was requested"


def _links(post: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    found = [unescape(address) for address in LINKS.findall(post["html"])]
    own = [address for address in found if render.same_page(address, str(source.get("url") or ""))]
    others = [address for address in found if address not in own]
    links = [f"to its product: {_times(len(own))}"] if own else []
    links += [f"to elsewhere: {', '.join(dict.fromkeys(others))}"] if others else []
    if not links and source.get("url"):
        return f"none; its product is at {source['url']}"
    return "; ".join(links) or page_of(source) or "none"


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def _unique(holder: int | None, own: int) -> str:
    """Return whether no other post of the site has it. `holder`: the job that claimed it, 0 if that job was pruned."""
    if holder is None:
        return "not claimed"
    if holder == own:
        return "yes"
    return f"no: job {holder} has it" if holder else "no: a job that was pruned has it"
