"""blogworker: rows of a Postgres table become published, illustrated blog posts.

The rooms and their floors are listed in the README; a room imports only from the floors below its own.
"""

__version__ = "0.1.0"
