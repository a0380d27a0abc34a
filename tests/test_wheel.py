"""What is shipped: the wheel holds all it needs, and works where the checkout is not."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import psycopg
import pytest

KINDS = (".service", ".socket", ".target", ".timer")
ROOT = Path(__file__).parents[1]
DATA = ("*.sql", "*.html", "*.css", "*.js", "*.svg", "*.csv", "*.txt", "*.md")
LIMIT_S = 150

pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    ran = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={"PATH": os.defpath, "HOME": str(folder), "COLUMNS": "200", "BLOGWORKER_ENV_FILE": ""} | environment,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fresh sdist and of the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    return folder


@pytest.fixture(scope="session")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel. Dependencies come from ours, by a .pth file, after its own."""
    home = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", home, folder=home)
    python = home / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=home).strip())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, folder=home)
    (packages / "dependencies.pth").write_text(f"{Path(psycopg.__file__).parents[1]}\n")
    return python


def data_files() -> set[str]:
    """What is not Python and has to be shipped, as named in a wheel."""
    package = {path.relative_to(ROOT) for kind in DATA for path in (ROOT / "blogworker").rglob(kind)}
    beside = (path for name in ("sql", "systemd") for path in (ROOT / name).rglob("*") if path.is_file())
    return {str(path) for path in package | {Path("blogworker") / path.relative_to(ROOT) for path in beside}}


def test_the_wheel_contains_every_file_the_program_reads(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())

    wanted = data_files()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "blogworker").rglob("*.py")}

    assert wanted | modules <= held
    sql = (
        "systemd/",
        "sql/migrations/",
        "sql/schema/",
        "sql/queries/",
        "sql/monitoring/alerts.yml",
        "sql/monitoring/grafana.json",
    )
    for kind in (*sql, "demo/templates/", "demo/catalog.csv", "prompts/", "writer/"):
        assert any(kind in name for name in wanted), kind
    assert not [name for name in held if not name.startswith("blogworker")]


def test_the_sdist_contains_everything_to_build_and_test_the_wheel(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}

    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "tests/test_wheel.py"} <= held
    assert any(name.startswith("sql/migrations/") for name in held)
    assert any(name.startswith("systemd/") for name in held)


def test_an_installed_wheel_runs_from_its_own_files(installed: Path, tmp_path: Path) -> None:
    """Not from the checkout, which lies beside its dependencies."""
    output = run(
        installed,
        "-c",
        "import blogworker, blogworker.db.sql as s; print(blogworker.__file__); print(s.sql_dir())",
        folder=tmp_path,
    )

    assert all(Path(line).is_relative_to(installed.parents[1]) for line in output.splitlines())


def test_an_installed_wheel_migrates_a_database(installed: Path, empty_url: str, tmp_path: Path) -> None:
    command = installed.parent / "blogworker"

    run(command, "migrate", folder=tmp_path, DATABASE_URL=empty_url)

    assert run(command, "migrate", folder=tmp_path, DATABASE_URL=empty_url) == "the database is up to date\n"
    assert "PENDING" in run(
        *(command, "enqueue", "--site", "s", "--keyword", "mugs"), folder=tmp_path, DATABASE_URL=empty_url
    )


def test_an_installed_wheel_installs_its_units(installed: Path, tmp_path: Path) -> None:
    """For the program that it is; here it lies where units cannot see it, so another is named."""
    command = installed.parent / "blogworker"

    run(
        command,
        "systemd",
        "install",
        "--root",
        "machine",
        "--program",
        "/opt/blogworker/bin/blogworker",
        folder=tmp_path,
    )

    written = {path.name for path in (tmp_path / "machine/etc/systemd/system").iterdir() if path.is_file()}
    assert written == {path.name for path in (ROOT / "systemd").glob("blogworker*.*") if path.suffix in KINDS}


def test_an_installed_wheel_shows_the_demo(installed: Path, tmp_path: Path) -> None:
    command = installed.parent / "blogworker"

    said = run(command, "demo", "--posts", "4", "--sites", "2", "--speed", "50", "--out", "posts", folder=tmp_path)

    assert "4 published for 2 sites, 0 failed" in said
    assert len(list((tmp_path / "posts" / "posts").glob("*.html"))) == 4
    assert (tmp_path / "posts" / "index.html").is_file()
