"""The house rules that no linter knows."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "blogworker"
QUERIES = ROOT / "sql" / "queries"
LONGEST_MODULE = 300
STATEMENT = re.compile(
    r"^\s*(?:select\s.+\sfrom\s|insert\s+into\s|update\s+\w+\s+(?:as\s+\w+\s+)?set\s|delete\s+from\s"
    r"|(?:create|alter|drop)\s+(?:table|index|function|view)\s|with\s+\w+\s+as\s*\()",
    re.IGNORECASE | re.DOTALL,
)
HOME = re.compile(r"(?:/home/|/Users/|/root/|C:\\+Users\\+)\w")
MODULES = sorted(PACKAGE.rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Each string of a module with its line, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def test_statements_live_in_files_of_their_own() -> None:
    """One place to read, review and EXPLAIN them."""
    found = [f"{named(path)}:{line}" for path in MODULES for line, text in texts(path) if STATEMENT.match(text)]

    assert found == []


def test_modules_are_short() -> None:
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}

    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_file_contains_a_home_folder() -> None:
    found = []
    for path in tracked():
        if path.is_file() and path != Path(__file__) and b"\0" not in (data := path.read_bytes()):
            found += [f"{named(path)}: {match[0]}" for match in HOME.finditer(data.decode(errors="replace"))]

    assert found == []


def test_every_query_file_is_used_and_every_used_query_has_its_file() -> None:
    files = {str(path.relative_to(QUERIES).with_suffix("")) for path in QUERIES.rglob("*.sql")}
    rooms = {path.name for path in QUERIES.iterdir() if path.is_dir()}
    reference = re.compile(rf"(?:{'|'.join(rooms)})/[a-z0-9_]+")

    used = {text for path in MODULES for _, text in texts(path) if reference.fullmatch(text)}

    assert files - used == set()
    assert used - files == set()


def test_commands_contain_no_sql_names() -> None:
    """The command line parses, calls and prints. What an operator can do is a function that every interface calls."""
    files = {str(path.relative_to(QUERIES).with_suffix("")) for path in QUERIES.rglob("*.sql")}
    commands = [*(PACKAGE / "cli").rglob("*.py"), *(PACKAGE / "bench" / "commands").rglob("*.py")]

    found = [f"{named(path)}:{line} {text}" for path in commands for line, text in texts(path) if text in files]

    assert len(commands) > 20
    assert found == []


def test_every_query_file_opens_with_its_name_and_purpose() -> None:
    for path in QUERIES.rglob("*.sql"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert re.fullmatch(rf"-- {path.stem}: \S.*", first), named(path)


def test_the_fence_of_an_attempt_is_written_once() -> None:
    """A statement that spells it out may leave a part out, and store what a lost attempt did."""
    spelled = re.compile(r"\bg\.attempt = %\(attempt\)s|\battempt = \w*attempt\b[^;]*?\bstatus = 'PROCESSING'")
    places = [*QUERIES.rglob("*.sql"), *(ROOT / "sql" / "schema").glob("*.sql")]

    found = {named(path): len(spelled.findall(path.read_text(encoding="utf-8"))) for path in places}

    assert {name: count for name, count in found.items() if count} == {"sql/schema/queue.sql": 1}


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "sql" / "migrations").glob("*.sql"))

    assert numbers == list(range(1, len(numbers) + 1))


def test_every_module_says_what_it_is_for() -> None:
    silent = [named(path) for path in MODULES if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None]

    assert silent == []


def test_no_comment_contains_a_todo() -> None:
    marks = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
    found = []
    for path in [*MODULES, *(ROOT / "tests").rglob("*.py")]:
        tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        found += [
            f"{named(path)}:{token.start[0]}"
            for token in tokens
            if token.type == tokenize.COMMENT and marks.search(token.string)
        ]

    assert found == []


def test_only_migrations_take_advisory_locks() -> None:
    """Any role that may connect can hold them, and would stop what waits for one. Rows of `turns` need a privilege."""
    takes = re.compile(r"^[^-]*pg_\w*advisory", re.M)
    taking = [path for path in (ROOT / "sql").rglob("*.sql") if takes.search(path.read_text("utf-8"))]

    assert sorted(named(path) for path in taking) == [
        "sql/queries/db/lock_migrations.sql",
        "sql/queries/db/unlock_migrations.sql",
    ]
