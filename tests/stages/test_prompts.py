"""The prompts."""

import json

from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.prompts import IDEAS, POST, Prompt, fenced

JSON = st.recursive(
    st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(JSON)
def test_data_cannot_close_its_fence(data):
    """A product description is written by strangers: it must stay data."""
    block = fenced("source", data)
    inner = block.removeprefix("<source>\n").removesuffix("\n</source>")

    assert "<" not in inner
    assert ">" not in inner
    assert json.loads(inner) == data


def test_schemas_are_strict_and_plain():
    """Lengths and patterns on the wire make some models fail; everything else must be required and closed."""

    def check(schema):
        assert not schema.keys() - {
            "type",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "enum",
            "description",
        }
        if schema["type"] == "object":
            assert schema["required"] == list(schema["properties"])
            assert schema["additionalProperties"] is False
            for inner in schema["properties"].values():
                check(inner)
        if schema["type"] == "array":
            check(schema["items"])

    check(IDEAS.schema)
    check(POST.schema)


def test_a_prompt_names_its_version():
    """A checkpoint tells which words it was made with."""
    assert isinstance(POST, Prompt)
    assert POST.version.startswith("post-")
    assert POST.version != IDEAS.version


def test_instructions_contain_no_data():
    """The same for every post, so the provider's cache serves them."""
    assert "{" not in IDEAS.instructions
    assert "{" not in POST.instructions
