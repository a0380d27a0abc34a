"""A preview as Markdown, as JSON, and the table of its costs."""

from base64 import b64encode
from typing import Any

from rich.console import Group
from rich.text import Text

from blogworker.cli.output import json_text, table
from blogworker.post.judging import SEO_DESCRIPTION_LIMIT, SEO_TITLE_LIMIT
from blogworker.post.product_url import page_of
from blogworker.stages.preview import Call, Preview

SIMULATED = "stand-ins for OpenAI and Replicate made the text and the picture"


def markdown(found: Preview) -> str:
    """Return the facts of the post, its ideas, then its body."""
    post, ideas = found.post, [found.ideas["chosen"], *found.ideas["others"]]
    facts = {
        "Slug": post["slug"],
        "SEO title": _counted(post["seo_title"], SEO_TITLE_LIMIT),
        "SEO description": _counted(post["seo_description"], SEO_DESCRIPTION_LIMIT),
        "Tags": ", ".join(post["tags"]),
        "Length": f"{post['word_count']:,} words",
        "Picture": _picture(found),
        "Site": ", ".join(f"{name} {value}" for name, value in found.source["site"].items()) or "no settings",
    }
    if (page := page_of(found.source)) is not None:
        facts["Product page"] = page
    if found.simulated:
        facts["Simulated"] = SIMULATED
    head = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    listed = "\n".join(
        f"{n}. {idea['title']} ({idea['score']}{', chosen' if n == 1 else ''}): {idea['angle']}"
        for n, idea in enumerate(ideas, 1)
    )
    return f"# {post['title']}\n\n> {post['excerpt']}\n\n{head}\n\nIdeas:\n\n{listed}\n\n---\n\n{post['markdown']}\n"


def as_json(found: Preview) -> str:
    """Return one JSON object, with the picture in base64."""
    image: dict[str, Any] | None = None
    if found.image is not None and found.picture is not None:
        image = {name: found.image[name] for name in ("alt", "prompt", "type", "bytes", "model")}
        image["base64"] = b64encode(found.picture).decode("ascii")
    document = {
        "post": {name: value for name, value in found.post.items() if name not in ("model", "prompt_version")},
        "image": image,
        "ideas": [found.ideas["chosen"], *found.ideas["others"]],
        "source": found.source,
        "calls": [_call(call) for call in found.calls],
        "cost_usd": found.cost_usd,
        "trouble": found.trouble,
        "simulated": found.simulated,
    }
    return json_text(document)


def costs(found: Preview) -> Group:
    """Return what each call used, and the total."""
    columns = ["call", "model", "tokens in", "cached", "out", "cost", "seconds"]
    rows = [
        (
            call.name,
            call.spend.model,
            call.spend.tokens_in,
            call.spend.tokens_cached,
            call.spend.tokens_out,
            dollars(call.spend.cost_usd),
            call.seconds,
        )
        for call in found.calls
    ]
    total = sum(call.seconds for call in found.calls)
    cost = dollars(found.cost_usd) or "unknown cost: a model has no price in the settings"
    paid = f"{cost}, not billed: {SIMULATED}" if found.simulated else cost
    return Group(table(None, columns, rows), Text(f"nothing was published; {total:.1f} s, {paid}"))


def dollars(cost: float | None) -> str | None:
    return None if cost is None else f"${cost:.4f}"


def _call(call: Call) -> dict[str, Any]:
    spend = call.spend
    return {
        "name": call.name,
        "provider": spend.provider,
        "model": spend.model,
        "tokens_in": spend.tokens_in,
        "tokens_cached": spend.tokens_cached,
        "tokens_out": spend.tokens_out,
        "cost_usd": spend.cost_usd,
        "seconds": round(call.seconds, 3),
    }


def _counted(text: str, limit: int) -> str:
    return f"{text} ({len(text)} of {limit})"


def _picture(found: Preview) -> str:
    if found.image is None or found.picture is None:
        return found.trouble or "not requested"
    return f"{found.image['type']}, {len(found.picture) / 1024:,.0f} KB: {found.image['alt']}"
