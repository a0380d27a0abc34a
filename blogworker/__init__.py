"""blogworker: rows of a Postgres table become published, illustrated blog posts.

`blogworker/README.md` is the map of the code: its words, its rooms and floors, and a walk through them.
"""

__version__ = "0.1.0"
