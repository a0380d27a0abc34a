"""What people type: examples at the end of each command's help. tests/cli/test_examples.py parses every one."""

from collections.abc import Iterator
from typing import Any

EXAMPLES = {
    "run": ("run --concurrency 50", "run --slots content=40,image=80,publish=20"),
    "migrate": ("migrate", "migrate --sql > upgrade.sql"),
    "simulate": ("simulate --port 8080",),
    "roles": ("roles",),
    "enqueue": ("enqueue --site SITE --keyword 'oak table'", "enqueue --site SITE products.csv --dry-run"),
    "preview": (
        "preview --keyword 'oak table' --simulate",
        "preview --site SITE --keyword 'oak table' --html post.html",
    ),
    "status": ("status --watch 2", "status --check --longest-wait 10min"),
    "list": ("list --status FAILED --within 12h", "list --site SITE --text 'oak table' --limit 50"),
    "show": ("show 4711", "show 4711 --json"),
    "explain": ("explain 4711",),
    "errors": ("errors --within 12h",),
    "history": ("history --within 24h --step 1h",),
    "tail": ("tail 4711", "tail --site SITE"),
    "metrics": ("metrics",),
    "alerts": ("alerts",),
    "review": ("review", "review 4711"),
    "retry": ("retry 4711", "retry --kind Unavailable --within 12h", "retry 4711 --from content"),
    "pause": ("pause --stage image --reason 'Replicate is slow'", "pause --reason 'wrong prices'"),
    "resume": ("resume --stage image", "resume"),
    "cancel": ("cancel 4711 4712", "cancel --site SITE --older-than 7d"),
    "prune": ("prune --older-than 90d --dry-run", "prune --older-than 90d"),
    "autoscale": ("autoscale --min 1 --max 8", "autoscale --min 1 --max 8 --apply"),
    "audit": ("audit --target SITE", "audit --target 'job 4711'"),
    "doctor": ("doctor",),
    "reconcile": ("reconcile",),
    "serve": ("serve --port 8000", "serve --demo"),
    "demo": ("demo", "demo --keep"),
    "sites list": ("sites list",),
    "sites show": ("sites show SITE",),
    "sites pause": ("sites pause SITE --reason 'the owner asked'",),
    "sites resume": ("sites resume SITE",),
    "sites set": ("sites set SITE --weight 2 --max-in-flight 5", "sites set SITE --plan premium"),
    "plans list": ("plans list",),
    "plans set": ("plans set premium --weight 4 --priority 2",),
    "plans remove": ("plans remove premium",),
    "quotas": ("quotas", "quotas --site SITE"),
    "quotas set": ("quotas set openai/gpt-6-luna --rpm 450 --tpm 450000",),
    "quotas unblock": ("quotas unblock openai/gpt-6-luna",),
    "costs": ("costs", "costs --by day --days 30"),
    "costs budget": ("costs budget --day 50 --month 1000",),
    "breakers": ("breakers",),
    "breakers close": ("breakers close replicate",),
    "tokens": ("tokens",),
    "tokens create": ("tokens create shop --scope intake --site SITE --expires 90d",),
    "tokens revoke": ("tokens revoke shop",),
    "webhooks": ("webhooks",),
    "webhooks add": ("webhooks add crm --url https://crm.example/hook --event done --event failed",),
    "webhooks remove": ("webhooks remove crm",),
    "webhooks pause": ("webhooks pause crm --reason 'it is being moved'",),
    "webhooks resume": ("webhooks resume crm --given-up",),
    "webhooks test": ("webhooks test crm",),
    "webhooks secret": ("webhooks secret crm",),
    "webhooks deliveries": ("webhooks deliveries crm --limit 20",),
    "workers": ("workers",),
    "workers quiet": ("workers quiet host/1 --reason 'its disk is replaced'",),
    "workers resume": ("workers resume host/1",),
    "systemd install": ("systemd install --workers 4 --now", "systemd install --workers 4 --dry-run"),
    "systemd uninstall": ("systemd uninstall --dry-run",),
    "systemd deliver": ("systemd deliver /run/blogworker-1",),
}


def with_examples(command: Any) -> Any:
    """Add the examples to the help of each command of this command line, and return it."""
    for name, found in commands(command):
        if examples := EXAMPLES.get(name):
            found.epilog = "\b\nExamples:\n" + "\n".join(f"  blogworker {example}" for example in examples)
    return command


def commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return each command with its name, such as `sites pause`, and each group that does something by itself."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None or command.invoke_without_command:
        yield path, command
    for name, found in (subcommands or {}).items():
        yield from commands(found, f"{path} {name}".strip())
