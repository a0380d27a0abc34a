"""An environment without settings."""

import os
from pathlib import Path

import pytest

from .variables import known


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a `.env` and an environment without a setting."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name in known() or name.startswith("BLOGWORKER_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)
