"""The commands of `blogworker bench`: parse options, call a measurement of this room, print a table or JSON."""
