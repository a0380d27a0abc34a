"""Benchmarks and chaos tests. Each compares its figures within one run on this machine, as medians and ratios.

seed    The system that blogworker replaces. Its query, its limiter and its worker are the baselines.
speed   How many times faster than real time the clock of the simulated providers runs.
"""
