"""Refuse an option with one value that is given twice: the first value would be dropped silently."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import typer


def refuse_repeats(command: Any) -> Any:
    """Return the command with this rule, for subcommands too. Options with several values and flags may repeat."""
    for below in getattr(command, "commands", {}).values():
        refuse_repeats(below)
    make_parser = command.make_parser

    def strict_parser(context: Any) -> Any:
        parser = make_parser(context)
        parse = parser.parse_args

        def parse_once(args: list[str]) -> Any:
            values, left, given = parse(args=args)
            _require_once(given)
            return values, left, given

        parser.parse_args = parse_once
        return parser

    command.make_parser = strict_parser
    return command


def _require_once(given: Sequence[Any]) -> None:
    """Raise BadParameter for a repeated option. `given`: the parameters in the order of the command line."""
    for param, times in Counter(given).items():
        repeatable = param.multiple or (param.is_flag and not param.secondary_opts) if _is_option(param) else True
        if times > 1 and not repeatable:
            raise typer.BadParameter(f"{'/'.join(_names(param))} was given {times} times: it takes one value")


def _names(param: Any) -> list[str]:
    return [max(param.opts, key=len), *param.secondary_opts[:1]]


def _is_option(param: Any) -> bool:
    return bool(param.param_type_name == "option")
