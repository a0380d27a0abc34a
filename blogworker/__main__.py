"""`python -m blogworker`."""

from blogworker.cli.app import main

main()
