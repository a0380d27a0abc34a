"""Reads the pages of the documentation: their code, commands and headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from blogworker.cli.app import command

FENCE = re.compile(r"^ *```(?P<kind>\w*)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`(?P<code>[^`\n]+)`")
PIECE = re.compile(f"{FENCE.pattern}|{CODE.pattern}", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^ *[$#] ", re.MULTILINE)
PLACEHOLDERS = {"ID": "1"}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def spans(page: Path) -> list[str]:
    """The pieces of code between backticks, without those in fenced blocks."""
    return [match["code"] for match in CODE.finditer(FENCE.sub("", text_of(page)))]


def shell_lines(page: Path) -> Iterator[str]:
    """The commands of the console blocks. A command may continue on the next lines."""
    for block in FENCE.finditer(text_of(page)):
        if block["kind"] == "console":
            yield from PROMPT.split(block["body"])[1:]


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of the second level, by its anchor; and what is before them, by an empty one."""
    before, *parts = re.split(r"^## (.+)$", text_of(page), flags=re.MULTILINE)
    return {"": before} | {_anchor(heading): body for heading, body in zip(parts[::2], parts[1::2], strict=True)}


def commands(page: Path) -> list[list[str]]:
    """The arguments of each `blogworker ...` command that the page shows."""
    return commands_of(text_of(page))


def commands_of(text: str) -> list[list[str]]:
    """The arguments of each `blogworker ...` command of the text, in its order."""
    found = []
    for line in _command_lines(text):
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word != "&&":
                words.append(word)
                continue
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words and words[0] == "blogworker":
                found.append([PLACEHOLDERS.get(each, each) for each in words[1:]])
            words = []
    return found


def _command_lines(text: str) -> Iterator[str]:
    for piece in PIECE.finditer(text):
        if (piece["code"] or "").startswith("blogworker "):
            yield piece["code"]
        elif piece["kind"] == "console":
            yield from PROMPT.split(piece["body"])[1:]


def parse(words: list[str]) -> None:
    """Parse a command line without running it. Raises UsageError for a command, option or value that is not valid."""
    here, name, context = command(), "blogworker", None
    while True:
        context = here.make_context(name, list(words), parent=context)
        rest = [*context._protected_args, *context.args]
        if not rest or not hasattr(here, "resolve_command"):
            return
        name, here, words = here.resolve_command(context, rest)


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {_anchor(heading) for heading in headings}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
