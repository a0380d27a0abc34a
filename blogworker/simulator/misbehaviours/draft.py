"""A good answer into which a fault is inserted, and the places in it where models make mistakes."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from blogworker.simulator.writer.subject import main_part

ENGLISH = "en"
NOT_PROSE = re.compile(r"[#>|]|[-*+] |\d+\. ")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])")
LEAST_WORDS = 20  # of a paragraph that gets a fault
MOST_WRAPPED_WORDS = 3


@cache
def phrases_of(language: str) -> Mapping[str, Any]:
    """The phrases to insert in a language; English ones for an unknown language."""
    folder = files("blogworker.simulator.misbehaviours") / "words"
    file = folder / f"{language}.toml"
    return tomllib.loads((file if file.is_file() else folder / f"{ENGLISH}.toml").read_text(encoding="utf-8"))


@dataclass(slots=True)
class Draft:
    """The fields of a post, and its source. `write_in` writes the same post in another language."""

    post: dict[str, Any]
    source: Mapping[str, Any]
    language: str
    write_in: Callable[[str], dict[str, Any]]

    def phrase(self, key: str, **more: str) -> str:
        """A phrase in the language of the post, about the subject of the post."""
        text = str(phrases_of(self.language)[key])
        for slot, value in {"name": self.name, **more}.items():
            text = text.replace(f"{{{slot}}}", value)
        return text

    @property
    def name(self) -> str:
        name = main_part(str(self.source.get("name") or ""))
        return name or str(self.source.get("keyword") or phrases_of(self.language)["thing"])

    @property
    def url(self) -> str:
        return str(self.source.get("url") or "")

    @property
    def body(self) -> str:
        return str(self.post["body_markdown"])

    @body.setter
    def body(self, text: str) -> None:
        self.post["body_markdown"] = text

    @property
    def blocks(self) -> list[str]:
        return self.body.split("\n\n")

    def paragraph_index(self, number: int) -> int:
        """The index in `blocks` of the nth long paragraph without a link; a negative number counts from the end."""
        indexes = [
            index
            for index, block in enumerate(self.blocks)
            if not NOT_PROSE.match(block) and "](" not in block and len(block.split()) >= LEAST_WORDS
        ]
        return indexes[number]

    def change_paragraph(self, number: int, change: Callable[[str], str]) -> None:
        blocks, index = self.blocks, self.paragraph_index(number)
        blocks[index] = change(blocks[index])
        self.body = "\n\n".join(blocks)

    def add_sentence(self, number: int, sentence: str) -> None:
        """Insert a sentence after the first one of a paragraph."""
        self.change_paragraph(number, lambda text: " ".join(_with_second_sentence(text, sentence)))

    def insert(self, index: int, *blocks: str) -> None:
        self.body = "\n\n".join([*self.blocks[:index], *blocks, *self.blocks[index:]])


def _with_second_sentence(text: str, sentence: str) -> list[str]:
    first, *others = SENTENCE_END.split(text)
    return [first, sentence, *others]


def after_words(text: str, inserted: str) -> str:
    """Insert a word after the sixth one."""
    words = text.split(" ")
    return " ".join([*words[:6], inserted, *words[6:]])


def after_first_sentence(text: str, mark: str) -> str:
    """Insert a mark after the full stop of the first sentence."""
    first, *others = SENTENCE_END.split(text)
    return " ".join([f"{first}{mark}", *others])


def wrap_words(text: str, wrap: Callable[[str], str]) -> str:
    """Apply `wrap` to some words in the middle of the last sentence."""
    *others, last = SENTENCE_END.split(text)
    words = last.split(" ")
    start = min(2, len(words) - 1)
    end = min(start + MOST_WRAPPED_WORDS, len(words) - 1)
    wrapped = wrap(" ".join(words[start:end]))
    return " ".join([*others, " ".join([*words[:start], wrapped, *words[end:]])])
