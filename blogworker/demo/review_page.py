"""Reviewed posts as one HTML file: source on the left, post on the right; pictures and CSS embedded, no script."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from statistics import mean

from blogworker.demo.gallery import read_template, render_template, tag_list
from blogworker.ops.review import LIMITS, NAMES, Review
from blogworker.plurals import counted
from blogworker.post import render
from blogworker.post.score import Cost, Outcome
from blogworker.printable import printable_lines

GOOD, POOR = 90, 70  # a score from GOOD is shown as good, below POOR as poor
TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/avif"})
OTHER_FIELDS = ("excerpt", "slug", "seo_title", "seo_description", "image_alt")


def review_page(found: Sequence[Review], pictures: Mapping[int, bytes]) -> str:
    """The page. Texts of posts and sources are escaped."""
    return render_template(
        "review.html",
        count=counted(len(found), "post"),
        summary=_summary(found),
        contents=_contents(found) if len(found) > 1 else "",
        posts="\n".join(_post(review, pictures.get(review.job_id)) for review in found),
        style=read_template("style.css") + read_template("review.css"),
    )


def _summary(found: Sequence[Review]) -> str:
    if not found:
        return "No post was chosen."
    scores = [review.score_now for review in found]
    waiting = sum(review.waits for review in found)
    waits = f" Left as drafts: {waiting:,}." if waiting else ""
    if len(found) == 1:
        return f"Scored {scores[0]} of 100."
    return f"Scored {mean(scores):.0f} of 100 on average, {min(scores)} at least.{waits}"


def _grade(review: Review) -> str:
    return "good" if review.score_now >= GOOD else "poor" if review.score_now < POOR else "fair"


def _contents(found: Sequence[Review]) -> str:
    items = "\n".join(
        f'<li class="{_grade(review)}"><a href="#blog-{review.job_id}"><span class="points">{review.score_now}</span>'
        f'<span class="name" dir="auto">{_escaped(review.post["title"])}</span>'
        f'<span class="where">{_escaped(review.site)}</span></a></li>'
        for review in found
    )
    return f'<nav aria-label="Posts"><ol class="contents">\n{items}\n</ol></nav>'


def _post(review: Review, picture: bytes | None) -> str:
    post = review.post
    return render_template(
        "review_post.html",
        job_id=review.job_id,
        grade=_grade(review),
        score=review.score_now,
        score_note=escape(_score_note(review)),
        title=_escaped(post["title"]),
        meta='<span class="dot" aria-hidden="true"></span>'.join(map(_escaped, _meta(review))),
        source="\n".join(_pair(name, _as_lines(value)) for name, value in review.source.items()),
        findings=_findings(review),
        passed=escape(_passed(review)),
        stated=_stated(review),
        facts="\n".join(_pair(name, value) for name, value in review.facts.items()),
        picture=_picture(review, picture),
        fields="\n".join(_pair(name, str(post[name]), limit=LIMITS.get(name)) for name in OTHER_FIELDS),
        tags=tag_list([_printable(tag) for tag in post["tags"]]),
        body=render.html(post["markdown"], own_url=_web_url(str(review.source.get("url") or ""))),
    )


def _score_note(review: Review) -> str:
    if review.score is None:
        return "of 100 now; it was not scored when written"
    return "of 100" if review.score == review.score_now else f"of 100 now; {review.score} when written"


def _meta(review: Review) -> Iterator[str]:
    yield f"Job {review.job_id}"
    yield review.site
    yield review.state
    if review.model:
        yield f"written by {review.model}"


def _findings(review: Review) -> str:
    if not review.costs:
        return "<p>Nothing was found.</p>"
    items = "\n".join(_finding(cost, review.where(cost)) for cost in review.costs)
    return f'<ul class="findings">\n{items}\n</ul>'


def _finding(cost: Cost, where: str) -> str:
    mark = ' class="remaining"' if cost.outcome is Outcome.REMAINING else ""
    location = f'<span class="where" dir="auto">{_escaped(where)}</span>' if where else ""
    name = escape(f"{cost.name}: {cost.outcome}")
    return f'<li><span{mark}>{name}</span><span class="points">\u2212{cost.points}</span>{location}</li>'


def _passed(review: Review) -> str:
    results = list(review.checks.values())
    return f"{results.count('passed')} of {len(results)} checks passed."


def _stated(review: Review) -> str:
    if not review.verdict.facts:
        return ""
    rows = "\n".join(
        f"<tr><td>{_escaped(fact.text)}</td><td>{escape(_name(fact.field))}</td>"
        + ("<td>yes</td></tr>" if fact.in_source else '<td class="no">no</td></tr>')
        for fact in review.verdict.facts
    )
    return render_template("review_facts.html", job_id=review.job_id, rows=rows)


def _picture(review: Review, picture: bytes | None) -> str:
    kind = review.post["image_type"]
    if picture is None or kind not in TYPES:
        return ""
    data = b64encode(picture).decode("ascii")
    alt = _escaped(review.post["image_alt"])
    return f'<div class="hero"><img src="data:{kind};base64,{data}" alt="{alt}" width="1600" height="900"></div>'


def _pair(name: str, value: str, *, limit: int | None = None) -> str:
    count = "" if limit is None else f'<span class="count">{len(value)} of {limit}</span>'
    return f"<dt>{_escaped(_name(name))}</dt><dd>{_escaped(value)}{count}</dd>"


def _name(name: str) -> str:
    return NAMES.get(name, name.replace("_", " "))


def _as_lines(value: object) -> str:
    """A value of the source as text, with a line for each entry."""
    match value:
        case Mapping():
            return "\n".join(f"{_name(str(name))}: {_as_lines(one)}" for name, one in value.items())
        case list():
            return "\n".join(map(_as_lines, value))
        case _:
            return str(value)


def _web_url(url: str) -> str:
    return url if url.startswith(("http://", "https://")) else ""


def _escaped(value: object) -> str:
    return escape(_printable(str(value)))


def _printable(text: str) -> str:
    """Show invisible characters as escapes."""
    return printable_lines(text)
