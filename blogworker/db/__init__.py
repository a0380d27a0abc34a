"""Postgres: the connection pool, the SQL files, the migrations. No other package opens a connection or reads SQL."""

from blogworker.db.pool import Database

__all__ = ["Database"]
