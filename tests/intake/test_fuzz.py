"""Nearly valid files: none raises, loses a row, or reports a fault in two lines.

Of each form 2,000 are tried here and 8,000 others in `make proof`.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

import pytest

from blogworker.errors import Fault, SettingsError
from blogworker.intake import Accepted, Kind, Row, Skipped, read
from blogworker.intake.identifiers import rewritten
from blogworker.intake.money import amount, currency
from blogworker.intake.visibility import UnknownState, why_hidden
from blogworker.queue.validation import faults
from blogworker.readable import readable

pytestmark = pytest.mark.slow

INPUTS = 2_000
SEEDS = [0, *(pytest.param(more, marks=pytest.mark.proof) for more in range(1, 5))]
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1")
SHOP = """Handle,Title,Body (HTML),Vendor,Published,Variant Price,Image Src,Status,Published At
mug,Mug,"<p>A ""mug"",
of clay.</p>",Oak,true,26.00,https://a.example/1.jpg,active,2026-01-01
mug,,,,,31.00,https://a.example/2.jpg,,
jug,Jug,x,Oak,false,"1.299,50 €",,draft,
"""
WIX = """handleId;fieldType;name;price;surcharge;visible
p;Product;Soap;6,50;;true
p;Variant;;;1,25;
q;Product;Salt;4;;no
"""
LINES = """{"source_type": "keyword", "source_data": {"keyword": "rye"}, "idempotency_key": "k"}
{"sourceType": "product", "sourceId": "p1", "sourceData": {"name": "Mug", "tags": ["a", {"b": 1.5}]}, "priority": 2}
{"source_type": "text", "source_data": {"text": "Notes."}, "publish_at": "2030-05-01T09:00:00+02:00"}
"""
WORDS = "# for May\nrye bread\n\nhow to fold a map\nRye Bread\n"
SIGNS = (
    "\n", "\r", "\r\n", "\0", "\ufeff", "\ud800", "\udcff", "\u2028", "\x0b", "\x1e", ",", ";", "\t", "|", '"',
    '""', "=", "'", "\\", "{", "}", "[", "]", ":", "<", ">", "<![S-M]>", "<!--", "&#", "&#" + "9" * 4400 + ";",
    "-", "+", "E+11", "1.23E+11", "-1", "9" * 4400, "1e999", "NaN", "null", "true", "é", "😀", "٣", "draft",
    "#REF!", "https://a/", "http://[", "data:image/png;base64,AAAA",
)  # fmt: skip


def mutated(samples: Sequence[str], seed: int) -> Iterator[str]:
    """Samples with a few characters inserted, removed or repeated."""
    random = Random(seed)
    for _ in range(INPUTS):
        text = random.choice(samples)
        for _ in range(random.randint(0, 5)):
            begin = random.randint(0, len(text))
            end = min(len(text), begin + random.choice((0, 0, 1, 2, 9, 60)))
            new = random.choice(("", random.choice(SIGNS), text[begin:end] * 2))
            text = text[:begin] + new + text[end:]
        yield text


def files(samples: Sequence[str], seed: int) -> Iterator[bytes]:
    random = Random(seed)
    for text in mutated(samples, seed):
        content = text.encode(random.choice(ENCODINGS), errors="replace")
        yield content[: random.randint(0, len(content))] if random.random() < 0.1 else content


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("samples", "kind"),
    [([SHOP, WIX], "csv"), ([LINES], "jsonl"), ([WORDS], "keywords"), ([SHOP, LINES, WORDS], "auto")],
)
def test_a_file_that_is_nearly_right_is_read_to_its_end(samples: list[str], kind: Kind, seed: int) -> None:
    refused: list[str] = []
    for content in files(samples, seed):
        try:
            rows = list(read(io.BytesIO(content), kind=kind, instance_id="shop", idempotent=True))
        except SettingsError as error:
            refused.append(str(error))
            continue
        for row in rows:
            check(row)
        if kind == "jsonl" and b"\0" not in content[:8]:
            assert len(rows) in (told_lines(content.decode(errors="replace")), 1), content  # 1: JSON over several lines
    assert len(refused) < INPUTS / 2
    assert not any("\n" in line for line in refused)


def check(row: Row) -> None:
    assert row.line >= 1
    match row:
        case Accepted(job=blog):
            assert faults(blog) == []
            json.dumps(blog.source_data, allow_nan=False)
        case Skipped(reason=reason) | Fault(reason=reason):
            assert reason
            assert len(reason.splitlines()) == 1
            assert len(reason) < 1_500
            reason.encode()


def told_lines(text: str) -> int:
    return sum(1 for line in re.split("\r\n|\r|\n", text) if line.lstrip("\ufeff").strip())


@pytest.mark.parametrize("seed", SEEDS)
def test_any_description_becomes_text(seed: int) -> None:
    for html in mutated([SHOP, "<p>Hi &amp; <b>you</b></p><script>x</script><!-- c --><![CDATA[d]]>"], seed=seed):
        assert len(readable(html, longest=60)) <= 60


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("read_cell", [amount, currency, rewritten])
def test_any_cell_is_a_value_or_a_value_error(read_cell: Callable[[str], object], seed: int) -> None:
    for text in mutated(["1.299,50 €", "EUR 12", "1,299", "1'299.00", "1.23E+11", "3-May", "2024-03-05"], seed=seed):
        try:
            value = read_cell(text)
        except ValueError:
            continue
        assert value is None or isinstance(value, str) or Decimal(0) <= Decimal(str(value)) < Decimal(10) ** 22


@pytest.mark.parametrize("seed", SEEDS)
def test_any_word_says_whether_a_product_can_be_seen_or_is_unknown(seed: int) -> None:
    samples = [
        "draft",
        "nicht aktiv",
        "-1",
        "2026-01-01T00:00:00+02:00",
        "31.12.9999 23:59",
        "0001-01-01T00:00:00+23:59",
    ]
    columns = Random(seed)
    unknown: list[str] = []
    for text in mutated(samples, seed=seed):
        column = columns.choice(("status", "published", "hidden", "visibility", "published_at"))
        try:
            found = why_hidden({column: text}, lambda: datetime(2027, 1, 1, tzinfo=UTC))
        except UnknownState as error:
            unknown.append(str(error))
            continue
        assert found is None or found.isalpha()
    assert all(len(line.splitlines()) == 1 for line in unknown)
