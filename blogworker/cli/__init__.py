"""The command line: parse, call a room, print.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 75 try later.
"""
