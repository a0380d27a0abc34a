"""`blogworker enqueue` over files with rows of every sort: what it counts is what it stores."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.cli import sources
from blogworker.cli.sources import Source
from blogworker.errors import InvalidInput, SettingsError

DONE = 0
Sql = Callable[..., list[tuple[Any, ...]]]

SORTS = ("good", "bad", "draft", "hidden", "unknown", "repeated", "contradicting")
ROWS = st.lists(st.sampled_from(SORTS), max_size=30)


def product(number: int, sort: str) -> str:
    name, price, status = f"Mug {number}", "4", "active"
    match sort:
        case "bad":
            price = "cheap"
        case "draft":
            status = "draft"
        case "hidden":
            status = "nicht sichtbar"
        case "unknown":
            status = "kesken"
    return f"mug-{number},{name},{price},{status}\n"


def line(number: int, sort: str) -> str:
    row = {"instance_id": f"s{number % 3}", "source_type": "text", "source_data": {"text": f"Notes {number}."}}
    key = {"idempotency_key": "first"} if sort in ("repeated", "contradicting") else {}
    text = {"source_data": {"text": "Same."}} if sort == "repeated" else {}
    site = {"instance_id": "s0"} if key else {}
    return "{broken\n" if sort == "bad" else json.dumps(row | key | text | site) + "\n"


def source(path: Path, text: str, *, sites: tuple[str, ...] = ("a", "b"), **options: bool) -> Source:
    path.write_text(text, encoding="utf-8")
    return Source(
        path=path,
        name=path.name,
        kind="auto",
        sites=sites,
        priority=0,
        repeatable=options.get("repeatable", False),
        include_hidden=options.get("include_hidden", False),
        run_at=None,
        publish_at=None,
        mode=None,
    )


@settings(max_examples=60)
@given(tables=st.lists(ROWS, max_size=3), lines=ROWS, include_hidden=st.booleans(), repeatable=st.booleans())
def test_every_row_is_counted_once_and_for_what_it_is(
    tables: list[list[str]], lines: list[str], include_hidden: bool, repeatable: bool
) -> None:
    """Any number of rows that are skipped, in any order, in any number of files, with any options."""
    numbers = iter(range(10_000))
    texts = ["".join(product(next(numbers), sort) for sort in rows) for rows in tables]
    first = next((sort for sort in lines if sort in ("repeated", "contradicting")), None)
    options = {"include_hidden": include_hidden, "repeatable": repeatable}

    with tempfile.TemporaryDirectory() as folder:
        given = [
            source(Path(folder) / f"{n}.csv", f"Handle,Title,Price,Status\n{text}", **options)
            for n, text in enumerate(texts)
        ]
        given.append(source(Path(folder) / "l.jsonl", "\n" + "".join(map(line, range(len(lines)), lines)), **options))
        found = sources.check(given, skip_bad=True)
        stored = list(sources.jobs(given, found))

    rows = Counter(sort for table in tables for sort in table)
    repeated = [sort for sort in lines if sort in ("repeated", "contradicting")]
    differing = len(repeated[1:]) if first == "contradicting" else repeated.count("contradicting")
    hidden = 0 if include_hidden else rows["draft"] + rows["hidden"]
    unknown = 0 if include_hidden else rows["unknown"]
    assert found.bad == rows["bad"] + unknown + lines.count("bad") + differing
    same = repeated.count("repeated") - 1 if first == "repeated" else 0
    assert found.skipped.total() == hidden + same
    assert found.jobs == rows.total() + len(lines) - found.bad - hidden - same
    assert Counter(blog.instance_id for blog in stored) == found.counts


def test_a_file_with_over_a_thousand_bad_rows_is_counted_to_its_end(cli: Any, sql: Sql) -> None:
    """After a thousand bad rows the rest was stored but not counted, and the output had a negative number."""
    sorts = ["good"] * 150 + ["bad"] * 1_200 + ["draft"] * 70
    rows = [product(number, sort) for number, sort in enumerate(sorts)]
    Random(5).shuffle(rows)
    (cli.folder / "shop.csv").write_text(f"Handle,Title,Price,Status\n{''.join(rows)}")
    (cli.folder / "words.txt").write_text("mugs\nMugs\nbowls\n")

    files = ("words.txt", "shop.csv", "words.txt", "--site", "s", "--site", "t")
    ran = cli("enqueue", "--skip-bad", *files, "--json", "--skip-bad")
    again = cli("enqueue", *files, "--skip-bad")

    answer = ran.json
    assert ran.code == DONE
    assert sql("select count(*) from blog_generations") == [(answer["created"],)]
    assert answer == {
        "created": 152,
        "known": 2,
        "sites": 2,
        "skipped": 72,
        "skipped_by": {"repeated": 2, "draft": 70},
        "bad": 1_200,
    }
    assert ran.complaints[-1] == "blogworker: shop.csv: ... and 200 more (skipped)"
    assert "0 jobs enqueued for 2 sites" in again.out
    assert "skipped: 70 products not visible in the shop: 70 draft (--include-hidden enqueues them)" in again.out
    assert "skipped: 2 rows, repeated in the files" in again.out


def test_bad_rows_that_are_not_printed_are_counted(tmp_path: Path) -> None:
    rows = "".join(product(number, "bad") for number in range(1_200))

    with pytest.raises(InvalidInput) as caught:
        sources.check([source(tmp_path / "shop.csv", f"Handle,Title,Price,Status\n{rows}")], skip_bad=False)
    assert len(caught.value.faults) + caught.value.more == 1_200


def test_skipped_products_are_added_on_request(cli: Any, sql: Sql) -> None:
    """The database's clock decides whether a time of publication has come."""
    (cli.folder / "shop.csv").write_text(
        "Handle,Title,Published,Status,Published At\na,A,true,active,2020-01-01\nb,B,true,draft,\nc,C,true,unlisted,\n"
        "d,D,false,active,\ne,E,,,2999-01-01\n"
    )

    left_out = cli("enqueue", "shop.csv", "--site", "s", "--json").json
    dry = cli("enqueue", "shop.csv", "--site", "s", "--dry-run")
    taken = cli("enqueue", "shop.csv", "--site", "s", "--include-hidden", "--json").json

    assert left_out["created"] == 1
    assert left_out["skipped_by"] == {"draft": 1, "unlisted": 1, "unpublished": 1, "scheduled": 1}
    assert "skipped: 4 products not visible in the shop: 1 draft, 1 scheduled, 1 unlisted, 1 unpub" in dry.out
    assert (taken["created"], taken["known"], taken["skipped"]) == (4, 1, 0)
    assert sql("select count(*) from blog_generations") == [(5,)]


def test_a_file_that_changes_between_its_two_readings_is_not_enqueued(tmp_path: Path) -> None:
    given = [source(tmp_path / "words.txt", "mugs\n")]
    found = sources.check(given, skip_bad=False)
    (tmp_path / "words.txt").write_text("mugs\nbowls\n")

    with pytest.raises(SettingsError, match="changed while it was read"):
        list(sources.jobs(given, found))


def test_contradicting_files_of_one_command_are_an_error(tmp_path: Path) -> None:
    """Each file alone is valid; together two products would silently become one blog."""
    given = [source(tmp_path / f"{name}.csv", f"Handle,Title\n123,{name}\n", sites=("a",)) for name in ("Mug", "Jug")]

    with pytest.raises(InvalidInput) as caught:
        sources.check(given, skip_bad=False)
    assert "Mug.csv:2 has the same key" in caught.value.faults[0].reason
