"""Refuse an option with one value that is given twice, and a value that is not UTF-8.

Of the two values the first would be dropped silently. Bytes that are not UTF-8 reach Python as surrogates, which
neither Postgres nor a provider accepts. Only file names may hold them.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import typer

FILES = ("files",)  # names of parameters; others have the type Path
SURROGATE = re.compile("[\ud800-\udfff]")


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
            for param in given:
                _require_utf8(param, values.get(param.name))
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


def _require_utf8(param: Any, value: object) -> None:
    if param.name in FILES or "Path" in str(param.type_descriptor.annotation):
        return
    texts = value if isinstance(value, (list, tuple)) else [value]
    if any(SURROGATE.search(text) for text in texts if isinstance(text, str)):
        name = "/".join(_names(param)) if _is_option(param) else param.name.upper()
        raise typer.BadParameter(f"{name} is not UTF-8: type it again in a terminal that uses UTF-8")


def _names(param: Any) -> list[str]:
    return [max(param.opts, key=len), *param.secondary_opts[:1]]


def _is_option(param: Any) -> bool:
    return bool(param.param_type_name == "option")
