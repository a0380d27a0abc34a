import io
import json
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import Fault, SettingsError
from blogworker.intake import Accepted, Row, Skipped, read

Reads = Callable[..., list[Row]]


def test_each_line_is_a_keyword_blog(rows_of: Reads) -> None:
    rows = rows_of("# ideas for May\n\nrye bread\n  how to   fold a map \n", kind="keywords")

    assert [(row.line, row.job.source_data) for row in rows if isinstance(row, Accepted)] == [
        (3, {"keyword": "rye bread"}),
        (4, {"keyword": "how to fold a map"}),
    ]
    assert len(rows) == 2


def test_a_repeated_keyword_is_skipped_in_whatever_case(rows_of: Reads) -> None:
    rows = rows_of("Straße\nrye\nSTRASSE\n", kind="keywords")

    assert rows[2] == Skipped(3, "it repeats the keyword of line 1")


def test_what_is_no_list_of_keywords_is_a_fault(rows_of: Reads) -> None:
    (row,) = rows_of("word " * 60, kind="keywords")

    assert isinstance(row, Fault)
    assert "at most 200" in row.reason


CELL = st.text("abcdef ", min_size=1, max_size=8).filter(str.strip)


@given(
    st.integers(2, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=3)),
    st.sampled_from(";|,"),
    st.sampled_from(["", ".txt"]),
)
def test_a_table_is_not_a_list_of_keywords(rows: list[list[str]], delimiter: str, suffix: str) -> None:
    """Each of its lines would become a post."""
    content = "\n".join(map(delimiter.join, rows)).encode()

    with pytest.raises(SettingsError, match="looks like a table: pass --kind csv for products; else give one keyword"):
        list(read(io.BytesIO(content), name=f"words{suffix}", instance_id="shop"))
    assert list(read(io.BytesIO(content), name="words", instance_id="shop", kind="keywords"))


@pytest.mark.parametrize(
    "content",
    ["Keyword;Volume;KD\nlinen curtains;1200;3\n", "keyword,volume\nlinen curtains,1200", '"Top queries",x\na'],
)
def test_a_table_of_a_keyword_tool_is_refused_with_advice(content: str) -> None:
    with pytest.raises(SettingsError, match="looks like a table of keywords: give one keyword per line, without a"):
        list(read(io.BytesIO(content.encode()), name="words.txt", instance_id="shop"))


@pytest.mark.parametrize("content", ["keyword\nlinen curtains\n", "Suchbegriff;Volumen\nlinen;3\n"])
def test_keywords_in_a_csv_file_are_told_what_to_do(content: str) -> None:
    (row,) = read(io.BytesIO(content.encode()), name="words.csv", instance_id="shop")

    assert isinstance(row, Fault)
    assert "for keywords, give one keyword per line, without a header" in row.reason


@pytest.mark.parametrize(
    "words",
    [
        ["how to wash, dry and fold", "linen", "cotton, wool"],
        ["mugs, blue", "jugs, red"],
        ["a | b"],
        ["what is linen?", "linen; a guide"],
        ["keyword research", "query letters"],
    ],
)
def test_keywords_with_punctuation_are_keywords(rows_of: Reads, words: list[str]) -> None:
    rows = rows_of("\n".join(words))

    assert [row.job.source_data["keyword"] for row in rows if isinstance(row, Accepted)] == words


def test_a_line_that_states_the_delimiter_is_not_a_keyword(rows_of: Reads) -> None:
    (product,) = rows_of("sep=;\nHandle;Title;Variant Price\na;A;10\n")

    assert isinstance(product, Accepted)
    assert product.job.source_type == "product"
    with pytest.raises(SettingsError, match="looks like a table"):
        rows_of("sep=;\nlinen\n")


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1e", "\x85", "\u2028", "\u2029"])
def test_other_line_ends_part_keywords(rows_of: Reads, end: str) -> None:
    rows = rows_of(f"linen{end}cotton{end}\nwool\n", kind="keywords")

    assert [(row.line, row.job.source_data["keyword"]) for row in rows if isinstance(row, Accepted)] == [
        (1, "linen"), (1, "cotton"), (2, "wool"),
    ]  # fmt: skip


@given(
    st.text("äéñ a-z가", min_size=1, max_size=10).filter(str.strip),
    st.integers(0, 10),
    st.sampled_from("\u200b\ufeff\xad"),
)
def test_spellings_that_look_the_same_are_one_keyword(word: str, place: int, mark: str) -> None:
    spellings = [word, unicodedata.normalize("NFD", word), word[:place] + mark + word[place:], word.upper().lower()]
    content = "\n".join(spellings).encode()

    rows = list(read(io.BytesIO(content), kind="keywords", instance_id="shop", idempotent=True))

    assert [type(row) for row in rows] == [Accepted, Skipped, Skipped, Skipped]
    lines = "".join(f'{{"source_type": "keyword", "source_id": {json.dumps(one)}}}\n' for one in spellings)
    kept = list(read(io.BytesIO(lines.encode()), kind="jsonl", instance_id="shop", idempotent=True))
    assert len({row.job.idempotency_key for row in kept if isinstance(row, Accepted)}) == 1


def test_only_a_remark_begins_with_a_sign_and_a_space(rows_of: Reads) -> None:
    rows = rows_of("# remark\n#\n## heading\n#linenlove\n#NAME?\n#N/A\n#1 linen\n", kind="keywords")

    assert [row.job.source_data["keyword"] for row in rows if isinstance(row, Accepted)] == ["#linenlove", "#1 linen"]
    assert [(row.line, row.kind) for row in rows if isinstance(row, Skipped)] == [(5, "error"), (6, "error")]
