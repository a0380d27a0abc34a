"""Stage 3: the post itself, written, cleaned and judged.

Small things are set right here (a long title, a foreign link, a level-one heading); what only a writer can mend is
returned to the model once.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from blogworker.stages import render
from blogworker.stages.plain import cut, cut_clean, plain, printable, slug
from blogworker.stages.prompts import POST, fenced
from blogworker.stages.source import material
from blogworker.stages.work import Output, Work
from blogworker.stages.writing import Task, Unfit, written

TITLE_LIMIT, EXCERPT_LIMIT, SEO_TITLE_LIMIT, SEO_DESCRIPTION_LIMIT, ALT_LIMIT = 200, 500, 60, 160, 125
TAG_LIMIT, MOST_TAGS = 30, 10
IMAGE_PROMPT_LIMIT = 1_000
LEAST_WORDS, LEAST_SECTIONS = 300, 2
LEFTOVERS = re.compile(
    r"\[(?:insert|your|product name|company|brand|link|todo)[^\]]*\]|lorem ipsum|\bas an ai\b|\{\{|\bTODO\b", re.I
)
HTML_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.S)
AUTOLINK = re.compile(r"<https?://[^<>\s]+>")
PICTURE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
LINK = re.compile(r"\[([^\[\]]*)\]\(\s*<?([^\s)>]*)>?[^)]*\)")
BARE_ADDRESS = re.compile(r"(?<![(\w<])https?://[^\s<>)\]]+")
DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:\s.*$\n?", re.M)
TOP_HEADING = re.compile(r"^ {0,3}#(?!#)[ \t]+(.*)$", re.M)
SECTION = re.compile(r"^ {0,3}##[ \t]+\S", re.M)


def _line(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: plain(value, limit=limit))


def _headline(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: cut_clean(plain(value, limit=4 * limit), limit))


def _tags(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    cleaned = [cut_clean(plain(tag, limit=200).lstrip("#"), TAG_LIMIT) for tag in value]
    return list({tag.casefold(): tag for tag in reversed(cleaned) if tag}.values())[::-1][:MOST_TAGS]


class Post(BaseModel):
    """A post whose short fields are within their limits."""

    title: Annotated[str, _headline(TITLE_LIMIT)] = Field(min_length=5)
    slug: str = ""
    excerpt: Annotated[str, _line(EXCERPT_LIMIT)] = Field(min_length=20)
    seo_title: Annotated[str, _headline(SEO_TITLE_LIMIT)]
    seo_description: Annotated[str, _line(SEO_DESCRIPTION_LIMIT)]
    tags: Annotated[list[str], BeforeValidator(_tags)]
    body_markdown: str
    image_prompt: Annotated[str, _line(IMAGE_PROMPT_LIMIT)] = Field(min_length=10)
    image_alt: Annotated[str, _line(ALT_LIMIT)]


async def run(work: Work) -> Output:
    source, ideas = work.checkpoints.get("source") or {}, work.checkpoints.get("ideas") or {}
    idea = ideas.get("chosen") or {}
    task = Task(
        stage="content",
        prompt=POST,
        input=f"{fenced('source', material(source))}\n\n{fenced('idea', idea)}",
        model=work.openai.content_model,
        tokens=work.openai.content_tokens,
    )
    output = await written(work, task, fit=lambda text: read_post(text, source=source, idea=idea))
    await work.checkpoints.store_post(columns(output))
    return {**output, "model": task.model, "prompt_version": POST.version}


def read_post(text: str, *, source: Mapping[str, Any], idea: Mapping[str, Any]) -> Output:
    """The post in an answer, cleaned. Raises Unfit with what only its writer can mend."""
    try:
        post = Post.model_validate(json.loads(text))
    except ValidationError as error:
        raise Unfit([f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]) from None
    except ValueError:
        raise Unfit(["the answer is not a JSON object"]) from None
    own_url = str(source.get("url") or "")
    body = clean_body(post.body_markdown, title=post.title, own_url=own_url)
    words = render.word_count(body)
    if faults := _faults(body, words=words):
        raise Unfit(faults)
    return {
        **post.model_dump(exclude={"body_markdown"}),
        "slug": slug(post.slug or post.title),
        "seo_title": post.seo_title or cut_clean(post.title, SEO_TITLE_LIMIT),
        "seo_description": post.seo_description or cut(post.excerpt, SEO_DESCRIPTION_LIMIT),
        "tags": post.tags or _tags(list(idea.get("keywords") or [post.title]))[:MOST_TAGS],
        "image_alt": post.image_alt or cut(post.title, ALT_LIMIT),
        "markdown": body,
        "html": render.html(body, own_url=own_url),
        "word_count": words,
        "own_url": own_url,
    }


def columns(content: Mapping[str, Any]) -> Output:
    """The part of a post that its row in `blog_posts` holds."""
    names = "title slug excerpt markdown html tags seo_title seo_description word_count image_alt"
    return {name: content[name] for name in names.split()}


def clean_body(markdown: str, *, title: str, own_url: str) -> str:
    """Without HTML, pictures, links to elsewhere, and without a second title."""
    body = printable(markdown.replace("\r\n", "\n"))
    body = AUTOLINK.sub(lambda match: match[0][1:-1], body)
    body = PICTURE.sub("", HTML_TAG.sub("", DEFINITION.sub("", body)))
    body = LINK.sub(lambda match: match[0] if render.same_page(match[2], own_url) else match[1], body)
    body = BARE_ADDRESS.sub(lambda match: match[0] if render.same_page(match[0], own_url) else "", body)
    body = TOP_HEADING.sub(lambda match: "" if _alike(match[1], title) else f"## {match[1]}", body)
    return re.sub(r"\n{3,}", "\n\n", body).strip()


def _alike(one: str, other: str) -> bool:
    return re.findall(r"\w+", one.casefold()) == re.findall(r"\w+", other.casefold())


def _faults(body: str, *, words: int) -> list[str]:
    faults: list[str] = []
    if words < LEAST_WORDS:
        faults.append(f"body_markdown has {words} words: write at least {LEAST_WORDS}, better 800 to 1,100")
    if (sections := len(SECTION.findall(body))) < LEAST_SECTIONS:
        faults.append(f"body_markdown has {sections} sections under a ## heading: it needs five to seven")
    if leftover := LEFTOVERS.search(body):
        faults.append(f"body_markdown holds a leftover that no reader should see: {leftover[0]!r}")
    return faults
