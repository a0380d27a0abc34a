"""Every command has examples in its help that it accepts, and every command that a program may call prints JSON."""

import shlex
from typing import Any

import pytest

from blogworker.cli.app import command
from blogworker.cli.examples import EXAMPLES, commands

COMMANDS = dict(commands(command()))
LOCAL = {"BLOGWORKER_WEBHOOK_KEY": "k" * 40, "BLOGWORKER_WEBHOOK_ALLOW_LOOPBACK": "true"}
# These run until they are stopped, or have another format that programs read.
WITHOUT_JSON = {"run", "simulate", "serve", "demo", "metrics", "preview", "systemd deliver"}


def parsed(found: Any, words: list[str], parent: Any = None) -> None:
    """Parse a command line as it would be, without running anything."""
    context = found.make_context(found.name, words, parent=parent)
    rest = [*context._protected_args, *context.args]
    if getattr(found, "commands", None) and rest:
        _, following, others = found.resolve_command(context, rest)
        parsed(following, others, context)


def test_the_list_of_examples_is_complete() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_command_are_accepted_and_in_its_help(name: str) -> None:
    with COMMANDS[name].make_context(name, [], resilient_parsing=True) as context:
        shown = COMMANDS[name].get_help(context)

    for example in EXAMPLES[name]:
        assert example == name or example.startswith(f"{name} ")
        assert f"  blogworker {example}\n" in f"{shown}\n"
        parsed(command(), shlex.split(example.partition(" > ")[0]))


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_JSON))
def test_every_command_prints_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


def test_commands_that_change_something_say_what_as_json(cli: Any, sql: Any) -> None:
    sql("insert into sites (instance_id) values ('shop')")
    sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until) "
        "values (gen_random_uuid(), 'h/1', 'h', 1, '1', 5, now() + interval '1 hour')"
    )
    cli("plans", "set", "gold", "--weight", "2")
    cli("tokens", "create", "shop", "--scope", "read")
    added = ("webhooks", "add", "crm", "--url", "http://127.0.0.1:9/hook", "--event", "done")

    def changed(*words: str) -> Any:
        ran = cli(*words, "--json", **LOCAL)
        assert ran.code == 0, ran
        return ran.json

    assert changed("sites", "pause", "shop", "--reason", "r") == {"site": "shop", "paused": True, "reason": "r"}
    assert changed("sites", "resume", "shop") == {"site": "shop", "paused": False, "reason": None}
    assert changed("plans", "remove", "gold") == {"name": "gold", "removed": True}
    assert changed("tokens", "revoke", "shop") == {"name": "shop", "revoked": True}
    assert changed("workers", "quiet", "h/1", "--reason", "r") == {"name": "h/1", "quiet": True, "reason": "r"}
    assert changed("workers", "resume", "h/1") == {"name": "h/1", "quiet": False, "reason": None}
    assert changed(*added) == {"name": "crm", "added": True}
    assert changed("webhooks", "pause", "crm", "--reason", "r") == {"name": "crm", "paused": True, "reason": "r"}
    assert changed("webhooks", "resume", "crm") == {"name": "crm", "paused": False, "waiting": 0}
    assert changed("webhooks", "secret", "crm")["secret"]
    assert changed("webhooks", "remove", "crm") == {"name": "crm", "removed": True, "waiting": 0}
    place = ("--root", str(cli.folder / "root"))
    shown = changed("systemd", "install", *place, "--workers", "1", "--program", "/opt/blogworker/bin/blogworker")
    assert (shown["dry_run"], shown["commands"]) == (False, [])
    assert shown["changes"][0].keys() == {"do", "path"}
    assert changed("systemd", "uninstall", *place, "--dry-run")["dry_run"] is True
