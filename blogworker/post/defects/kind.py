"""A defect: its name, the fields that are searched for it, and either its repair or the message for the model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from blogworker.post import render
from blogworker.post.product_name import main_name

BODY = frozenset({"body_markdown"})
TITLES = frozenset({"title", "seo_title"})
LINES = TITLES | {"excerpt", "seo_description", "image_alt", "tags"}  # plain text, no Markdown
NO_FACTS = ("url", "image", "product_id", "site")
READ = BODY | LINES  # all fields that a reader sees


@dataclass(frozen=True)
class PostContext:
    """What a post is checked against: its source, its idea, and the posts that it may link to."""

    source: Mapping[str, Any]
    idea: Mapping[str, Any]
    title: str  # of the post
    links: Mapping[str, str] = field(default_factory=dict)  # address -> title, of posts that it may link to

    @cached_property
    def name(self) -> str:
        """The name of the product; empty if the post is not about a product."""
        return str(self.source.get("name") or "")

    @cached_property
    def main_name(self) -> str:
        """The name of the product as a text calls it."""
        return main_name(self.name)

    @cached_property
    def own_url(self) -> str:
        return str(self.source.get("url") or "")

    @cached_property
    def allowed(self) -> tuple[str, ...]:
        """The addresses that the post may link to."""
        return tuple(url for url in (self.own_url, *self.links) if url)

    @cached_property
    def language(self) -> str:
        """The language of the site, such as `de`; empty if it is not set."""
        return str((self.source.get("site") or {}).get("language") or "").lower().partition("-")[0]

    @cached_property
    def source_text(self) -> str:
        """The whole source as text, in lower case."""
        return json.dumps(self.source, ensure_ascii=False).casefold()

    @cached_property
    def facts(self) -> str:
        """The source without settings and addresses, as text in lower case."""
        facts = {name: value for name, value in self.source.items() if name not in NO_FACTS}
        return json.dumps(facts, ensure_ascii=False).casefold()

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {}

    @cached_property
    def about(self) -> dict[str, tuple[str, ...]]:
        """A cache: text -> its sentences about the product."""
        return {}

    def text_of(self, markdown: str) -> str:
        """Return the text that a reader sees, which is cached."""
        if markdown not in self._texts:
            self._texts[markdown] = render.text(markdown)
        return self._texts[markdown]

    def unlinked(self, text: str) -> str:
        """Remove links to other posts whose words are the title of the post."""
        for url, title in self.links.items():
            text = text.replace(render.link_to(url, title), "").replace(f"[{title}](<{url}>)", "")
        return text

    def source_has(self, text: str) -> bool:
        """Whether the source contains this text, so that it comes from the shop."""
        return text.casefold() in self.source_text


Repair = Callable[[str, PostContext], str]  # returns the text unchanged if it has no such defect
Find = Callable[[str, PostContext], str]  # returns what it found, or an empty text


@dataclass(frozen=True, slots=True)
class Defect:
    """One reason not to publish a text. It either has one right repair, or the model must write the post again."""

    name: str
    fields: frozenset[str]
    repair: Repair | None = None
    find: Find | None = None
    message: str = ""  # for the model, after the name of the field; {found} is replaced by what was found
