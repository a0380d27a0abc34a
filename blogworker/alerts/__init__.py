"""Alerts: the fleet evaluates its own alert rules, and sends messages about them through the outbox of webhooks.

rules       the conditions; those of sql/monitoring/alerts.yml, which tests compare with these
evaluation  once a minute one worker evaluates them; what changed becomes one message
"""
