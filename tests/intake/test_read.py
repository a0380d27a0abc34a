"""The file as a whole: found, opened, recognised, and given to sites."""

import bz2
import errno
import io
import lzma
import os
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import SettingsError
from blogworker.intake import Accepted, Row, at_rest, read

Reads = Callable[..., list[Row]]

JSON_LINE = '{"source_type": "keyword", "source_id": "rye bread"}\n'


@pytest.mark.parametrize(
    ("content", "source_type"),
    [
        ("\ufeff" + JSON_LINE, "keyword"),
        ("Handle,Title\nmug,Mug\n", "product"),
        ("\ufeffhandleId;fieldType;name\nmug;Product;Mug\n", "product"),
        ("rye bread\n", "keyword"),
    ],
)
def test_the_kind_is_found_out_from_the_content(rows_of: Reads, content: str, source_type: str) -> None:
    (row,) = rows_of(content)

    assert isinstance(row, Accepted)
    assert row.job.source_type == source_type


def test_a_suffix_says_the_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text('{"looks": "like JSON"}')

    (row,) = read(tmp_path / "a.txt", instance_id="shop")

    assert isinstance(row, Accepted)
    assert row.job.source_data == {"keyword": '{"looks": "like JSON"}'}


@given(
    st.lists(st.text("abcdefgh", min_size=1, max_size=3), min_size=1, max_size=12, unique=True),
    st.randoms(use_true_random=False),
)
def test_the_site_of_a_row_does_not_depend_on_other_rows(words: list[str], random: Random) -> None:
    """Else a file that is enqueued again after a correction publishes the rows behind it on another site, too."""

    def sites_of(words: list[str], sites: list[str]) -> dict[str, str]:
        rows = read(io.BytesIO("".join(f"{word}\n" for word in words).encode()), sites=sites, kind="keywords")
        return {row.job.source_data["keyword"]: row.job.instance_id for row in rows if isinstance(row, Accepted)}

    sites = ["one", "two", "three"]
    before = sites_of(words, sites)
    others = random.sample(words, random.randint(1, len(words)))
    after = sites_of(others, random.sample(sites, 3))
    more = sites_of(words, [*sites, "four"])

    assert after == {word: before[word] for word in others}
    assert all(more[word] in (site, "four") for word, site in before.items())


def test_several_sites_get_about_equal_shares(rows_of: Reads) -> None:
    rows = rows_of("".join(f"word {n}\n" for n in range(1_000)), kind="keywords", sites=["one", "two"])

    assert 400 < sum(isinstance(row, Accepted) and row.job.instance_id == "one" for row in rows) < 600
    assert len(rows_of("a\n", sites=())) == 1  # no sites: instance_id takes it


def test_idempotent_blogs_carry_a_key_of_what_they_are_about(rows_of: Reads) -> None:
    own = '{"source_type": "keyword", "source_id": "Rye  Bread", "idempotency_key": "mine"}\n'
    text = '{"source_type": "text", "source_data": {"text": "We open on Sunday."}}\n'
    long = f'{{"source_type": "product", "source_id": "{"p" * 300}"}}\n'

    rows = rows_of(JSON_LINE.replace("rye", "Rye ") + own + text + long, idempotent=True)
    keys = [row.job.idempotency_key or "" for row in rows if isinstance(row, Accepted)]
    again = rows_of(text, idempotent=True)[0]

    assert keys[:2] == ["keyword:rye bread", "mine"]
    assert keys[2].startswith("text:sha256:")
    assert keys[3].startswith("product:sha256:")
    assert isinstance(again, Accepted)
    assert again.job.idempotency_key == keys[2]


def test_an_unusable_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "words.txt").write_text("rye\n")

    def told(name: str) -> str:
        with pytest.raises(SettingsError) as caught:
            list(read(tmp_path / name, instance_id=None if name == "words.txt" else "shop"))
        assert "\n" not in str(caught.value)
        return str(caught.value).removeprefix(f"{tmp_path}{os.sep}")

    assert told("absent.csv") == "absent.csv cannot be read: No such file or directory"
    assert told("").endswith("cannot be read: Is a directory")
    assert told("empty.csv") == "empty.csv is empty"
    assert told("words.txt") == "words.txt does not name a site: pass --site"


class Broken(io.RawIOBase):
    """A disk that fails, or a share that goes away."""

    def __init__(self) -> None:
        self._parts = [b"rye\n" * 10_000]

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        if not self._parts:
            raise OSError(errno.EIO, "Input/output error")
        room[:] = self._parts.pop()[: len(room)]
        return len(room)


def test_a_file_that_fails_half_way_is_one_clear_line() -> None:
    with pytest.raises(SettingsError, match=r"share\.txt cannot be read: Input/output error"):
        list(read(cast("BinaryIO", Broken()), name="share.txt", instance_id="shop"))


def test_no_room_for_a_copy_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"rye\n")))
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")

    with pytest.raises(SettingsError, match="stdin cannot be copied: No such file or directory"), at_rest("-"):
        pass


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("page.xls", b"\r\n<HTML><table>", "a page"),
        ("page.csv", b"\xef\xbb\xbf<!DOCTYPE html>", "a page"),
        ("page.csv", "<table>".encode("utf-16"), "a page"),
        ("notes.txt", rb"{\rtf1 rye bread}", "a formatted text"),
        ("rows.csv", b"PK\x05\x06" + bytes(18), "a workbook or an archive"),
        ("rows.csv", bz2.compress(b"rye\n"), "compressed"),
        ("rows.csv", lzma.compress(b"rye\n"), "compressed"),
        ("rows.csv", b"\x28\xb5\x2f\xfd\x04\x00", "compressed"),
        ("shelf.txt", b"\x89PNG\r\n\x1a\n", "a picture"),
    ],
)
def test_what_is_no_list_is_not_taken_for_keywords(name: str, content: bytes, told: str) -> None:
    """Each of its lines would be bought a blog."""
    with pytest.raises(SettingsError, match=f"^{name} is {told}"):
        list(read(io.BytesIO(content), name=name, instance_id="shop"))


def test_a_caller_may_stop_early(data: Path) -> None:
    """An open file left behind would be a ResourceWarning, which is an error here."""
    rows = read(data / "shopify.csv", instance_id="shop")

    assert isinstance(next(rows), Accepted)
    rows.close()


def test_a_callers_stream_stays_open() -> None:
    stream = io.BytesIO(b"rye\n")

    assert len(list(read(stream, instance_id="shop"))) == 1
    assert not stream.closed


def test_stdin_and_pipes_can_be_read_twice_from_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"rye\noats\n")))
    with at_rest("-") as path:
        passes = [len(list(read(path, instance_id="shop"))) for _ in range(2)]
    assert passes == [2, 2]
    assert not path.exists()

    os.mkfifo(tmp_path / "pipe.txt")
    writer = threading.Thread(target=(tmp_path / "pipe.txt").write_bytes, args=[b"rye\n"])
    writer.start()
    with at_rest(tmp_path / "pipe.txt") as path:
        assert len(list(read(path, instance_id="shop"))) == 1
    writer.join()


def test_a_large_file_is_never_held_whole(tmp_path: Path) -> None:
    """Without a line end in sight, only a piece of the file is in memory at once."""
    (tmp_path / "large.csv").write_bytes(b"Handle,Title\n" + b"x" * (24 << 20))
    tracemalloc.start()
    try:
        for _ in read(tmp_path / "large.csv", instance_id="shop"):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 12 << 20
