"""`blogworker systemd install` below a folder: what it writes, repeats, refuses and removes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.ops.install import (
    HIDDEN_FROM_UNITS,
    MIGRATES,
    enabled_workers,
    is_edited,
    plan_install,
    plan_uninstall,
    shipped,
)
from blogworker.ops.install import apply as take
from tests.forks import Forks, Ran

DONE, USAGE = 0, 2
PROGRAM = "/opt/blogworker/bin/blogworker"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def run(forks: Forks, tmp_path: Path, root: Path) -> Callable[..., Ran]:
    def systemd(*arguments: str, program: str | None = PROGRAM) -> Ran:
        more = ["--program", program] if program and arguments[0] == "install" else []
        return forks.run(
            ("systemd", *arguments, "--root", str(root), *more),
            folder=tmp_path,
            environment={"BLOGWORKER_ENV_FILE": ""},
        )

    return systemd


def files(root: Path) -> dict[str, str]:
    """Every file and link below a folder."""
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else path.read_text(encoding="utf-8")
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_install_writes_each_shipped_file_and_enables_the_workers(run: Callable[..., Ran], root: Path) -> None:
    ran = run("install", "--workers", "3")

    assert ran.code == DONE, ran.err
    assert enabled_workers(root) == [1, 2, 3]
    assert {str(path)[1:] for path in shipped(PROGRAM)} <= set(files(root))
    worker = files(root)["etc/systemd/system/blogworker@.service"]
    assert f"ExecStart={PROGRAM} run\n" in worker
    assert "create /etc/systemd/system/blogworker@.service" in ran.out


def test_a_second_install_changes_nothing_and_a_dry_run_never_does(run: Callable[..., Ran], root: Path) -> None:
    assert "--dry-run" in run("install", "--dry-run").out
    assert not root.exists()
    run("install", "--workers", "2")
    before = files(root)

    assert "nothing to change" in run("install").out
    assert "remove" in run("install", "--workers", "1", "--no-migrate", "--dry-run").out
    assert files(root) == before


def test_an_update_shows_what_changes(run: Callable[..., Ran], root: Path) -> None:
    run("install", "--workers", "1")

    out = run("install", program="/srv/blogworker").out

    assert "update /etc/systemd/system/blogworker@.service\n    -ExecStart=/opt/blogworker/bin/blogworker run\n" in out
    assert "    +ExecStart=/srv/blogworker run\n" in out


def test_a_unit_that_was_edited_by_hand_is_kept_unless_forced(run: Callable[..., Ran], root: Path) -> None:
    run("install")
    unit = root / "etc/systemd/system/blogworker@.service"
    unit.write_text(unit.read_text(encoding="utf-8").replace("MemoryMax=2G", "MemoryMax=4G"), encoding="utf-8")

    refused = run("install", "--workers", "2")

    assert refused.code == USAGE
    assert "edited by hand" in refused.err
    assert refused.err.count("\n") == 1
    assert "MemoryMax=4G" in unit.read_text(encoding="utf-8")
    assert enabled_workers(root) == [1]
    assert run("install", "--force").code == DONE
    assert "MemoryMax=2G" in unit.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "program",
    [f"{HIDDEN_FROM_UNITS[0]}/a/blogworker", f"{HIDDEN_FROM_UNITS[1]}/bin/blogworker", "blogworker", "/opt/a b/bw"],
)
def test_a_program_that_units_cannot_run_is_refused(run: Callable[..., Ran], root: Path, program: str) -> None:
    """ProtectHome hides it, and the worker would fail with `No such file`."""
    refused = run("install", program=program)

    assert (refused.code, refused.err.count("\n")) == (USAGE, 1)
    assert not root.exists()


def test_uninstall_removes_what_install_wrote_and_nothing_else(run: Callable[..., Ran], root: Path) -> None:
    run("install", "--workers", "4")
    theirs = {
        "etc/blogworker/blogworker.env": "DATABASE_URL=x\n",
        "etc/systemd/system/blogworker@.service.d/override.conf": "[Service]\n",
        "etc/systemd/system/blogworker-metrics.service": "[Service]\n",
        "etc/systemd/system/timers.target.wants/other.timer": "",
    }
    for name, text in theirs.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    timer = root / "etc/systemd/system/timers.target.wants/blogworker-prune.timer"
    timer.symlink_to("/etc/systemd/system/blogworker-prune.timer")

    assert run("uninstall").code == DONE
    assert files(root) == theirs
    assert "nothing to change" in run("uninstall").out


def test_uninstall_keeps_a_unit_that_was_edited_by_hand_and_says_so(run: Callable[..., Ran], root: Path) -> None:
    run("install")
    unit = root / "etc/systemd/system/blogworker@.service"
    edited = unit.read_text(encoding="utf-8").replace("MemoryMax=2G", "MemoryMax=4G")
    unit.write_text(edited, encoding="utf-8")

    out = run("uninstall").out

    assert "keep /etc/systemd/system/blogworker@.service: edited by hand" in out
    assert files(root) == {"etc/systemd/system/blogworker@.service": edited}
    run("install", "--force")
    assert enabled_workers(root) == [1]


def test_no_worker_stays_no_worker_at_the_next_install(run: Callable[..., Ran], root: Path) -> None:
    run("install", "--workers", "0")
    run("install")

    assert enabled_workers(root) == []


def test_a_folder_that_cannot_be_written_is_one_line(run: Callable[..., Ran], root: Path) -> None:
    (root / "etc").mkdir(parents=True)
    (root / "etc/systemd").write_text("a file", encoding="utf-8")

    refused = run("install")

    assert (refused.code, refused.err.count("\n")) == (USAGE, 1)


@given(first=st.integers(0, 12), then=st.lists(st.tuples(st.integers(0, 12) | st.none(), st.booleans()), max_size=3))
@settings(max_examples=25)
def test_any_sequence_of_installs_ends_with_the_workers_of_the_last(
    tmp_path_factory: pytest.TempPathFactory, first: int, then: list[tuple[int | None, bool]]
) -> None:
    root = tmp_path_factory.mktemp("root")
    expected = first
    for workers, migrate in [(first, True), *then]:
        steps = plan_install(root, workers=workers, migrate=migrate, program=PROGRAM, force=False)
        take(root, steps)
        expected = workers if workers is not None else expected

        assert enabled_workers(root) == list(range(1, expected + 1))
        assert (root / MIGRATES.relative_to("/")).is_symlink() == migrate
        again = plan_install(root, workers=workers, migrate=migrate, program=PROGRAM, force=False)
        assert {step.verb for step in again} == {"unchanged"}
    take(root, plan_uninstall(root))
    assert files(root) == {}


@given(st.data())
def test_any_change_of_an_installed_file_is_recognised(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(list(shipped(PROGRAM).values())))
    at = data.draw(st.integers(0, len(text)))
    added = data.draw(st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=3))

    assert not is_edited(text)
    assert is_edited(text[:at] + added + text[at:])
