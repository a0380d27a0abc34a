"""A job with only invisible text is refused by every interface, by the same rule."""

import sys
import unicodedata
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Json

from blogworker.errors import Rejected
from blogworker.printable import is_visible
from blogworker.queue.validation import NewJob, faults
from blogworker.stages.source import normalised

NAMED = {"keyword": "keyword", "product": "name", "text": "text"}
unseen = st.text(
    st.sampled_from("\u200b\ufeff\u00ad\u2060\u200d\u200e\u3164\u2800\ufe0f\u034f \t\n\u00a0\u3000\U000e0041")
)


def characters() -> list[str]:
    """All that Postgres can store."""
    return [chr(code) for code in range(1, sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]


def test_the_table_and_the_program_agree_on_every_character(module_url: str) -> None:
    """A character that only one of them refuses would fail a whole batch, or be paid for."""
    with psycopg.connect(module_url) as connection:
        connection.execute("set transaction_read_only = on")
        (check,) = connection.execute(
            "select pg_get_constraintdef(oid) from pg_constraint where conname = 'text_is_given'"
        ).fetchone() or ("",)
        seen = check[check.index("'[^") + 1 : check.index("]'") + 1].replace("\\\\", "\\")
        rows = connection.execute(
            "select c from unnest(%s::text[]) as c where c !~ %s", (characters(), seen)
        ).fetchall()

    refused = {sign for (sign,) in rows}
    assert {sign for sign in refused if is_visible(sign)} == set()
    agreed = {sign for sign in characters() if not is_visible(sign)}
    left = agreed - refused
    assert all(ord(sign) & 0xFFFE == 0xFFFE for sign in left), "beyond the noncharacters of the higher planes"
    assert all(unicodedata.category(sign)[0] != "L" or sign in "\u115f\u1160\u3164\uffa0" for sign in refused)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(list(NAMED)), word=unseen)
def test_invisible_text_is_refused_at_every_entry(module_url: str, kind: Any, word: str) -> None:
    """A post about one zero-width space was made and paid for."""
    data = {NAMED[kind]: word}
    assert faults(NewJob("s", kind, None, data))
    if kind != "text":
        assert faults(NewJob("s", kind, word, {}))
    with pytest.raises(Rejected):
        normalised(kind, None, data)
    with psycopg.connect(module_url, autocommit=True) as connection:
        for statement, values in (
            (
                "insert into blog_generations (instance_id, source_type, source_data) values ('s', %s, %s)",
                (kind, Json(data)),
            ),
            ("insert into blog_generations (instance_id, source_type, source_id) values ('s', %s, %s)", (kind, word)),
            ("select enqueue_blog('s', %s, source_data => %s::jsonb)", (kind, Json(data))),
            (
                "select enqueue_blogs(jsonb_build_array(jsonb_build_object("
                "'instance_id', 's', 'source_type', %s::text, 'source_data', %s::jsonb)))",
                (kind, Json(data)),
            ),
        ):
            with pytest.raises(psycopg.errors.CheckViolation) as refusal:
                connection.execute(statement, values)
            assert str(refusal.value.diag.constraint_name) in ("keyword_is_given", "product_is_named", "text_is_given")


@pytest.mark.parametrize("word", ["1984", "👍🏽", "❤️", "می‌خواهم", "क्‍ष", "\u200bmugs", "."])
def test_visible_words_with_joiners_are_accepted(module_url: str, word: str) -> None:
    """The joiners shape emoji, Persian and Indic words."""
    assert faults(NewJob("s", "keyword", None, {"keyword": word})) == []
    with psycopg.connect(module_url) as connection:
        connection.execute("select enqueue_blog('s', 'keyword', source_data => %s::jsonb)", (Json({"keyword": word}),))
        connection.rollback()
