"""The schemas that the tests ask the writer to fill."""

from typing import Any

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}


def strict(**properties: Any) -> dict[str, Any]:
    """An object schema for strict mode."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


IDEA = strict(
    title=TEXT, angle=TEXT, audience=TEXT, search_intent=TEXT, keywords=TEXTS, outline=TEXTS, score={"type": "number"}
)
IDEAS = strict(ideas={"type": "array", "items": IDEA})
POST = strict(
    title=TEXT, slug=TEXT, excerpt=TEXT, seo_title=TEXT, seo_description=TEXT, tags=TEXTS, body_markdown=TEXT,
    image_prompt=TEXT, image_alt=TEXT,
)  # fmt: skip
