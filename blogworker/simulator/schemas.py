"""JSON schemas: checks the subset that strict mode accepts, and generates values for a schema."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

Schema = Mapping[str, Any]

# Name and schema of a property -> its value; None if the name is unknown.
Lookup = Callable[[str, Schema], Any]

WORDS = ("calm", "bright", "honest", "simple", "lasting", "warm", "useful", "gentle", "clear", "open", "steady")


def strict_violation(schema: Any) -> str | None:
    """OpenAI's message for a schema that strict mode rejects; None if it is valid."""
    if not isinstance(schema, dict):
        return "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."
    if schema.get("type") != "object" or "anyOf" in schema:
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    return _violation(schema, ())


def _violation(schema: Any, path: tuple[str, ...]) -> str | None:
    context = f"In context=({', '.join(repr(p) for p in path)}{',' if len(path) == 1 else ''})"
    if not isinstance(schema, dict):
        return f"{context}, schema must be an object."
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            return f"{context}, 'additionalProperties' is required to be supplied and to be false."
        missing = [name for name in schema.get("properties", {}) if name not in schema.get("required", ())]
        if missing:
            return (
                f"{context}, 'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{missing[0]}'."
            )
    if schema.get("type") == "array" and "items" not in schema:
        return f"{context}, array schema missing items."
    for step, child in _children(schema):
        if found := _violation(child, (*path, *step)):
            return found
    return None


def _children(schema: Schema) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for group in ("properties", "$defs", "definitions"):
        found += [((group, name), child) for name, child in schema.get(group, {}).items()]
    if "items" in schema:
        found.append((("items",), schema["items"]))
    found += [(("anyOf", str(index)), child) for index, child in enumerate(schema.get("anyOf", ()))]
    return found


class Filler:
    """Generates a value for a schema: known properties by name, all others by type."""

    def __init__(self, root: Schema, random: Random) -> None:
        self._root = root
        self._random = random

    def fill(self, schema: Schema, lookup: Lookup) -> Any:
        """A value for the whole schema."""
        return self._value("", schema, lookup)

    def _value(self, name: str, schema: Schema, lookup: Lookup) -> Any:
        schema = self._resolved(schema)
        if name:
            given = lookup(name, schema)
            if isinstance(given, Entries):
                return [self._value("", schema.get("items", {}), entry) for entry in given.fitting(schema)]
            if given is not None and _fits(given, schema):
                return given
        return self._generic(name, schema, lookup)

    def _generic(self, name: str, schema: Schema, lookup: Lookup) -> Any:
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._random.choice(schema["enum"])
        match _type_of(schema):
            case "object":
                properties = schema.get("properties", {})
                return {key: self._value(key, child, lookup) for key, child in properties.items()}
            case "array":
                count = max(schema.get("minItems", 0), min(3, schema.get("maxItems", 3)))
                return [self._value("", schema.get("items", {}), lookup) for _ in range(count)]
            case "integer":
                return round(self._number(schema))
            case "number":
                return round(self._number(schema), 1)
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
            case _:
                return self._phrase(name, schema)

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            target: Any = self._root
            for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
                target = target[step] if step else target
            schema = target
        if "anyOf" in schema:
            return self._resolved(schema["anyOf"][0])
        return schema

    def _number(self, schema: Schema) -> float:
        low: float = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        high: float = schema.get("maximum", schema.get("exclusiveMaximum", low + 10))
        return low + (high - low) * self._random.uniform(0.5, 0.95)

    def _phrase(self, name: str, schema: Schema) -> str:
        words = self._random.sample(WORDS, 2)
        text = " ".join([*words, name.replace("_", " ").strip() or "detail"])
        return text[: schema.get("maxLength", len(text))]


class Entries:
    """The value of a known property that is a list of objects: a lookup for each of them."""

    def __init__(self, entries: Sequence[Lookup]) -> None:
        self._entries = entries

    def fitting(self, schema: Schema) -> Sequence[Lookup]:
        return self._entries[: schema.get("maxItems", len(self._entries))]


def _type_of(schema: Schema) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return kind[0] if isinstance(kind, list) else str(kind)


def _fits(value: Any, schema: Schema) -> bool:
    """Whether a value is valid. Of a list only the first entry is checked: all entries have one type."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    match _type_of(schema):
        case "string":
            return isinstance(value, str) and len(value) <= schema.get("maxLength", len(value))
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "array":
            return isinstance(value, list) and (not value or _fits(value[0], schema.get("items", {})))
        case _:
            return False
