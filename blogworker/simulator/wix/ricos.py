"""The Ricos API: converts Markdown, HTML and plain text to rich content and back, and validates documents."""

from typing import Any

from starlette.responses import JSONResponse, Response

from blogworker.simulator.edge import Call
from blogworker.simulator.ricos_rules import SHAPES, violations
from blogworker.simulator.wix.errors import application_error
from blogworker.simulator.wix.ricos_text import document_of, text_of
from blogworker.simulator.wix.state import WixState

MOST_CHARACTERS = 10_000
PLUGINS = frozenset(SHAPES) | {"LINK", "TEXT_COLOR", "TEXT_HIGHLIGHT", "LINE_SPACING", "INDENT", "EMOJI", "SPOILER"}


class Ricos:
    """Converts and validates. Content of plugins that the request does not list becomes paragraphs."""

    def __init__(self, state: WixState) -> None:
        self._state = state

    async def to_ricos(self, call: Call) -> Response:
        body = call.json if isinstance(call.json, dict) else {}
        given = {name: body[name] for name in ("html", "markdown", "plainText") if isinstance(body.get(name), str)}
        if len(given) != 1:
            raise application_error(400, "INVALID_ARGUMENT", "exactly one of html, markdown and plainText is required")
        ((form, text),) = given.items()
        if len(text) > MOST_CHARACTERS:
            raise application_error(400, "INVALID_ARGUMENT", f"{form} must be at most {MOST_CHARACTERS} characters")
        plugins = _plugins((body.get("options") or {}).get("plugins"))
        return JSONResponse({"document": document_of(form, text, plugins)})

    async def from_ricos(self, call: Call) -> Response:
        body = call.json if isinstance(call.json, dict) else {}
        form = body.get("targetFormat")
        names = {"HTML": "html", "MARKDOWN": "markdown", "PLAIN_TEXT": "plainText"}
        if form not in names or not isinstance(body.get("document"), dict):
            raise application_error(400, "INVALID_ARGUMENT", "document and targetFormat are required")
        return JSONResponse({names[form]: text_of(form, body["document"])})

    async def validate(self, call: Call) -> Response:
        document: Any = call.json.get("document") if isinstance(call.json, dict) else None
        found = [violation.as_json() for violation in violations(document, "document")]
        answer: dict[str, Any] = {"valid": not found, "violations": found}
        if not found:
            answer["validDocument"] = document
        return JSONResponse(answer)


def _plugins(named: Any) -> frozenset[str]:
    plugins = frozenset(named or ())
    unknown = sorted(plugins - PLUGINS)
    if unknown:
        raise application_error(400, "INVALID_ARGUMENT", f"unknown plugin {unknown[0]}")
    return plugins
