"""This program as it was before its last migration, taken from the history of the checkout."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from blogworker.db.migrate import migrations

ROOT = Path(__file__).parents[2]


def installed_previous_release(folder: Path) -> Path:
    """Install it in a folder. Return the folder for PYTHONPATH. Skips the test where there is no history."""
    last = migrations()[-1]
    added = _git("log", "--diff-filter=A", "--format=%H", "--", f"sql/migrations/{last.version:04}_{last.name}.sql")
    commit = f"{added.decode().split()[0]}^" if added.strip() else "HEAD"  # the last migration is not committed yet
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, "blogworker", "sql"))) as files:
        files.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> bytes:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if ran.returncode != 0:
        pytest.skip(f"no history of this checkout: {ran.stderr.decode(errors='replace').strip()}")
    return ran.stdout
