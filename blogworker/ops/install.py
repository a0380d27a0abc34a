"""Install the systemd units of a machine: what to write, link and remove, worked out before anything is changed.

Installed files begin with a digest of their text. A file that was edited by hand is recognised by it, and kept.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from blogworker.errors import SettingsError

UNITS = Path("/etc/systemd/system")
ELSEWHERE = {
    "blogworker.sysusers": Path("/etc/sysusers.d/blogworker.conf"),
    "blogworker.tmpfiles": Path("/etc/tmpfiles.d/blogworker.conf"),
    "blogworker.env.example": Path("/etc/blogworker/blogworker.env.example"),
}
KINDS = (".service", ".socket", ".target", ".timer")
MIGRATES = UNITS / "blogworker.target.wants" / "blogworker-migrate.service"
PROGRAM = "/opt/blogworker/bin/blogworker"
HIDDEN_FROM_UNITS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - ProtectHome, PrivateTmp
MARK = re.compile(r"# Installed by `blogworker systemd install`: ([0-9a-f]{16})\n")
INSTANCE = re.compile(r"blogworker@(\d+)\.service")
OURS = re.compile(r"blogworker(?:@\w+|-[a-z]+(?:@\w+)?)?\.(?:service|socket|target|timer)$")
OWN_FOLDERS = ("blogworker.target.wants", "blogworker")
MOST_WORKERS = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a file. `after`: None removes it. `link`: it is a symbolic link to `after`."""

    path: Path
    before: str | None
    after: str | None
    link: bool = False

    @property
    def verb(self) -> str:
        if self.before == self.after:
            return "unchanged"
        return "remove" if self.after is None else "create" if self.before is None else "update"

    def diff(self) -> list[str]:
        """Return the changed lines of an update."""
        if self.verb != "update":
            return []
        lines = unified_diff((self.before or "").splitlines(), (self.after or "").splitlines(), n=0, lineterm="")
        return [line for line in lines if not line.startswith(("---", "+++", "@@")) and not MARK.match(f"{line[1:]}\n")]


def units_dir() -> Traversable:
    """Return the folder `systemd/`: inside the package in a wheel, beside it in a checkout or an editable install."""
    packaged = files("blogworker") / "systemd"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "systemd"


def shipped(program: str) -> dict[Path, str]:
    """Return all files with the paths that they are installed at. `program`: what the units run."""
    found = {}
    for source in units_dir().iterdir():
        path = UNITS / source.name if source.name.endswith(KINDS) else ELSEWHERE.get(source.name)
        if path is not None:
            text = source.read_text(encoding="utf-8").replace(PROGRAM, program)
            found[path] = f"# Installed by `blogworker systemd install`: {_digest(text)}\n{text}"
    return dict(sorted(found.items()))


def plan_install(root: Path, *, workers: int | None, migrate: bool, program: str, force: bool) -> list[Step]:
    """Return the steps that install the units below `root` and enable this number of workers.

    `workers`: None: as many as now, at first one. Raises SettingsError if a file was edited by hand, unless `force`.
    """
    _require_reachable(program)
    steps = [Step(path, _read(root, path), text) for path, text in shipped(program).items()]
    edited = [str(step.path) for step in steps if step.verb == "update" and is_edited(step.before)]
    if edited and not force:
        raise SettingsError(
            f"{', '.join(edited)}: edited by hand; move the changes to a drop-in (systemctl edit), or pass --force "
            "to overwrite them"
        )
    enabled = enabled_workers(root)
    at_first = all(step.before is None or is_edited(step.before) for step in steps)  # uninstall keeps edited files
    count = workers if workers is not None else 1 if at_first else len(enabled)
    wanted = _links(count, migrate=migrate)
    unwanted = [UNITS / _wants(number) for number in enabled if number > count]
    if not migrate and _below(root, MIGRATES).is_symlink():
        unwanted.append(MIGRATES)
    return [*steps, *_link_steps(root, wanted), *(_unlink(root, path) for path in unwanted)]


