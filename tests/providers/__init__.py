"""Tests of `blogworker.providers`."""
