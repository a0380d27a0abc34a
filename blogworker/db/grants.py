"""The privileges of each group role. `blogworker roles` grants them, and every command checks them when it starts.

Triggers, and the functions that producers call, run with the rights of the tables' owner. So no role needs privileges
for the rows that they write: sites of new jobs, announcements, totals of spending, budget holds, titles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Tables = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Role:
    """A group role. `tables`: privileges besides SELECT, each followed by its columns if it is limited to some."""

    name: str
    can: str  # shown by the CLI
    reads: bool = True  # SELECT on all tables and views, and EXECUTE on functions that change nothing
    tables: Tables = field(default_factory=dict)
    functions: Sequence[str] = ()

    @property
    def wanted(self) -> dict[str, list[str]]:
        """Return `tables` as three lists in the same order: relations, privileges and columns ('' for all)."""
        rows = [
            (table, *privilege.partition(" ")[::2])
            for table, privileges in self.tables.items()
            for privilege in privileges
        ]
        return {
            "relations": [table for table, _, _ in rows],
            "privileges": [privilege for _, privilege, _ in rows],
            "columns": [columns for _, _, columns in rows],
        }


# These functions write nothing. They are volatile, so that they see rows that are newer than their statement.
READS = ("last_error_kind", "mentions", "site_has_pending", "site_in_flight")
ENQUEUES = ("enqueue_blog", "enqueue_blogs", "create_sites", "require_room")
ALL = ("INSERT", "UPDATE", "DELETE")
LINE = "ready ready_at at_cap capped_until virtual_time stage_times turn_cost"
PAUSE = "paused_at pause_reason resume_at"
CLAIM = (
    "status stage attempt failures rescues lone_rescues line run_at worker_id claimed_at error charged finished_at "
    "held_usd"
)
SITE = (
    "name plan settings weight priority max_in_flight max_pending own_weight own_priority own_max_in_flight "
    "own_max_pending own_budget_day_usd own_budget_month_usd own_quota_share"
)

PRODUCER = Role("blogworker_producer", "adds jobs; reads nothing", reads=False, functions=ENQUEUES)
READER = Role("blogworker_reader", "reads everything", functions=READS)
WORKER = Role(
    "blogworker_worker",
    "runs jobs: `blogworker run` and `preview`",
    tables={
        "blog_generations": (f"UPDATE {CLAIM}",),
        "sites": (f"UPDATE {LINE} {PAUSE}",),
        "turns": ("UPDATE",),
        "stage_clocks": ("UPDATE",),
        "site_arrivals": ALL,
        "site_bills": ALL,
        "generation_stages": ("INSERT", "UPDATE"),
        "generation_errors": ("INSERT",),
        "blog_posts": ("INSERT", "UPDATE"),
        "site_posts": ("INSERT", "UPDATE"),
        "site_terms": ("INSERT", "DELETE"),
        "cache": ALL,
        "workers": ALL,
        "quotas": ALL,
        "quota_rounds": ALL,
        "quota_waits": ALL,
        "provider_health": ("INSERT", "UPDATE"),
        "provider_usage": ("INSERT", "UPDATE"),
        "history": ("INSERT", "DELETE"),
        "history_stages": ("INSERT",),
        "scalings": ("INSERT", "DELETE"),
        "webhooks": ("UPDATE failures failing_since retry_at last_error disabled_at disabled_reason",),
        "webhook_deliveries": (
            "INSERT webhook_id message_id event payload",
            "UPDATE state attempts due_at leased_until ended_at last_error",
            "DELETE",
        ),
        "alerts": ALL,
        "alert_evaluations": ("INSERT", "UPDATE"),
    },
    functions=(
        *READS,
        "add_usage",
        "begin_single_flight",
        "draw_review",
        "follow_plans",
        "claim_slug",
        "hold_budget",
        "claim_title",
        "quota_round",
        "breaker_report",
        "breaker_end_probe",
        "wake_workers",
        "note_restore",
        "job_origin",
        "record_post",
        "site_tags",
        "store_post",
    ),
)
OPERATOR = Role(
    "blogworker_operator",
    "reads everything; adds, retries, cancels and prunes jobs; changes sites, plans, budgets, quotas and breakers",
    tables={
        "blog_generations": (
            "UPDATE status priority run_at max_attempts publish_mode error cancel_requested_at retry_from",
            "DELETE",
        ),
        "scheduled_blogs": ("INSERT", "UPDATE publish_at", "DELETE"),
        "sites": (f"INSERT instance_id {SITE}", f"UPDATE {SITE} {PAUSE} budget_day_usd budget_month_usd"),
        "plans": ALL,
        "fleet_budget": ("UPDATE day_usd month_usd",),
        "quotas": ("UPDATE requests_per_minute tokens_per_minute pinned epoch blocked_until",),
        "provider_health": ("UPDATE state",),
        "cache": ("DELETE",),
        "workers": ("DELETE",),
        "scalings": ("INSERT", "DELETE"),
        "quiet_workers": ("INSERT", "UPDATE", "DELETE"),
        "stage_pauses": ("INSERT", "UPDATE", "DELETE"),
        "audit": ("INSERT actor via action target before after",),
        "api_tokens": ("INSERT name hash scopes instance_ids expires_at", "UPDATE revoked_at used_at"),
        "webhooks": (
            "INSERT name url events instance_ids format",
            "UPDATE paused_at pause_reason disabled_at disabled_reason failures failing_since retry_at",
            "DELETE",
        ),
        "webhook_deliveries": ("UPDATE state due_at ended_at expires_at", "DELETE"),
        "provider_usage": ("DELETE",),
        "site_spend": ("DELETE",),
        "restores": ("INSERT since reason",),
    },
    functions=(*READS, *ENQUEUES, "follow_plans", "note_restore", "advance_sequences"),
)
NO_ROLE = Role("", "does nothing", reads=False)
ROLES = (PRODUCER, WORKER, READER, OPERATOR)
