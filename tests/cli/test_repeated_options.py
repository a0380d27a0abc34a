"""A repeated option is used with all its values or refused; no value is silently dropped."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from blogworker.cli import app as program
from blogworker.cli.app import app
from blogworker.cli.once import refuse_repeats


def options(command: Any) -> Iterator[tuple[Any, Any]]:
    """Every option of every command, with its command."""
    yield from ((command, param) for param in command.params if param.param_type_name == "option")
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from options(command.get_command(None, name))


EVERY = [
    (command, param) for command, param in options(refuse_repeats(typer.main.get_command(app))) if not param.is_eager
]


def is_switch(param: Any) -> bool:
    """Given twice it means what it means once."""
    return bool(param.is_flag and not param.secondary_opts)


@pytest.mark.parametrize(
    ("words", "name"),
    [(["sites", "pause"], "SITE"), (["plans", "remove"], "NAME"), (["list", "--text"], "--text"), (["show"], "JOB_ID")],
)
def test_a_value_that_is_not_utf_8_is_refused(words: list[str], name: str) -> None:
    """A terminal of another encoding sends such bytes."""
    with pytest.raises(typer.BadParameter, match=name):
        program.command().main([*words, "a\udcff"], standalone_mode=False)


def test_no_command_drops_a_value() -> None:
    """`list --site A --site B` listed B alone, and `--draft --publish` published, without an error."""
    single = [(command, param) for command, param in EVERY if not param.multiple and not is_switch(param)]
    assert len(single) > 80
    for command, param in single:
        name, value = max(param.opts, key=len), [] if param.is_flag else ["1"]
        again = param.secondary_opts[0] if param.is_flag else name

        with pytest.raises(typer.BadParameter, match=f"{name}.* was given 2 times: it takes one value"):
            command.make_context(command.name, [name, *value, again, *value])


@pytest.mark.parametrize("many", ["enqueue --keyword", "enqueue --site", "retry --site", "retry --kind"])
def test_these_options_can_be_repeated(many: str) -> None:
    name, option = many.split()
    (param,) = [param for command, param in EVERY if command.name == name and option in param.opts]

    assert param.multiple


def test_a_repeated_option_is_one_clear_error(offline: Any) -> None:
    ran = offline("list", "--site", "a", "--site", "b")

    assert (ran.code, ran.out) == (2, "")
    assert "--site was given 2 times: it takes one value" in ran.err
