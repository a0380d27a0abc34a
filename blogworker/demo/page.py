"""A preview as one HTML file in the style of the gallery, with the picture and the CSS embedded."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from blogworker.demo.formatting import dollars, initial, reading_time
from blogworker.demo.gallery import SOURCES, read_template, render_template, tag_list
from blogworker.post.judging import SEO_DESCRIPTION_LIMIT, SEO_TITLE_LIMIT
from blogworker.stages.preview import Preview

HUE = 45  # of the accent colour, in degrees
NOTICE = (
    '<p class="notice"><span class="simulated">simulated</span> '
    "Stand-ins for OpenAI and Replicate made the text and the picture.</p>"
)
DOT = '<span class="dot" aria-hidden="true"></span>'


def preview_page(found: Preview) -> str:
    post, site = found.post, str(found.source["site"].get("name") or found.source.get("vendor") or "Your site")
    return render_template(
        "preview.html",
        language=escape(str(found.source["site"].get("language") or "en")),
        style=read_template("style.css") + read_template("preview.css"),
        hue=HUE,
        title=escape(post["title"]),
        excerpt=escape(post["excerpt"]),
        byline=DOT.join([_source(found.source), reading_time(post["word_count"]), f"{post['word_count']:,} words"]),
        notice=NOTICE if found.simulated else "",
        hero=_hero(found),
        body=post["html"],
        tags=tag_list(post["tags"]),
        initial=initial(site),
        site=escape(site),
        slug=escape(post["slug"]),
        seo_title=escape(post["seo_title"]),
        seo_description=escape(post["seo_description"]),
        seo_note=f"Title {len(post['seo_title'])} of {SEO_TITLE_LIMIT} characters, "
        f"description {len(post['seo_description'])} of {SEO_DESCRIPTION_LIMIT}.",
        ideas="\n".join(_idea(idea) for idea in [found.ideas["chosen"], *found.ideas["others"]]),
        calls="\n".join(_calls(found)),
        total=_row("All", "", *_sums(found)),
    )


def _source(source: Mapping[str, Any]) -> str:
    kind = source["kind"]
    label = source.get({"keyword": "keyword", "product": "name"}.get(kind, ""))
    return escape(f"{SOURCES.get(kind, kind)}: {label}" if label else SOURCES.get(kind, kind))


def _hero(found: Preview) -> str:
    if found.image is None or found.picture is None:
        problem = f'<p class="trouble prose">{escape(found.trouble)}</p>' if found.trouble else ""
        return f'<div class="hero plain"></div>{problem}'
    data = b64encode(found.picture).decode("ascii")
    source = f"data:{found.image['type']};base64,{data}"
    return f'<div class="hero"><img src="{source}" alt="{escape(found.image["alt"])}" width="1600" height="900"></div>'


def _idea(idea: Mapping[str, Any]) -> str:
    return (
        f'<li dir="auto"><strong>{escape(idea["title"])}</strong><span class="score">{idea["score"]} of 100</span>'
        f"<p>{escape(idea['angle'])}</p></li>"
    )


def _calls(found: Preview) -> Iterator[str]:
    for call in found.calls:
        spend = call.spend
        yield _row(call.name, spend.model or "", spend.tokens_in, spend.tokens_out, spend.cost_usd, call.seconds)


def _sums(found: Preview) -> tuple[int, int, float | None, float]:
    spends = [call.spend for call in found.calls]
    tokens_in, tokens_out = sum(spend.tokens_in for spend in spends), sum(spend.tokens_out for spend in spends)
    return tokens_in, tokens_out, found.cost_usd, sum(call.seconds for call in found.calls)


def _row(name: str, model: str, tokens_in: int, tokens_out: int, cost_usd: float | None, seconds: float) -> str:
    cost = "unknown" if cost_usd is None else dollars(cost_usd)
    figures = [f"{tokens_in:,}", f"{tokens_out:,}", cost, f"{seconds:.1f}"]
    by = f"<small>{escape(model)}</small>" if model else ""
    cells = "".join(f"<td>{escape(figure)}</td>" for figure in figures)
    return f'<tr><th scope="row">{escape(name)}{by}</th>{cells}</tr>'
