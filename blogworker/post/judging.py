"""Checks whether a post can be published: its lengths, sections and language, and the forbidden words of its site."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from blogworker.post import render
from blogworker.post.language import other_language
from blogworker.post.paragraph_language import paragraph_in_other_language
from blogworker.post.plain import cut_clean, plain
from blogworker.post.product_name import main_name
from blogworker.post.site import SiteSettings

TITLE_LIMIT, EXCERPT_LIMIT, SEO_TITLE_LIMIT, SEO_DESCRIPTION_LIMIT, ALT_LIMIT = 200, 500, 60, 160, 125
TAG_LIMIT, MOST_TAGS = 30, 10
IMAGE_PROMPT_LIMIT = 1_000
LEAST_WORDS, LEAST_SECTIONS = 300, 2
SHORTEST, LONGEST = 0.6, 1.8  # times the length in the settings of the site
SECTION = re.compile(r"^ {0,3}##[ \t]+\S", re.M)


def _line(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: plain(value, limit=limit))


def _headline(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: cut_clean(plain(value, limit=4 * limit), limit))


def clean_tags(value: Any) -> Any:
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
    tags: Annotated[list[str], BeforeValidator(clean_tags)]
    body_markdown: str
    image_prompt: Annotated[str, _line(IMAGE_PROMPT_LIMIT)] = Field(min_length=10)
    image_alt: Annotated[str, _line(ALT_LIMIT)]


def linked(body: str, *, name: str, own_url: str) -> str:
    """Link the first mention of the product in a paragraph, if the body does not link the product yet. `name` may
    have a suffix or emoji that the body does not have."""
    if not own_url or not name or _links(body, own_url):
        return body
    mention = re.compile(
        rf"^(?![#>|]|\s|[-*+] |\d+[.])(.*?)(?<![\w\[`*_])({re.escape(main_name(name))})(?![\w\]`*_])", re.M | re.I
    )
    return mention.sub(lambda match: f"{match[1]}[{match[2]}](<{own_url}>)", body, count=1)


def _links(body: str, url: str) -> bool:
    """Whether the body contains this address, not only a longer one that begins with it."""
    return re.search(rf"{re.escape(url)}(?=[>)\s]|\Z)", body) is not None


def forbidden_in(text: str, words: Sequence[str]) -> list[str]:
    """Return the forbidden words in a text, in any case. In scripts with spaces only whole words match."""

    def pattern(word: str) -> str:
        has_spaces = not render.UNSPACED.search(word)
        return rf"(?<!\w){re.escape(word)}(?!\w)" if has_spaces else re.escape(word)

    return [word for word in words if re.search(pattern(word), text, re.I)]


def without_forbidden(texts: Sequence[str], site: SiteSettings) -> list[str]:
    """Return the texts that have no forbidden word of the site. Ideas may have such words, posts may not."""
    return [text for text in texts if not forbidden_in(text, site.forbidden_words)]


@dataclass(frozen=True, slots=True)
class PostFault:
    """A fault that only the model can repair. Its name is different from those of the defects."""

    name: str
    message: str  # for the model


def faults_of(post: Post, body: str, *, words: int, own_url: str, site: SiteSettings) -> list[PostFault]:
    """Return the faults of a post that only the model can repair."""
    return [*_length_faults(words, site), *_body_faults(body, own_url), *_word_faults(post, body, site)]


def _length_faults(words: int, site: SiteSettings) -> list[PostFault]:
    least = LEAST_WORDS if site.words is None else max(LEAST_WORDS, int(site.words * SHORTEST))
    target = "800 to 1,100" if site.words is None else f"{site.words:,}"
    if words < least:
        return [PostFault("too short", f"body_markdown has {words} words: write at least {least}, preferably {target}")]
    if site.words is not None and words > site.words * LONGEST:
        return [PostFault("too long", f"body_markdown has {words} words: the site asks for about {site.words:,}")]
    return []


def _body_faults(body: str, own_url: str) -> list[PostFault]:
    faults: list[PostFault] = []
    if (sections := len(SECTION.findall(body))) < LEAST_SECTIONS:
        message = f"body_markdown has {sections} sections under a ## heading: it needs five to seven"
        faults.append(PostFault("too few sections", message))
    if own_url and not _links(body, own_url):
        message = "body_markdown does not link the product: link its url once, unchanged"
        faults.append(PostFault("product not linked", message))
    return faults


def _word_faults(post: Post, body: str, site: SiteSettings) -> list[PostFault]:
    fields = {
        "title": post.title, "excerpt": post.excerpt, "seo_title": post.seo_title, "body_markdown": body,
        "seo_description": post.seo_description, "image_alt": post.image_alt,
    }  # fmt: skip
    faults = [
        PostFault("forbidden word", f"{name} contains words that the site forbids: {', '.join(found)}")
        for name, text in fields.items()
        if (found := forbidden_in(text, site.forbidden_words))
    ]
    if site.language and (language := other_language(render.text(body), site.language)):
        message = f"the post is written in {language}: the site's language is {site.language}"
        faults.append(PostFault("another language", message))
    elif site.language:
        paragraph, language = paragraph_in_other_language(_prose(body), site.language)
        if paragraph:
            message = (
                f"body_markdown has a paragraph in the language {language}, not {site.language}: {paragraph[:80]!r}"
            )
            faults.append(PostFault("paragraph in another language", message))
    return faults


def _prose(body: str) -> list[str]:
    """Return the paragraphs, without quotations, code and tables."""
    return [block for block in body.split("\n\n") if not block.lstrip().startswith((">", "```", "|"))]
