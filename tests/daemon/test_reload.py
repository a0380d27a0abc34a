"""A reload: what may change does, what may not is named, running jobs keep what they have, nonsense changes nothing."""

import os
import socket
import stat
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from blogworker.cli.run import _run_suspects
from blogworker.daemon import equipment as equipment_module
from blogworker.daemon.equipment import equipment_store
from blogworker.daemon.reload import FIXED, FIXED_SECTIONS, Reloaded, Reloader, merge
from blogworker.daemon.reload_socket import SOCKET, accept_settings, deliver_settings
from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.redact import SECRETS
from blogworker.section import variable
from blogworker.settings import Settings, load

pytestmark = pytest.mark.anyio
URL = "postgresql://u:p@db.example/blogs"
WITHIN_S = 20.0
# Another valid value of settings of each kind.
OTHERS: dict[str, tuple[str, str, Any]] = {
    "BLOGWORKER_CONCURRENCY": ("worker", "concurrency", 7),
    "BLOGWORKER_LEASE": ("worker", "lease", 21),
    "BLOGWORKER_NAME": ("worker", "name", "another"),
    "BLOGWORKER_MAX_PER_INSTANCE": ("queue", "max_per_instance", 3),
    "DB_POOL_MAX": ("database", "pool_max", 9),
    "OPENAI_API_KEY": ("openai", "api_key", "sk-another-key-1234"),
    "OPENAI_RPM": ("openai", "rpm", 9),
    "OPENAI_ACCOUNT": ("openai", "account", "second"),
    "REPLICATE_RPM": ("replicate", "rpm", 9),
    "WIX_RPM": ("wix", "rpm", 90),
    "LOG_LEVEL": ("log", "level", "debug"),
    "BLOGWORKER_LOG_FORMAT": ("log", "format", "json"),
}


def settings(*changed: str) -> Settings:
    flags: dict[str, dict[str, Any]] = {"database": {"url": URL}, "worker": {"name": "w"}}
    for name in changed:
        section, field, value = OTHERS[name]
        flags.setdefault(section, {})[field] = value
    return load(flags)


def is_fixed(name: str) -> bool:
    section, field, _ = OTHERS[name]
    return section in FIXED_SECTIONS or field in FIXED.get(section, ())


@given(st.sets(st.sampled_from(sorted(OTHERS))))
def test_each_change_is_in_use_or_named_and_never_both(changed: set[str]) -> None:
    old, new = settings(), settings(*changed)

    merged, found = merge(old, new)

    assert set(found.changed) | set(found.needs_restart) == changed
    assert set(found.needs_restart) == {name for name in changed if is_fixed(name)}
    for name, (section, field, _) in OTHERS.items():
        source = new if name in found.changed else old
        assert getattr(getattr(merged, section), field) == getattr(getattr(source, section), field)
    assert merge(merged, merged) == (merged, Reloaded())


def test_no_secret_is_shown_and_every_fixed_setting_exists() -> None:
    _, found = merge(settings(), settings("OPENAI_API_KEY", "OPENAI_RPM"))
    SECRETS.clear()

    assert found.changed == {"OPENAI_API_KEY": "set", "OPENAI_RPM": "450 -> 9"}
    sections = {each.name: type(getattr(settings(), each.name)) for each in fields(Settings)}
    assert all(variable(sections[name], field) for name, names in FIXED.items() for field in names)


def test_slots_by_stage_and_their_sum_change_together_with_the_next_start() -> None:
    slots = {"content": 4, "publish": 2}
    new = load({"database": {"url": URL}, "worker": {"name": "w", "slots": slots}})

    merged, found = merge(settings(), new)

    assert set(found.needs_restart) == {"BLOGWORKER_SLOTS", "BLOGWORKER_CONCURRENCY"}
    assert merged.worker == settings().worker


async def test_a_wrong_setting_keeps_all_old_ones() -> None:
    applied: list[Settings] = []
    old = settings()

    async def apply(new: Settings) -> None:
        applied.append(new)

    def wrong(delivered: object) -> Settings:
        raise SettingsError("OPENAI_RPM: is wrong\nOPENAI_TPM: is wrong")

    found = await Reloader(wrong, lambda: old, apply).reload()

    assert found == Reloaded(error="OPENAI_RPM: is wrong; OPENAI_TPM: is wrong")
    assert applied == []


