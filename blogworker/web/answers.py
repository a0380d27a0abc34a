"""Records of `ops` as JSON with names in camelCase, and the JSON schemas of exactly these answers."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from starlette.responses import Response

from blogworker.redact import SECRETS

VERBATIM = ("settings", "source_data", "output", "before", "after")  # their keys belong to others
SEED = {"max_rpm": "maxRPM", "max_tpm": "maxTPM"}  # as the previous system spells them


def camel(name: str) -> str:
    if name in SEED:
        return SEED[name]
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def plain(value: Any) -> Any:
    """Return a record, or a collection of records, as JSON values."""
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {camel(str(name)): item if name in VERBATIM else plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response without secrets: any program may have stored one."""
    cleaned = SECRETS.hide_all(json.loads(json.dumps(plain(value), default=_scalar)), shapes=False, words=False)
    body = json.dumps(cleaned, ensure_ascii=False, separators=(",", ":"))
    return Response(body.encode("utf-8", "replace"), status, headers=headers, media_type="application/json")


def _scalar(value: object) -> object:
    match value:
        case date():
            return value.isoformat()
        case Decimal():
            return float(value)
        case _:
            return str(value)


class AsNumbers(GenerateJsonSchema):
    """Describes a Decimal as the number that it is in an answer."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        return {"type": "number"}


@cache
def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of the answer for a record type."""
    schema: dict[str, Any] = TypeAdapter(kind).json_schema(
        mode="serialization", ref_template="#/$defs/{model}", schema_generator=AsNumbers
    )
    definitions = schema.pop("$defs", {})
    return dict(_renamed(_inlined(schema, definitions)))


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        return _inlined(definitions[reference.rsplit("/", 1)[1]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


def _renamed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_renamed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _renamed(value) for key, value in schema.items() if key not in ("title", "default")}
    if isinstance(schema.get("properties"), dict):
        found["properties"] = {camel(name): _renamed(value) for name, value in schema["properties"].items()}
        found["required"] = sorted(found["properties"])
        found["additionalProperties"] = False
    return found
