"""The user that the server runs as."""

import contextlib
import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from blogworker.errors import SettingsError

SHARED = Path("/var/tmp")  # noqa: S108  every user can reach it, and it outlives a reboot


@dataclass(frozen=True, slots=True)
class User:
    """The user that the server runs as."""

    uid: int
    gid: int

    @classmethod
    def for_folder(cls, folder: Path) -> "User | None":
        """None when we are an ordinary user, and run it ourselves."""
        if os.geteuid() != 0:
            return None
        with contextlib.suppress(FileNotFoundError, KeyError):
            owner = pwd.getpwuid(folder.stat().st_uid)  # initdb refuses a uid without a name
            if owner.pw_uid != 0:
                return cls(owner.pw_uid, owner.pw_gid)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise SettingsError("PostgreSQL does not run as root, and this system has no user `nobody`") from None
        return cls(nobody.pw_uid, nobody.pw_gid)

    def reaches(self, path: Path) -> bool:
        return all(self._enters(step) for step in (path, *path.parents) if step.exists())

    def _enters(self, path: Path) -> bool:
        facts = path.stat()
        if facts.st_uid == self.uid:
            return bool(facts.st_mode & stat.S_IXUSR)
        return bool(facts.st_mode & (stat.S_IXGRP if facts.st_gid == self.gid else stat.S_IXOTH))


def digest(*facts: object) -> str:
    return hashlib.sha256(os.fsencode(" ".join(map(str, facts)))).hexdigest()[:12]
