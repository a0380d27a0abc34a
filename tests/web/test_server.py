"""The process and its edges: health without a database, slow clients, wrong methods, headers, signals."""

import json
import signal
import socket
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from .conftest import serving


def test_it_is_alive_and_ready_without_a_token(served: Any) -> None:
    with served.client() as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.head("/healthz").status_code == 200


def test_without_its_database_it_is_alive_but_not_ready(databases: Any, template: str, tmp_path: Any) -> None:
    with databases.copy(template) as url, serving(url, tmp_path) as served, served.client("intake") as client:
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        databases.admin.execute(f"alter database {name} allow_connections false".encode())
        databases.admin.execute(b"select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        try:
            until = time.monotonic() + 20  # an answer is shared for a second
            while client.get("/readyz").status_code != 503:
                assert time.monotonic() < until
            refused = client.post("/api/blog-generation", json={"sourceType": "keyword", "sourceId": "k"})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert "password" not in refused.text
            assert client.get("/healthz").status_code == 200
        finally:
            databases.admin.execute(f"alter database {name} allow_connections true".encode())
        until = time.monotonic() + 30
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < until


def test_wrong_methods_and_paths_are_problems(served: Any, admin: httpx.Client) -> None:
    for method, path, status in (
        ("DELETE", "/api/blog-generation", 405),
        ("PUT", "/healthz", 405),
        ("TRACE", "/api/status", 405),
        ("GET", "/api", 404),
        ("GET", "/api/blog-generation/", 404),
        ("GET", "/api/blog-generation/x", 404),
        ("GET", "/..%2f..%2fetc/passwd", 404),
        ("GET", "/static/../../pyproject.toml", 404),
        ("GET", "//api/status", 404),
    ):
        answered = admin.request(method, f"{served.address}{path}")
        assert answered.status_code == status, (method, path, answered.status_code)
        assert answered.headers["content-type"] == "application/problem+json"
    assert set(admin.delete("/api/blog-generation").headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_every_answer_has_the_headers_that_protect_browsers(admin: httpx.Client) -> None:
    for path in ("/healthz", "/api/status", "/nowhere", "/openapi.json"):
        headers = admin.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


@pytest.mark.slow
def test_a_client_that_sends_nothing_is_cut_off(served: Any) -> None:
    address = urlsplit(served.address)
    with socket.create_connection((address.hostname, address.port), timeout=40) as silent:
        silent.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        assert silent.recv(1) == b""


@pytest.mark.slow
def test_a_body_that_never_ends_is_cut_off(served: Any, admin: httpx.Client) -> None:
    address = urlsplit(served.address)
    token = admin.headers["authorization"]
    head = f"POST /api/blog-generation HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ncontent-length: 100\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=40) as slow:
        slow.sendall(head.encode() + b'{"')
        answer = b""
        while part := slow.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 400_000,
        b"POST /api/blog-generation HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/status?\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_bytes_that_are_no_request_harm_nothing(served: Any, request_bytes: bytes) -> None:
    address = urlsplit(served.address)
    with socket.create_connection((address.hostname, address.port), timeout=10) as odd:
        answer = b""
        with suppress(OSError):  # the server may close the connection while the bytes are sent
            odd.sendall(request_bytes)
            odd.shutdown(socket.SHUT_WR)
            answer = odd.recv(4096)
    assert answer == b"" or answer.split()[1][:1] in (b"3", b"4")
    with served.client() as client:
        assert client.get("/healthz").status_code == 200


def test_a_signal_ends_it_after_the_requests_in_progress(database_url: str, tmp_path: Any) -> None:
    with serving(database_url, tmp_path) as served:
        served.process.send_signal(signal.SIGTERM)
        out, _ = served.process.communicate(timeout=30)
    assert served.process.returncode == 0
    assert json.loads(out.splitlines()[-1])["event"] == "http_stopped"


def test_a_connection_that_was_accepted_before_the_end_gets_its_answer(database_url: str, tmp_path: Any) -> None:
    """A restart behind the socket of systemd refused such requests: only later connections wait for the new process."""
    with serving(database_url, tmp_path) as served:
        address = urlsplit(served.address).hostname, urlsplit(served.address).port
        with socket.create_connection(address, timeout=30) as early, served.client() as later:
            assert later.get("/healthz").status_code == 200, "connections are accepted in their order"
            served.process.send_signal(signal.SIGTERM)
            with suppress(ConnectionRefusedError, ConnectionResetError):
                while True:
                    socket.create_connection(address, timeout=30).close()
            early.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert early.recv(4096).startswith(b"HTTP/1.1 200")
        served.process.communicate(timeout=30)
    assert served.process.returncode == 0


def test_an_address_in_use_is_one_line(cli_serve: Any, served: Any) -> None:
    port = str(urlsplit(served.address).port)
    ran = cli_serve("--port", port)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert "--port" in ran.stderr
