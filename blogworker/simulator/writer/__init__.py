"""The writer of the simulated OpenAI: generates a value for any JSON schema, and an article if the schema has one.

    prompt -> subject (source, cleaned)  -> ideas  up to five angles, each with a title and an outline
                                         -> post   an article after the chosen idea, title, excerpt, tags, image prompt

Properties are recognised by their names; others get a value of their type. The result depends only on the prompt, the
seed, and how often the prompt was sent before. Its language is that of the site if there are texts in it, else English.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from random import Random
from typing import Any

from blogworker.simulator.schemas import Entries, Filler, Lookup
from blogworker.simulator.writer.ideas import Idea, ideas_for
from blogworker.simulator.writer.injection import injected_instruction
from blogworker.simulator.writer.languages import Language, ideas_in, languages, post_in
from blogworker.simulator.writer.post import Post, compose_post, poor_body, short_body
from blogworker.simulator.writer.subject import Subject, read_subject, tagged_json, tagged_list

__all__ = ["Quality", "write"]

# Other names of properties.
ALIASES = {
    "body": "body_markdown", "content": "body_markdown", "markdown": "body_markdown", "article": "body_markdown",
    "headline": "title", "summary": "excerpt", "meta_title": "seo_title", "meta_description": "seo_description",
    "intent": "search_intent", "alt": "image_alt", "alt_text": "image_alt", "cover_prompt": "image_prompt",
    "sections": "outline", "target_audience": "audience",
}  # fmt: skip


class Quality(Enum):
    """The quality of a post. Weak posts are valid too."""

    GOOD = "good"
    SHORT = "short"
    POOR = "poor"


def write(prompt: str, schema: Mapping[str, Any] | None, *, seed: int, repetition: int, quality: Quality) -> Any:
    """A value for the schema, or a text without one. `repetition`: how often the same prompt was sent, from 1."""
    subject = read_subject(prompt)
    idea = tagged_json(prompt, "idea")
    related = tagged_list(prompt, "related")
    taken = prompt.partition("<taken>\n")[2]  # other taken titles give other ideas
    random = Random(f"{seed}/{repetition}/{subject.fingerprint}/{idea}{taken}")
    if schema is None:
        return compose_post(subject, idea, random).body_markdown
    return Filler(schema, random).fill(
        schema,
        _Properties(subject, idea, random, quality, instruction=injected_instruction(prompt), related=related).lookup,
    )


class _Properties:
    """The known properties of one answer. The post is written when the first of its properties is needed."""

    def __init__(
        self,
        subject: Subject,
        idea: dict[str, Any] | None,
        random: Random,
        quality: Quality,
        *,
        instruction: str,
        related: Sequence[Mapping[str, Any]],
    ) -> None:
        self._related = related
        self._subject = subject
        self._idea = idea
        self._random = random
        self._quality = quality
        self._instruction = instruction
        self._post: Post | None = None

    def lookup(self, name: str, schema: Mapping[str, Any]) -> Any:
        name = ALIASES.get(name, name)
        if name == "ideas":
            return Entries([_lookup_in(idea) for idea in self._ideas()])
        if name in Post.__dataclass_fields__:
            return self._post_property(name)
        return None

    def _post_property(self, name: str) -> Any:
        if self._post is None:
            self._post = self._compose()
        if name == "body_markdown" and self._quality is not Quality.GOOD:
            body: Callable[[Subject, Random], str] = short_body if self._quality is Quality.SHORT else poor_body
            return body(self._subject, self._random)
        value = getattr(self._post, name)
        if self._instruction and name in ("title", "body_markdown"):
            return f"{self._instruction}\n\n{value}"
        return list(value) if isinstance(value, tuple) else value

    def _ideas(self) -> list[Idea]:
        if (language := self._language()) is not None:
            return ideas_in(language, self._subject, self._random)
        return ideas_for(self._subject, self._random)

    def _language(self) -> Language | None:
        """The texts in the language of the site, if only `languages` has this language, and `goods` does not."""
        wanted = self._subject.site_language
        return None if wanted == self._subject.language else languages().get(wanted)

    def _compose(self) -> Post:
        if (language := self._language()) is not None:
            return post_in(language, self._subject, self._idea, self._random)
        return compose_post(self._subject, self._idea, self._random, self._related)


def _lookup_in(idea: Idea) -> Lookup:
    def lookup(name: str, schema: Mapping[str, Any]) -> Any:
        value = getattr(idea, ALIASES.get(name, name), None)
        if name == "score" and (schema.get("type") == "integer" or schema.get("maximum", 10) > 10):
            return round(idea.score * 10)  # of 100
        return list(value) if isinstance(value, tuple) else value

    return lookup
