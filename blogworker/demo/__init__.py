"""The demo: a Postgres, the simulator of the providers and two workers on one machine, and a gallery of the posts."""
