"""The writer: it answers any JSON schema, and writes real articles where the schema asks for one.

    prompt -> subject (source, cleaned)  -> ideas  up to five angles, each with title and outline
                                         -> post   article that follows the chosen idea, title, excerpt, tags, picture

Properties are recognised by name, so a schema may grow: what has no known name gets a value of the right type. What is
written depends only on the prompt, the seed, and how often the same prompt was asked before. It is in the language of
the site, where that is one of `languages`, else in English.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from random import Random
from typing import Any

from blogworker.simulator.schemas import Entries, Filler, Lookup
from blogworker.simulator.writer.ideas import Idea, ideas_for
from blogworker.simulator.writer.languages import Language, ideas_in, languages, post_in
from blogworker.simulator.writer.orders import order_in
from blogworker.simulator.writer.post import Post, compose_post, poor_body, short_body
from blogworker.simulator.writer.subject import Subject, read_subject, tagged_json, tagged_list

__all__ = ["Quality", "write"]

# Other names under which a schema may ask for the same thing.
ALIASES = {
    "body": "body_markdown", "content": "body_markdown", "markdown": "body_markdown", "article": "body_markdown",
    "headline": "title", "summary": "excerpt", "meta_title": "seo_title", "meta_description": "seo_description",
    "intent": "search_intent", "alt": "image_alt", "alt_text": "image_alt", "cover_prompt": "image_prompt",
    "sections": "outline", "target_audience": "audience",
}  # fmt: skip


class Quality(Enum):
    """How well to write; the weak ones fit the schema all the same."""

    GOOD = "good"
    SHORT = "short"
    POOR = "poor"


def write(prompt: str, schema: Mapping[str, Any] | None, *, seed: int, take: int, quality: Quality) -> Any:
    """A value that fits the schema, or text when there is none. `take` counts the same prompt being asked again."""
    subject = read_subject(prompt)
    idea = tagged_json(prompt, "idea")
    related = tagged_list(prompt, "related")
    taken = prompt.partition("<taken>\n")[2]  # who is told what there is already thinks of something else
    random = Random(f"{seed}/{take}/{subject.fingerprint}/{idea}{taken}")
    if schema is None:
        return compose_post(subject, idea, random).body_markdown
    return Filler(schema, random).fill(
        schema, _Answers(subject, idea, random, quality, order=order_in(prompt), related=related).known
    )


class _Answers:
    """Ideas and post of one call, made when first asked for."""

    def __init__(
        self,
        subject: Subject,
        idea: dict[str, Any] | None,
        random: Random,
        quality: Quality,
        *,
        order: str,
        related: Sequence[Mapping[str, Any]],
    ) -> None:
        self._related = related
        self._subject = subject
        self._idea = idea
        self._random = random
        self._quality = quality
        self._order = order
        self._post: Post | None = None

    def known(self, name: str, schema: Mapping[str, Any]) -> Any:
        name = ALIASES.get(name, name)
        if name == "ideas":
            return Entries([_of_idea(idea) for idea in self._ideas()])
        if name in Post.__dataclass_fields__:
            return self._of_post(name)
        return None

    def _of_post(self, name: str) -> Any:
        if self._post is None:
            self._post = self._written()
        if name == "body_markdown" and self._quality is not Quality.GOOD:
            body: Callable[[Subject, Random], str] = short_body if self._quality is Quality.SHORT else poor_body
            return body(self._subject, self._random)
        value = getattr(self._post, name)
        if self._order and name in ("title", "body_markdown"):
            return f"{self._order}\n\n{value}"
        return list(value) if isinstance(value, tuple) else value

    def _ideas(self) -> list[Idea]:
        if (language := self._language()) is not None:
            return ideas_in(language, self._subject, self._random)
        return ideas_for(self._subject, self._random)

    def _language(self) -> Language | None:
        """The site's language, where only `languages` has an article in it: none about goods."""
        wanted = self._subject.site_language
        return None if wanted == self._subject.language else languages().get(wanted)

    def _written(self) -> Post:
        if (language := self._language()) is not None:
            return post_in(language, self._subject, self._idea, self._random)
        return compose_post(self._subject, self._idea, self._random, self._related)


def _of_idea(idea: Idea) -> Lookup:
    def known(name: str, schema: Mapping[str, Any]) -> Any:
        value = getattr(idea, ALIASES.get(name, name), None)
        if name == "score" and (schema.get("type") == "integer" or schema.get("maximum", 10) > 10):
            return round(idea.score * 10)  # out of a hundred
        return list(value) if isinstance(value, tuple) else value

    return known
