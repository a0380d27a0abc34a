"""Bad rows of files and exports: each is named, and nothing is added."""

import json
from pathlib import Path
from typing import Any

import pytest

from .refusals import DONE, USAGE, Sql, complained, queue_is_empty

pytestmark = pytest.mark.usefixtures("quiet")
GOOD = {"instance_id": "s", "source_type": "keyword", "source_data": {"keyword": "stoneware mugs"}}
BAD_ROWS = [
    ({**GOOD, "source_type": "poem"}, "source_type 'poem' is unknown: use keyword, product, text"),
    ({**GOOD, "source_data": {"keyword": " "}}, "a keyword job needs its keyword"),
    ({**GOOD, "source_data": {"keyword": "k", "notes": "n" * 65_536}}, "source_data has 65,"),
    ({**GOOD, "source_data": {"keyword": "nul\0"}}, "source_data.keyword holds a NUL character"),
    ({**GOOD, "instance_id": ""}, "instance_id is missing"),
    ({**GOOD, "priority": 40_000}, "priority must be a whole number"),
    ({**GOOD, "publish_at": "2026-12-01T09:00:00"}, "publish_at has no time zone"),
    ({**GOOD, "keyword": "mugs"}, "unknown field 'keyword': put it into source_data"),
    (["not", "an", "object"], "not an object"),
]
WIX_EXPORT = """handleId,fieldType,name,description,price,visible
mug,Product,Low Water Mug,A mug.,26.00,true
,Product,,No name,5.00,true
bowl,Product,Tide Bowl,A bowl.,cheap,true
"""


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_every_bad_row_of_a_jsonl_file_is_named_and_nothing_is_enqueued(cli: Any, sql: Sql) -> None:
    """All or nothing: a person corrects a file once, not once a row."""
    jsonl(cli.folder / "rows.jsonl", [GOOD, *[row for row, _ in BAD_ROWS]])
    with (cli.folder / "rows.jsonl").open("a") as file:
        file.write("{broken\n")

    ran = cli("enqueue", "rows.jsonl")

    assert (ran.code, ran.out) == (USAGE, "")
    for line, (_, reason) in enumerate(BAD_ROWS, 2):
        assert any(c.startswith(f"blogworker: rows.jsonl:{line}: ") and reason in c for c in ran.complaints), reason
    assert f"blogworker: rows.jsonl:{len(BAD_ROWS) + 2}: not JSON" in ran.err
    assert "nothing was enqueued" in ran.complaints[-1]
    assert len(ran.complaints) == len(BAD_ROWS) + 2
    assert queue_is_empty(sql)


def test_skip_bad_enqueues_the_good_rows_and_still_names_the_others(cli: Any, sql: Sql) -> None:
    jsonl(cli.folder / "rows.jsonl", [GOOD, *[row for row, _ in BAD_ROWS], {**GOOD, "instance_id": "t"}])

    ran = cli("enqueue", "rows.jsonl", "--skip-bad", "--json")

    assert ran.code == DONE
    assert ran.json == {"created": 2, "known": 0, "sites": 2, "skipped": 0, "skipped_by": {}, "bad": len(BAD_ROWS)}
    assert all(line.endswith("(skipped)") for line in ran.complaints)
    assert sql("select instance_id from blog_generations order by 1") == [("s",), ("t",)]


def test_bad_rows_of_a_product_export_are_named_by_their_line(cli: Any, sql: Sql) -> None:
    (cli.folder / "export.csv").write_text(WIX_EXPORT, encoding="utf-8")

    ran = cli("enqueue", "export.csv", "--site", "s")

    assert (ran.code, ran.out) == (USAGE, "")
    assert "blogworker: export.csv:3: " in ran.err
    assert "blogworker: export.csv:4: " in ran.err
    assert "export.csv:2:" not in ran.err
    assert queue_is_empty(sql)


def test_bad_keywords_of_a_list_are_named_by_their_line(cli: Any, sql: Sql) -> None:
    (cli.folder / "words.txt").write_bytes(b"stoneware mugs\n" + b"x" * 300 + b"\n# a remark\n\xff\xfe tea\nnul\0\n")

    ran = cli("enqueue", "words.txt", "--site", "s")

    assert (ran.code, ran.out) == (USAGE, "")
    assert "blogworker: words.txt:2: a keyword of 300 characters" in ran.err
    assert "blogworker: words.txt:4: byte 1 is not UTF-8" in ran.err
    assert any("words.txt:5: " in line and "holds a NUL character" in line for line in ran.complaints)
    assert len(ran.complaints) == 4
    assert queue_is_empty(sql)


def test_a_thousand_bad_rows_are_not_all_printed(cli: Any, sql: Sql) -> None:
    jsonl(cli.folder / "rows.jsonl", [{"source_type": "poem"}] * 1200)

    ran = cli("enqueue", "rows.jsonl")

    assert ran.code == USAGE
    assert len(ran.complaints) < 60
    assert "more" in ran.complaints[-2]
    assert queue_is_empty(sql)


def test_a_bad_keyword_beside_a_good_one_enqueues_neither(cli: Any, sql: Sql) -> None:
    """The command line is all or nothing as files are."""
    ran = cli("enqueue", "--site", "s", "--keyword", "stoneware mugs", "--keyword", " ")

    complained(ran, code=USAGE, of="a keyword job needs its keyword")
    assert queue_is_empty(sql)


def test_a_keyword_that_is_not_text_is_refused(cli: Any, sql: Sql) -> None:
    ran = cli("enqueue", "--site", "s", "--keyword", b"caf\xe9")

    assert (ran.code, "--keyword is not UTF-8" in ran.err) == (USAGE, True)
    assert queue_is_empty(sql)
