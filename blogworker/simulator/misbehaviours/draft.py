"""A good answer that is to be spoilt, and the places in it where models go wrong."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from blogworker.simulator.writer.subject import main_part

ENGLISH = "en"
NO_PROSE = re.compile(r"[#>|]|[-*+] |\d+\. ")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])")
LEAST_WORDS = 20  # of a paragraph worth spoiling
LONGEST = 3  # words that become a link


@cache
def words_of(language: str) -> Mapping[str, Any]:
    """What is planted in a language; in English where we do not know it."""
    folder = files("blogworker.simulator.misbehaviours") / "words"
    file = folder / f"{language}.toml"
    return tomllib.loads((file if file.is_file() else folder / f"{ENGLISH}.toml").read_text(encoding="utf-8"))


@dataclass(slots=True)
class Draft:
    """The fields of a post, its source, and how to write it in another language."""

    post: dict[str, Any]
    source: Mapping[str, Any]
    language: str
    rewritten: Callable[[str], dict[str, Any]]

    def said(self, key: str, **more: str) -> str:
        """A phrase in the language of the post, about the subject of the post."""
        text = str(words_of(self.language)[key])
        for slot, value in {"name": self.name, **more}.items():
            text = text.replace(f"{{{slot}}}", value)
        return text

    @property
    def is_product(self) -> bool:
        return self.source.get("kind") == "product"

    @property
    def name(self) -> str:
        name = main_part(str(self.source.get("name") or ""))
        return name or str(self.source.get("keyword") or words_of(self.language)["thing"])

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

    def place(self, number: int) -> int:
        """Where the paragraph of this number stands, counted from the end if negative; without a link in it."""
        places = [
            place
            for place, block in enumerate(self.blocks)
            if not NO_PROSE.match(block) and "](" not in block and len(block.split()) >= LEAST_WORDS
        ]
        return places[number]

    def change(self, number: int, change: Callable[[str], str]) -> None:
        """Change one paragraph."""
        blocks, place = self.blocks, self.place(number)
        blocks[place] = change(blocks[place])
        self.body = "\n\n".join(blocks)

    def say(self, number: int, sentence: str) -> None:
        """Put a sentence into a paragraph, behind its first one."""
        self.change(number, lambda text: " ".join(_behind_first(text, sentence)))

    def insert(self, place: int, *blocks: str) -> None:
        self.body = "\n\n".join([*self.blocks[:place], *blocks, *self.blocks[place:]])


def _behind_first(text: str, sentence: str) -> list[str]:
    first, *others = SENTENCE_END.split(text)
    return [first, sentence, *others]


def behind_words(text: str, planted: str) -> str:
    """Behind the sixth word, with a space."""
    words = text.split(" ")
    return " ".join([*words[:6], planted, *words[6:]])


def behind_sentence(text: str, mark: str) -> str:
    """Behind the stop of the first sentence."""
    first, *others = SENTENCE_END.split(text)
    return " ".join([f"{first}{mark}", *others])


def wrapped(text: str, around: Callable[[str], str]) -> str:
    """Some words in the middle of a paragraph's last sentence, inside marks."""
    *others, last = SENTENCE_END.split(text)
    words = last.split(" ")
    start = min(2, len(words) - 1)
    end = min(start + LONGEST, len(words) - 1)
    inner = around(" ".join(words[start:end]))
    return " ".join([*others, " ".join([*words[:start], inner, *words[end:]])])
