"""The next release of this program, with migrations of its own, as the rules of sql/README.md say that one is made."""

import shutil
from pathlib import Path

from blogworker.db.migrate import Migration, migrations
from blogworker.db.sql import sql_dir

FOLDER = Path(__file__).parent / "next_release"


def next_migrations() -> list[Migration]:
    """This program's migrations, and those of the next release."""
    own = migrations()
    texts = [(path.stem, path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.sql"))]
    return [*own, *(Migration(len(own) + n, name[5:], text) for n, (name, text) in enumerate(texts, 1))]


def installed_next_release(folder: Path) -> Path:
    """Install the next release in a folder: this program with those migrations. Return the folder for PYTHONPATH."""
    source = Path(str(sql_dir())).parent
    own = len(migrations())
    for name in ("blogworker", "sql"):
        shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for n, path in enumerate(sorted(FOLDER.glob("*.sql")), own + 1):
        shutil.copy(path, folder / "sql" / "migrations" / f"{n:04}{path.name[4:]}")
    return folder
