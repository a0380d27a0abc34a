"""A defect as a value: its name, the fields it is looked for in, and its repair or what its writer is told."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from blogworker.post import render

BODY = frozenset({"body_markdown"})
TITLES = frozenset({"title", "seo_title"})
LINES = TITLES | {"excerpt", "seo_description", "image_alt", "tags"}  # plain text, no Markdown
NO_FACTS = ("url", "image", "product_id", "site")
READ = BODY | LINES  # all that a reader sees


@dataclass(frozen=True)
class Known:
    """What a post is held against."""

    source: Mapping[str, Any]
    idea: Mapping[str, Any]
    title: str  # of the post
    links: Mapping[str, str] = field(default_factory=dict)  # other addresses that it may link to, with their titles

    @cached_property
    def name(self) -> str:
        """The product's name; empty where the post is about no product."""
        return str(self.source.get("name") or "")

    @cached_property
    def own_url(self) -> str:
        return str(self.source.get("url") or "")

    @cached_property
    def allowed(self) -> tuple[str, ...]:
        """The addresses that the post may link to."""
        return tuple(url for url in (self.own_url, *self.links) if url)

    @cached_property
    def language(self) -> str:
        """Of the site, such as `de`; empty where none is set."""
        return str((self.source.get("site") or {}).get("language") or "").lower().partition("-")[0]

    @cached_property
    def words(self) -> str:
        """The whole source as text, in lower case."""
        return json.dumps(self.source, ensure_ascii=False).casefold()

    @cached_property
    def facts(self) -> str:
        """What the source says of its subject, as text in lower case, without its settings and addresses."""
        told = {name: value for name, value in self.source.items() if name not in NO_FACTS}
        return json.dumps(told, ensure_ascii=False).casefold()

    @cached_property
    def _read(self) -> dict[str, str]:
        return {}

    @cached_property
    def about(self) -> dict[str, tuple[str, ...]]:
        """Of a text, the sentences about the product, once they were looked for."""
        return {}

    def read(self, markdown: str) -> str:
        """What a reader reads of it; parsed once."""
        if markdown not in self._read:
            self._read[markdown] = render.text(markdown)
        return self._read[markdown]

    def unlinked(self, text: str) -> str:
        """Without the titles of other posts, where they are the words of links to these."""
        for url, title in self.links.items():
            text = text.replace(render.link_to(url, title), "").replace(f"[{title}](<{url}>)", "")
        return text

    def holds(self, text: str) -> bool:
        """Whether the source has this text, so that it is the shop's own."""
        return text.casefold() in self.words


Repair = Callable[[str, Known], str]  # gives the text unchanged where it finds nothing
Find = Callable[[str, Known], str]  # gives what it found; empty: nothing


@dataclass(frozen=True, slots=True)
class Defect:
    """One way in which a text is not fit to publish. It has either one right repair, or goes back to its writer."""

    name: str
    fields: frozenset[str]
    repair: Repair | None = None
    find: Find | None = None
    told: str = ""  # to the writer, behind the field's name; {found} stands for what was found
