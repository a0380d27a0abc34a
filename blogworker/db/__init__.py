"""Postgres: the pool, the SQL files, the migrations. No other room opens a connection or reads a .sql file."""

from blogworker.db.pool import Database

__all__ = ["Database"]
