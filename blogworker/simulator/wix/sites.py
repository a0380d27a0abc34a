"""The data of one site: members, drafts, posts, files, and the window of its quota."""

import hashlib
import math
import uuid
from dataclasses import dataclass, field
from typing import Any

from blogworker.simulator.buckets import Window

NAMESPACE = uuid.UUID("6f1c2a9e-9f8d-4f0e-8a55-0f6f6a8f7c11")


@dataclass(slots=True)
class Draft:
    """A draft post. `fields`: those that a client can set, without the rich content. Times are real seconds."""

    id: str
    fields: dict[str, Any]
    content: bytes | None  # rich content as JSON; None: there is none, or it was dropped
    created: float
    edited: float
    status: str = "UNPUBLISHED"
    slug: str = ""
    minutes_to_read: int = 1
    first_published: float | None = None
    last_published: float | None = None
    scheduled_at: float | None = None
    unpublished_changes: bool = False
    published: "Published | None" = None


@dataclass(frozen=True, slots=True)
class Published:
    """What readers see: the fields and the content of a draft at its last publication."""

    fields: dict[str, Any]
    content: bytes | None
    slug: str


@dataclass(slots=True)
class File:
    """An imported or uploaded file."""

    id: str
    name: str
    mime_type: str
    kind: str
    created: float
    status: str = "PENDING"
    width: int = 0
    height: int = 0
    size: int = 0
    source: str = ""
    external: dict[str, Any] | None = None


@dataclass(slots=True)
class Site:
    """One site with the app installed."""

    instance_id: str
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    slugs: set[str] = field(default_factory=set)
    categories: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    window: Window = field(default_factory=Window)
    last_member_at: float = -math.inf

    @property
    def base_url(self) -> str:
        return f"https://{self.instance_id[:8]}.wixsite.example/site"

    @property
    def owner_email(self) -> str:
        return f"owner@{self.instance_id[:8]}.example"

    @property
    def catalog(self) -> str:
        """The version of the product catalog. Half of the instance ids have the old one."""
        even = hashlib.blake2b(self.instance_id.encode(), digest_size=1).digest()[0] % 2 == 0
        return "V3_CATALOG" if even else "V1_CATALOG"

    def stable_id(self, name: str) -> str:
        """A GUID that is the same in every run."""
        return str(uuid.uuid5(NAMESPACE, f"{self.instance_id}/{name}"))


def new_site(instance_id: str, *, created_at: str) -> Site:
    """A new site with two members: first a customer, then the owner."""
    site = Site(instance_id)
    customer = f"customer@{instance_id[:8]}.example"
    for email, first, last in ((customer, "First", "Customer"), (site.owner_email, "Site", "Owner")):
        member = member_of(
            site.stable_id(last.lower()), email=email, nickname=f"{first} {last}",
            first=first, last=last, created_at=created_at,
        )  # fmt: skip
        site.members[member["id"]] = member
    return site


def member_of(member_id: str, *, email: str, nickname: str, first: str, last: str, created_at: str) -> dict[str, Any]:
    """A member with all fields. The fieldset PUBLIC shows fewer."""
    return {
        "id": member_id,
        "loginEmail": email,
        "status": "APPROVED",
        "privacyStatus": "PUBLIC",
        "activityStatus": "ACTIVE",
        "contactId": member_id,
        "contact": {"contactId": member_id, "firstName": first, "lastName": last, "emails": [email]},
        "profile": {"nickname": nickname, "slug": nickname.lower().replace(" ", "-")},
        "createdDate": created_at,
        "updatedDate": created_at,
    }
