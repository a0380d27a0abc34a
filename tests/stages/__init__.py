"""Tests of `blogworker.stages`."""
