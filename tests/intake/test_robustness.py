"""Whatever bytes come, each row is accepted, skipped or a fault, and what is accepted can be stored."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import Fault, SettingsError
from blogworker.intake import Accepted, Kind, Row, Skipped, read
from blogworker.queue.validation import faults
from blogworker.readable import readable

HEADER = b"Handle,Title,Body (HTML),Variant Price,Image Src\n"
TABLE_PIECES = st.sampled_from(
    [b"mug", b",", b'"', b"\n", b"\r", b";", b"\t", b"<p>", b"9.99", b"\xff", b"\0", b"https://a/b"]
)
JSON_PIECES = st.sampled_from(
    [b'{"source_type":', b'"keyword"', b"}", b"[", b'"source_data":', b"\n", b"NaN", b"1e999", b","]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def check(content: bytes, kind: Kind) -> list[Row]:
    try:
        rows = list(read(io.BytesIO(content), kind=kind, instance_id="shop", idempotent=True))
    except SettingsError:
        return []
    lines = len(content.replace(b"\0", b"").splitlines()) + 1  # CR ends a line, too
    for row in rows:
        assert isinstance(row, (Accepted, Skipped, Fault))
        assert 1 <= row.line <= lines
        if isinstance(row, Accepted):
            assert faults(row.job) == []
            assert "\\u0000" not in json.dumps(row.job.source_data, allow_nan=False).replace("\\\\", "")
        else:
            assert row.reason
            assert "\n" not in row.reason
            row.reason.encode()
    return rows


@pytest.mark.parametrize("kind", ["auto", "jsonl", "keywords", "csv"])
@given(content=st.binary(max_size=300))
def test_any_bytes(kind: Kind, content: bytes) -> None:
    check(content, kind)


@given(pieces=st.lists(TABLE_PIECES, max_size=60))
def test_anything_below_a_product_header(pieces: list[bytes]) -> None:
    check(HEADER + b"".join(pieces), "csv")


@given(pieces=st.lists(JSON_PIECES, max_size=30))
def test_anything_that_resembles_json(pieces: list[bytes]) -> None:
    check(b"".join(pieces), "jsonl")


@given(
    fields=st.dictionaries(
        st.sampled_from(["instance_id", "sourceType", "source_id", "source_data", "priority", "run_at", "maxAttempts"]),
        JSON_VALUES,
    )
)
def test_any_values_of_known_fields(fields: dict[str, Any]) -> None:
    content = json.dumps({"source_type": "keyword"} | fields if "sourceType" not in fields else fields).encode()

    assert len(check(content, "jsonl")) == 1


@given(
    rows=st.lists(
        st.tuples(st.uuids().map(str), st.text(min_size=1), st.text(), st.decimals("0", "99999", places=2)),
        max_size=5,
        unique_by=lambda row: row[0],
    ),
    delimiter=st.sampled_from(",;\t"),
)
def test_a_well_formed_export_has_as_many_outcomes_as_products(rows: list[tuple[object, ...]], delimiter: str) -> None:
    """A title may be unusable (blank, a NUL); it may never be lost, nor cost its neighbour."""
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter)
    writer.writerow(["Handle", "Title", "Body (HTML)", "Variant Price"])
    writer.writerows(rows)

    assert len(check(written.getvalue().encode(errors="replace"), "csv")) == len(rows)


@given(
    html=st.lists(
        st.sampled_from(
            ["<", ">", "<!", "<![", "<p", "&", "&#0;", "&#xD800;", "</", "<script>", "--", "x", "'", '"', "]]>"]
        )
    ).map("".join)
)
def test_any_markup_becomes_text(html: str) -> None:
    readable(html, longest=50).encode()
