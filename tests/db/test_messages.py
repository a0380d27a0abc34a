"""Error messages of the driver become one line that an operator can act on."""

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from blogworker.db.messages import message_of

ASKS = "\n\tIs the server running on that host and accepting TCP/IP connections?"
TCP = f'connection to server at "127.0.0.1", port 1 failed: Connection refused{ASKS}'


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (f"connection failed: {TCP}", "127.0.0.1 port 1: Connection refused"),
        (
            f"connection failed: {TCP}\nMultiple connection attempts failed. All failures were:\n"
            f"- host: 'a', port: '1', hostaddr: '127.0.0.1': connection failed: {TCP}\n"
            f"- host: 'b', port: '2', hostaddr: '::1': connection failed: {TCP.replace('127.0.0.1', '::1')}",
            "127.0.0.1 port 1: Connection refused; ::1 port 1: Connection refused",
        ),
        (
            'connection failed: connection to server at "db" (10.0.0.7), port 5432 failed: '
            'FATAL:  password authentication failed for user "u"',
            'db port 5432: password authentication failed for user "u"',
        ),
        (
            'connection is bad: connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory'
            "\n\tIs the server running locally and accepting connections on that socket?",
            "/run/.s.PGSQL.5432: No such file or directory",
        ),
        ("failed to resolve host 'db.x': [Errno -2] Name or service not known", "db.x: Name or service not known"),
        (
            "consuming input failed: server closed the connection unexpectedly\n\tThis probably means the server "
            "terminated abnormally\n\tbefore or while processing the request.",
            "the server closed the connection",
        ),
        ("consuming input failed: SSL SYSCALL error: EOF detected", "the connection was lost"),
        ("the connection is closed", "the connection was lost"),
        ("connection timeout expired", "no answer in time"),
        ("terminating connection due to administrator command", "terminating connection due to administrator command"),
        ("", "OperationalError"),
    ],
)
def test_messages_of_the_driver_become_ours(said: str, expected: str) -> None:
    assert message_of(psycopg.OperationalError(said)) == expected


def test_an_exhausted_pool_says_how_long_it_was_waited_for() -> None:
    assert message_of(PoolTimeout("couldn't get a connection after 5.00 sec")) == "no connection within 5.00 s"


def test_the_failing_row_is_left_out_of_the_message() -> None:
    """The DETAIL of a violated constraint repeats the whole row."""
    error = psycopg.errors.CheckViolation("new row violates check constraint\nDETAIL:  Failing row contains (secret).")

    assert message_of(error) == "new row violates check constraint"


def test_another_error_is_reported_unchanged() -> None:
    assert message_of(TimeoutError("late")) == "late"
