"""A reviewed post as text for a terminal, and as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.text import Text

from blogworker.cli.output import facts, heading, prose, table
from blogworker.ops.review import LIMITS, NAMES, Review

SHOWN = ("title", "excerpt", "slug", "seo_title", "seo_description", "tags", "image_alt")


def parts(review: Review) -> Iterator[Any]:
    """Yield the source, the post and the findings, in the order in which a reader compares them."""
    yield heading(f"Job {review.job_id}: {review.post['title']}")
    yield facts(_head(review))
    yield from (Text(), heading("Source, as the model read it"), facts(_named(_source(review))))
    yield from (Text(), heading("Post"), facts(_named(_post(review)) | dict(review.facts)))
    yield from (Text(), *_findings(review))
    if review.verdict.facts:
        stated = [
            (fact.text, fact.kind, NAMES.get(fact.field, fact.field), "yes" if fact.in_source else "no")
            for fact in review.verdict.facts
        ]
        yield from (
            Text(),
            table("Facts stated", ["stated", "kind", "field", "in the source"], stated, fold=["stated"]),
        )
    yield from (Text(), prose(review.post["markdown"]), Text())


def as_json(review: Review) -> dict[str, Any]:
    """Return the whole review, for JSON."""
    return {
        "id": review.job_id,
        "instance_id": review.instance_id,
        "finished_at": review.finished_at,
        "state": review.state,
        "waits": review.waits,
        "model": review.model or None,
        "score": review.score,
        "score_now": review.score_now,
        "costs": [asdict(cost) | {"where": review.where(cost)} for cost in review.costs],
        "checks": review.checks,
        "stated": [asdict(fact) for fact in review.verdict.facts],
        "facts": dict(review.facts),
        "source": dict(review.source),
        "post": {name: review.post[name] for name in (*SHOWN, "word_count", "markdown")},
    }


def scored(review: Review) -> str:
    """Return the stored score, and the score of this version where it differs."""
    if review.score is None:
        return f"not stored; {review.score_now} by the checks of this version"
    differs = "" if review.score == review.score_now else f"; {review.score_now} by the checks of this version"
    return f"{review.score} of 100{differs}"


def passed(review: Review) -> str:
    results = list(review.checks.values())
    return f"{results.count('passed')} of {len(results)} checks passed"


def _head(review: Review) -> dict[str, object]:
    return {
        "site": review.site,
        "state": review.state,
        "score": scored(review),
        "written by": review.model or None,
        "finished": review.finished_at,
    }


def _source(review: Review) -> dict[str, object]:
    return {name: flat(value) for name, value in review.source.items()}


def flat(value: object) -> str:
    """Return a value of a source on one line."""
    match value:
        case Mapping():
            return "; ".join(f"{name}: {flat(one)}" for name, one in value.items())
        case list():
            return "; ".join(map(flat, value))
        case _:
            return " / ".join(line for line in str(value).split("\n") if line.strip())


def _post(review: Review) -> dict[str, object]:
    post: dict[str, object] = {name: review.post[name] for name in SHOWN}
    post |= {
        name: f"{text} ({len(text)} of {LIMITS[name]})"
        for name, text in post.items()
        if name in LIMITS and isinstance(text, str)
    }
    return post | {"tags": ", ".join(review.post["tags"])}


def _named(values: Mapping[str, object]) -> dict[str, object]:
    return {NAMES.get(name, name.replace("_", " ")): value for name, value in values.items()}


def _findings(review: Review) -> Iterator[Any]:
    if review.costs:
        rows = [(cost.name, str(cost.outcome), f"-{cost.points}", review.where(cost) or None) for cost in review.costs]
        yield table("Findings", ["finding", "outcome", "points", "where"], rows, fold=["where"])
    yield Text(f"{passed(review)}{'' if review.costs else ': no findings'}")