def plan_uninstall(root: Path) -> list[Step]:
    """Return the steps that remove the units. Settings, credentials, drop-ins, the user and edited files stay."""
    kept = edited_files(root)
    paths = [path for path in shipped(PROGRAM) if path not in kept and _read(root, path) is not None]
    links = sorted(path for path in _below(root, UNITS).glob("*.*/*") if path.is_symlink() and OURS.match(path.name))
    found = [Step(path, _read(root, path), None) for path in paths]
    return [*(_unlink(root, Path("/") / path.relative_to(root)) for path in links), *found]


def edited_files(root: Path) -> list[Path]:
    """Return the installed files that were edited by hand."""
    return [path for path in shipped(PROGRAM) if is_edited(_read(root, path))]


def enabled_workers(root: Path) -> list[int]:
    """Return the numbers of the workers that start with the target."""
    links = _below(root, UNITS / "blogworker.target.wants").glob("blogworker@*.service")
    return sorted(int(match[1]) for path in links if (match := INSTANCE.fullmatch(path.name)))


def apply(root: Path, steps: Iterable[Step]) -> None:
    """Carry out the steps. Raises SettingsError at the first that is not permitted."""
    for step in steps:
        if step.verb == "unchanged":
            continue
        path = _below(root, step.path)
        try:
            _take(path, step)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise SettingsError(f"{path} cannot be written: {reason}; run this as root, or pass --root") from error


def is_edited(text: str | None) -> bool:
    """Return whether an installed file was changed by hand."""
    if text is None:
        return False
    mark = MARK.match(text)
    return mark is None or mark[1] != _digest(text[mark.end() :])


def _take(path: Path, step: Step) -> None:
    if step.after is None:
        path.unlink(missing_ok=True)
        if path.parent.name in OWN_FOLDERS and not any(path.parent.iterdir()):
            path.parent.rmdir()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.new")  # renamed when it is whole, as systemd may read it at any time
    written.unlink(missing_ok=True)
    if step.link:
        written.symlink_to(step.after)
    else:
        written.write_text(step.after, encoding="utf-8")
        written.chmod(0o644)
    written.rename(path)


def _require_reachable(program: str) -> None:
    if not program.startswith("/") or any(character.isspace() for character in program):
        raise SettingsError(f"--program {program}: units need an absolute path without blanks")
    for folder in HIDDEN_FROM_UNITS:
        if Path(program).is_relative_to(folder):
            raise SettingsError(
                f"--program {program}: units cannot see {folder}; install blogworker in /opt/blogworker, see the README"
            )


def _links(workers: int, *, migrate: bool) -> Mapping[Path, str]:
    wanted = {Path("multi-user.target.wants/blogworker.target"): "blogworker.target"}
    if migrate:
        wanted[MIGRATES.relative_to(UNITS)] = "blogworker-migrate.service"
    wanted |= {Path(_wants(number)): "blogworker@.service" for number in range(1, workers + 1)}
    return {UNITS / link: str(UNITS / unit) for link, unit in wanted.items()}


def _wants(number: int) -> str:
    return f"blogworker.target.wants/blogworker@{number}.service"


def _link_steps(root: Path, wanted: Mapping[Path, str]) -> Iterator[Step]:
    for path, target in wanted.items():
        here = _below(root, path)
        yield Step(path, str(here.readlink()) if here.is_symlink() else None, target, link=True)


def _unlink(root: Path, path: Path) -> Step:
    return Step(path, str(_below(root, path).readlink()), None, link=True)


def _read(root: Path, path: Path) -> str | None:
    try:
        return _below(root, path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{_below(root, path)} cannot be read: {error}") from error


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def removed_workers(steps: Sequence[Step]) -> list[str]:
    """Return the units of the workers that the steps disable."""
    return [step.path.name for step in steps if step.verb == "remove" and INSTANCE.fullmatch(step.path.name)]
