"""The prompts for the models, and the schemas of their answers.

The instructions and the schema are the same in every call. They come first, so that the prompt cache of the provider
can serve them; the data of one post comes last. Data is a JSON object between tags. Its angle brackets are escaped, so
that no text of a shop or of a third party can close the tag.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

REPAIR = (files("blogworker.post") / "prompts" / "repair.md").read_text("utf-8")
REPHRASE = (files("blogworker.post") / "prompts" / "rephrase.md").read_text("utf-8")
VERSION_CHARACTERS = 8
# Angle brackets and similar characters -> JSON escapes.
BRACKETS = {
    ord(bracket): f"\\u{ord(bracket):04x}"
    for bracket in "<>\uff1c\uff1e\ufe64\ufe65\u2039\u203a\u3008\u3009\u2329\u232a\u27e8\u27e9"
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """Instructions and the schema of the answer. `version` changes with both."""

    name: str
    instructions: str
    schema: Mapping[str, Any]
    version: str


def fenced(tag: str, data: object) -> str:
    """Return `data` as JSON between `<tag>` and `</tag>`."""
    text = json.dumps(data, ensure_ascii=False, indent=1).translate(BRACKETS)
    return f"<{tag}>\n{text}\n</{tag}>"


def rephrased(task: str) -> str:
    """Return the task with the request to leave out what was refused."""
    return f"{task}\n\n{REPHRASE.strip()}"


def repairing(task: str, *, answer: str, faults: Sequence[str]) -> str:
    """Return the task with the previous answer and its faults."""
    return "\n\n".join([task, REPAIR.strip(), fenced("answer", answer), fenced("faults", list(faults))])


def _text(about: str) -> dict[str, Any]:
    return {"type": "string", "description": about}


def _texts(about: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": about}


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a strict schema of the provider: all properties are required, no others are allowed. We check lengths."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _prompt(name: str, schema: Mapping[str, Any]) -> Prompt:
    instructions = (files("blogworker.post") / "prompts" / f"{name}.md").read_text("utf-8").strip()
    content = f"{instructions}\n{REPAIR}\n{REPHRASE}\n{json.dumps(schema, sort_keys=True)}"
    return Prompt(name, instructions, schema, f"{name}-{sha256(content.encode()).hexdigest()[:VERSION_CHARACTERS]}")


IDEA_SCHEMA = _object(
    title=_text("the headline, at most 65 characters"),
    angle=_text("what this post says that others do not, in one or two sentences"),
    audience=_text("the reader, in one concrete phrase"),
    search_intent={
        "type": "string",
        "enum": ["informational", "commercial", "transactional", "navigational"],
        "description": "why this reader searches",
    },
    keywords=_texts("three to six search phrases, the most important first"),
    outline=_texts("five to seven section headings, in order"),
    score={"type": "integer", "description": "0 to 100: how useful and how likely to be found"},
)
IDEAS = _prompt(
    "ideas", _object(ideas={"type": "array", "items": IDEA_SCHEMA, "description": "four ideas, clearly different"})
)
POST = _prompt(
    "post",
    _object(
        title=_text("the headline, at most 65 characters"),
        slug=_text("three to six lower-case words joined by hyphens"),
        excerpt=_text("what the reader will get, 120 to 240 characters"),
        seo_title=_text("at most 60 characters"),
        seo_description=_text("120 to 155 characters"),
        tags=_texts("three to six short topics"),
        body_markdown=_text("the post, 800 to 1,100 words of Markdown under ## headings"),
        image_prompt=_text("what the cover photograph shows, in English"),
        image_alt=_text("what the picture shows, at most 125 characters"),
    ),
)
