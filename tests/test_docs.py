"""The documentation names only links, files, commands, settings and identifiers that exist."""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import get_type_hints

import psycopg
import pytest

from blogworker.section import variable
from blogworker.settings import Settings
from tests.pages import FENCE, anchors, commands, parse, shell_lines, spans, text_of

ROOT = Path(__file__).parents[1]
FOLDERS = ("blogworker", "sql", "systemd", "tests")
PAGES = [ROOT / "README.md", *sorted(page for name in FOLDERS for page in (ROOT / name).rglob("README.md"))]
LONGEST_README = 200
LARGEST_PICTURE = 120_000  # bytes
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def statements(page: Path) -> list[str]:
    """The SQL of the page. `tests/db/test_roles.py` tests the grants, for which roles have to exist."""
    blocks = [block["body"] for block in FENCE.finditer(text_of(page)) if block["kind"] == "sql"]
    found = [statement.strip() for block in blocks for statement in re.split(r";.*$", block, flags=re.MULTILINE)]
    found += [code for code in spans(page) if re.match(r"(?:select|set|update) ", code)]
    return [statement for statement in found if statement and not statement.startswith("grant")]


@cache
def identifiers() -> frozenset[str]:
    """Every word of the program and of the statements."""
    sources = [*(ROOT / "blogworker").rglob("*.py"), *(ROOT / "sql").rglob("*.sql")]
    return frozenset(word for source in sources for word in re.findall(r"\w+", source.read_text(encoding="utf-8")))


@pages
def test_each_link_points_to_a_file_and_a_heading(page: Path) -> None:
    for target in (match["target"] for match in LINK.finditer(FENCE.sub("", text_of(page)))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pages
def test_each_path_exists(page: Path) -> None:
    missing = []
    for code in spans(page):
        named = re.findall(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w@./-]*[\w/]", code)
        missing += [path for path in named if not (ROOT / path).exists() and "NNNN" not in path]
        if re.fullmatch(r"\w+\.py", code) and not any((ROOT / "blogworker").rglob(code)):
            missing.append(code)

    assert missing == []


@pages
def test_each_command_can_be_parsed(page: Path) -> None:
    for words in commands(page):
        try:
            parse(words)
        except Exception as error:
            pytest.fail(f"blogworker {shlex.join(words)}: {type(error).__name__} {error}")


def test_the_commands_of_the_pages_are_found() -> None:
    """Also those of a chain, and those with arguments over several lines."""
    found = [words for page in PAGES for words in commands(page)]

    assert ["migrate"] in found
    assert ["show", "1"] in found
    assert any(words[:2] == ["sites", "set"] and "\n" in words[-1] for words in found)
    assert len(found) > 80


@pages
def test_each_statement_runs(page: Path, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        for statement in statements(page):
            connection.execute(statement.encode())
            connection.rollback()


def test_the_statements_of_the_pages_are_found() -> None:
    found = [statement for page in PAGES for statement in statements(page)]

    assert "select * from v_waiting" in found
    assert any(statement.startswith("truncate") for statement in found)
    assert len(found) > 15


@pages
def test_each_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = [match for code in [*spans(page), *shell_lines(page)] for match in re.findall(r"^make ([a-z-]+)", code)]

    assert set(named) - targets == set()


@pages
def test_each_identifier_is_one_of_the_program(page: Path) -> None:
    """Events, columns, tables, views, functions and settings: a name that was changed must change here too."""
    codes = [re.sub(r"[\w./-]*/[\w./-]*", "", code) for code in spans(page)]  # paths have a test of their own
    found = {word for code in codes for word in re.findall(r"\b[a-z]\w*_\w+\b|\b[A-Z]+_[A-Z_]*[A-Z]\b", code)}
    systems = {"no_color", "force_color", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "check_function_bodies"}
    systems |= {"search_path", "session_replication_role", "shop_backend", "old_backend"}

    unknown = found - identifiers() - variables()

    assert {word for word in unknown if word.lower() not in systems and word.upper() not in variables()} == set()


def variables() -> set[str]:
    """The environment variables of all settings."""
    return {variable(s, field) for s in get_type_hints(Settings).values() for field in s.model_fields}


def test_the_table_of_settings_is_complete() -> None:
    page = text_of(ROOT / "blogworker" / "cli" / "README.md")
    table = page[page.index("| name | default |") :]

    assert variables() - set(re.findall(r"`([A-Z_]+)`", table)) == set()


def test_the_readme_is_short() -> None:
    """Everything that is looked up is on a page beside its subject."""
    picture = ROOT / "blogworker" / "demo" / "gallery.webp"

    assert len(text_of(ROOT / "README.md").splitlines()) < LONGEST_README
    assert picture.stat().st_size <= LARGEST_PICTURE
