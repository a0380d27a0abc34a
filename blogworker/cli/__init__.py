"""The command line: parse, call a room, print. Exit 0 done, 1 failed, 2 usage or settings, 75 refused for now."""