class Opened:
    """Clients that say when they are closed."""

    def __init__(self) -> None:
        self.open: list[int] = []

    def __call__(self, settings: Settings, *_: object, **__: object) -> Any:
        opened = self

        class Clients:
            async def __aenter__(self) -> Any:
                opened.open.append(settings.openai.rpm)
                return cast("Any", self)

            async def __aexit__(self, *exc: object) -> None:
                opened.open.remove(settings.openai.rpm)

        return Clients()


async def test_a_running_job_keeps_its_clients_until_it_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call in progress would fail if its client were closed under it."""
    opened = Opened()
    monkeypatch.setattr(equipment_module, "open_clients", opened)
    with fail_after(WITHIN_S):
        async with equipment_store(settings(), database) as store:
            await store.open()
            async with store.current.in_use() as first:
                await store.replace(settings("OPENAI_RPM"))
                assert (first.settings.openai.rpm, store.settings.openai.rpm) == (450, 9)
                for _ in range(10):
                    await checkpoint()
                assert opened.open == [450, 9]
            while opened.open != [9]:
                await checkpoint()
        assert opened.open == []
    limits = await database.rows("ops/quotas", name=None, every=True)
    assert {row["max_requests"] for row in limits if row["provider"] == "openai"} == {9}


async def test_clients_that_were_closed_with_a_lost_lease_are_opened_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease may end at the moment when the clients are open: jobs of the next lease used the closed ones."""
    opened = Opened()
    leases = [anyio.CancelScope(), anyio.CancelScope()]

    async def lose_the_first(*given: Any, **named: Any) -> Any:
        async with opened(*given, **named) as clients:
            leases[0].cancel()
            yield clients

    monkeypatch.setattr(equipment_module, "open_clients", asynccontextmanager(lose_the_first))
    with fail_after(WITHIN_S):
        async with equipment_store(settings(), database) as store:
            for lease in leases:
                with lease:
                    await store.open()
                assert opened.open == ([450] if store.current.is_open else [])
            assert store.current.is_open


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return tmp_path


async def test_delivered_settings_are_answered_and_only_the_user_may_deliver(folder: Path) -> None:
    received: list[object] = []
    with socket.socket(socket.AF_UNIX) as killed:  # it leaves its socket behind
        killed.bind(str(folder / SOCKET))

    async def reload(variables: object) -> Reloaded:
        received.append(variables)
        return Reloaded({"OPENAI_RPM": "450 -> 9"})

    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            await tasks.start(accept_settings, reload)
            found = await deliver_settings(folder, {"OPENAI_RPM": "9"})
            mode = (folder / SOCKET).stat().st_mode
            tasks.cancel_scope.cancel()

    assert (found.changed, received) == ({"OPENAI_RPM": "450 -> 9"}, [{"OPENAI_RPM": "9"}])
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("nonsense", [b"", b"\n", b"{\n", b"[1]\n", b"\xff\xfe\n", b"{}" + b" " * 2_000_000])
async def test_nonsense_at_the_socket_reloads_nothing_and_ends_nothing(folder: Path, nonsense: bytes) -> None:
    received: list[object] = []

    async def reload(variables: object) -> Reloaded:
        received.append(variables)
        return Reloaded()

    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            await tasks.start(accept_settings, reload)
            async with await anyio.connect_unix(folder / SOCKET) as stream:
                try:
                    await stream.send(nonsense)
                    await stream.send_eof()
                    await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    pass
            assert received == []
            assert (await deliver_settings(folder, {})) == Reloaded()
            tasks.cancel_scope.cancel()


async def test_without_a_worker_a_delivery_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no worker takes settings"):
        await deliver_settings(tmp_path, {})


@pytest.mark.parametrize("value", ["", "/nowhere/at/all", "/" + "x" * 200])
async def test_a_worker_without_a_usable_runtime_directory_works_on(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", value)

    async def reload(variables: object) -> Reloaded:
        return Reloaded()

    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            await tasks.start(accept_settings, reload)


def test_a_process_for_suspects_does_not_take_over_the_socket_of_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """It did, and when it ended no reload reached the worker any more."""
    seen: list[dict[str, str]] = []
    monkeypatch.setattr("blogworker.cli.app.main", lambda: seen.append(dict(os.environ)))
    monkeypatch.setattr("sys.argv", ["blogworker"])
    for name in ("NOTIFY_SOCKET", "RUNTIME_DIRECTORY"):
        monkeypatch.setenv(name, "/run/x")

    _run_suspects(["run"])

    assert {"NOTIFY_SOCKET", "RUNTIME_DIRECTORY"} & seen[0].keys() == set()
