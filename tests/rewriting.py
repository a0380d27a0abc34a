"""Rewrites the asserts of test files once for all pytest workers.

Each worker imports every file. On a clean clone all workers start together, and each would rewrite all files, which is
more than half of the CPU of a collection. Here a worker first rewrites its share, and then finds the others' in
pytest's cache.
"""

import os
import sys
from pathlib import Path

import pytest
from _pytest.assertion.rewrite import PYC_TAIL, _read_pyc, _rewrite_test, _write_pyc, assertstate_key, get_cache_dir


def rewrite_share(config: pytest.Config, folder: Path) -> None:
    """The files of this worker, by its number; nothing where Python may not keep compiled files."""
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", ""), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    if sys.dont_write_bytecode or not worker:
        return
    files = sorted(folder.rglob("test_*.py"), key=lambda file: (-file.stat().st_size, file))
    for file in files[int(worker.removeprefix("gw")) :: int(count)]:
        kept = get_cache_dir(file) / f"{file.stem}{PYC_TAIL}"
        if _read_pyc(file, kept) is None:
            source_hash, code = _rewrite_test(file, config)
            kept.parent.mkdir(exist_ok=True)
            _write_pyc(config.stash[assertstate_key], code, source_hash, kept)
