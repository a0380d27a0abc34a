"""Reads the pages of the documentation: their code, commands and headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from blogworker.cli.app import command

FENCE = re.compile(r"^ *```(?P<kind>\w*)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`(?P<code>[^`\n]+)`")
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


def commands(page: Path) -> list[list[str]]:
    """The arguments of each `blogworker ...` command that the page shows."""
    found = []
    for line in [*shell_lines(page), *(code for code in spans(page) if code.startswith("blogworker "))]:
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
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
