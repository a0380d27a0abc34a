"""Tokens of the HTTP interface: create, list, revoke, look up. Only hashes are stored.

A token is `bw_`, 43 characters of 256 random bits, and 6 characters of a checksum. The checksum lets a server refuse
typing errors and guesses without a question to the database.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from secrets import token_bytes

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.audit import Action, record
from blogworker.ops.records import records
from blogworker.printable import typed
from blogworker.queue.validation import site_faults

SHAPE = re.compile(r"bw_[A-Za-z0-9_-]{49}")
NAME = re.compile(r"[\w.@ -]{1,100}")
SUM = 6  # characters
SHORTEST_S = 1


class Scope(StrEnum):
    INTAKE = "intake"  # add jobs, and see what becomes of them
    READ = "read"  # see everything
    OPERATE = "operate"  # cancel and retry jobs, pause sites, close breakers


@dataclass(frozen=True, slots=True)
class TokenState:
    """A stored token. `instance_ids`: None for all sites. `used_at`: to about a minute."""

    token_id: int
    name: str
    scopes: list[str]
    instance_ids: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the owner of a valid token."""

    token_id: int
    name: str
    scopes: frozenset[str]
    instance_ids: frozenset[str] | None  # None: all sites
    expires_in_s: float | None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def may_see(self, instance_id: str) -> bool:
        return self.instance_ids is None or instance_id in self.instance_ids


def new_token() -> str:
    secret = urlsafe_b64encode(token_bytes(32)).rstrip(b"=").decode()
    return f"bw_{secret}{_checksum(secret)}"


def is_well_formed(token: str) -> bool:
    """Return whether it can be a token at all."""
    return SHAPE.fullmatch(token) is not None and _checksum(token[3:-SUM]) == token[-SUM:]


def hash_of(token: str) -> bytes:
    return sha256(token.encode()).digest()


async def create_token(
    database: Database,
    name: str,
    *,
    scopes: Sequence[Scope],
    instance_ids: Sequence[str] | None,
    expires_s: float | None,
) -> tuple[str, TokenState]:
    """Create a token and return it: this is the only time that it can be seen. Raises SettingsError if the name is
    taken, the lifetime is too short, or the id of a site cannot exist. A site may be new: its first job creates it."""
    if NAME.fullmatch(name) is None:
        raise SettingsError("the name of a token has 1 to 100 letters, digits, spaces and . @ - _")
    if faults := [fault for site in instance_ids or [] for fault in site_faults(site)]:
        raise SettingsError("\n".join(faults))
    if expires_s is not None and expires_s < SHORTEST_S:
        raise SettingsError(f"a token is valid for {SHORTEST_S} s at least: without a lifetime, until it is revoked")
    token = new_token()
    async with database.transaction() as statements:
        stored = await statements.maybe(
            "access/create_token",
            name=name,
            hash=hash_of(token),
            scopes=sorted(set(scopes)),
            instance_ids=sorted(set(instance_ids)) if instance_ids else None,
            expires_s=expires_s,
        )
        if stored is None:
            raise SettingsError(f"there is a token {typed(name)} already: revoke it, or choose another name")
        granted = {each: stored[each] for each in ("scopes", "instance_ids", "expires_at")}
        await record(statements, Action.TOKEN_CREATE, name, before=None, after=granted)
    return token, TokenState(**stored)


async def list_tokens(database: Database) -> list[TokenState]:
    """Return all tokens, the valid ones first."""
    return records(TokenState, await database.rows("access/list_tokens"))


async def revoke_token(database: Database, name: str) -> None:
    """End a token. Raises SettingsError if there is none with this name, or it is revoked."""
    async with database.transaction() as statements:
        revoked = await statements.maybe("access/revoke_token", name=name)
        if revoked is None:
            raise SettingsError(f"there is no token {typed(name)}, or it is revoked: see `blogworker tokens`")
        before, after = {"revoked_at": None}, {"revoked_at": revoked["revoked_at"]}
        await record(statements, Action.TOKEN_REVOKE, name, before=before, after=after)


async def find_token(database: Database, token: str) -> Principal | None:
    """Return the owner of a valid token."""
    if not is_well_formed(token):
        return None
    found = await database.maybe("access/find_token", hash=hash_of(token))
    if found is None:
        return None
    sites = found["instance_ids"]
    return Principal(
        token_id=found["token_id"],
        name=found["name"],
        scopes=frozenset(found["scopes"]),
        instance_ids=None if sites is None else frozenset(sites),
        expires_in_s=found["expires_in_s"],
    )


async def note_use(database: Database, principal: Principal) -> None:
    """Remember that a token was used, at most once per minute."""
    await database.execute("access/note_use", token_id=principal.token_id)


def _checksum(secret: str) -> str:
    return urlsafe_b64encode(sha256(secret.encode()).digest())[:SUM].decode()
