"""`blogworker metrics`, as Prometheus and node_exporter's textfile collector read it."""

from pathlib import Path

from .conftest import Cli, Rows


def test_metrics_are_printed_for_prometheus(cli: Cli, sql: Rows) -> None:
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')")

    ran = cli("metrics")

    assert (ran.code, ran.err) == (0, "")
    assert '# TYPE blogworker_jobs gauge\nblogworker_jobs{status="PENDING"} 1\n' in ran.out
    assert "site=" not in ran.out


def test_the_busiest_sites_are_printed_if_asked_for(cli: Cli, sql: Rows) -> None:
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')")
    sql("update blog_generations set status = 'CANCELLED'")

    assert 'blogworker_site_jobs{site="s",status="PENDING"} 0\n' in cli("metrics", "--top-sites", "3").out


def test_a_file_is_replaced_as_a_whole(cli: Cli, tmp_path: Path) -> None:
    """A reader that has the old file open keeps it, and nothing is left beside the new one."""
    folder = tmp_path / "textfile"
    folder.mkdir()
    file = folder / "blogworker.prom"
    file.write_text("old")

    with file.open() as reader:
        ran = cli("metrics", "--output", str(file))
        assert reader.read() == "old"

    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert file.read_text().startswith("# HELP blogworker_")
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(folder.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_reported_in_one_line(cli: Cli, tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "it is not a file"), (tmp_path / "none" / "b.prom", "No such file or directory")):
        ran = cli("metrics", "--output", str(path))
        assert ran.code == 1
        assert ran.complaints == [f"blogworker: {path} cannot be written: {reason}"]


def test_a_database_that_is_away_leaves_the_old_file(cli: Cli, tmp_path: Path) -> None:
    """Its time then tells that it is old."""
    file = tmp_path / "blogworker.prom"
    file.write_text("old")

    ran = cli("metrics", "--output", str(file), DATABASE_URL="postgresql://localhost:1/none")

    assert ran.code == 75
    assert file.read_text() == "old"
