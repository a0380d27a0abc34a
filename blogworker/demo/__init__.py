"""The whole system on one machine, to watch: a Postgres, the vendors' simulator, two workers, a gallery of posts."""
