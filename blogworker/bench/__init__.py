"""Measure on this machine: figures side by side from one run, as medians and ratios."""
