"""Commands for developers: listed last in the help. `bench` is imported only when it is used."""

from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from blogworker.cli.once import refuse_repeats

PANEL = "For developers"
BENCH = "blogworker.bench.commands.app"  # by name: the linter allows no import from a room above


class Panels(TyperGroup):
    """A group whose help lists the commands under the titles of their panels."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        shown = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        commands: list[tuple[str, Any]] = [(name, found) for name, found in shown if found and not found.hidden]
        width = formatter.width - 6 - max(len(name) for name, _ in commands)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, found in commands:
            title = getattr(found, "rich_help_panel", None)
            panels.setdefault(title if isinstance(title, str) else "Commands", []).append(
                (name, found.get_short_help_str(width))
            )
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class Bench(TyperGroup):
    """The group `bench`. Its commands are imported when one of them, or the list of them, is needed."""

    @cached_property
    def _loaded(self) -> dict[str, Any]:
        group = refuse_repeats(typer.main.get_command(import_module(BENCH).app))
        commands: dict[str, Any] = group.commands
        return commands

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self._loaded)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return self._loaded.get(cmd_name)


def register(app: typer.Typer) -> None:
    bench = typer.Typer(
        cls=Bench, help="Measure blogworker on this machine, with a Postgres of its own.", no_args_is_help=True
    )
    app.add_typer(bench, name="bench", rich_help_panel=PANEL)
