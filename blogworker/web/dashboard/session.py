"""Sessions of the dashboard: login, logout, the rendering of pages, and the check of forms."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from blogworker import __version__
from blogworker.ops.audit import acting_as
from blogworker.ops.shown import ago, budgets, dollars, percent, precise
from blogworker.ops.tokens import Principal, Scope
from blogworker.printable import printable
from blogworker.redact import SECRETS
from blogworker.web.access import COOKIE, form_key, is_own_form, require, require_all_sites, visitor
from blogworker.web.bodies import read_body
from blogworker.web.problems import Problem, problem_of

FOLDER = Path(__file__).parent
PAGES = (
    ("/", "Overview"),
    ("/jobs", "Jobs"),
    ("/sites", "Sites"),
    ("/errors", "Errors"),
    ("/providers", "Providers"),
    ("/workers", "Workers"),
    ("/costs", "Costs"),
    ("/audit", "Audit"),
)
MOST_FIELDS = 600
Page = Callable[[Request, Principal], Awaitable[Response]]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {
        "ago": _ago,
        "percent": percent,
        "duration": precise,
        "dollars": dollars,
        "count": "{:,}".format,
        "link": _link,
        "web": _web,
        "coded": _coded,
    }
    made.globals |= {"budgets": budgets, "pages": PAGES, "version": __version__}
    return made


def _shown(value: object) -> object:
    """Return what a page shows of a value: nothing of None, and no secret of anything; of text that is not HTML, no
    hidden character."""
    match value:
        case None:
            return ""
        case bool() | int() | float():
            return value
        case Markup():
            return Markup(hidden(value))  # noqa: S704  # it was HTML before
        case _:
            return printable(hidden(str(value)), encoding="utf-8")


def hidden(text: str) -> str:
    """Return the text without secrets. Those that are plain words stay."""
    return SECRETS.hide(text, shapes=False, words=False)


def _coded(text: str) -> Markup:
    """Return what stands between two backticks as code."""
    parts = re.split(r"`([^`]*)`", printable(text, encoding="utf-8"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


def _ago(moment: datetime | None) -> str:
    return "" if moment is None else ago(moment)


def _web(address: str | None) -> str | None:
    """Return an address that a page may link to; None for others, such as those that run scripts."""
    return address if address and address.startswith(("https://", "http://")) else None


def _link(path: str, **query: object) -> str:
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


def show(request: Request, principal: Principal | None, template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page with its navigation."""
    text = render(
        template,
        principal=principal,
        may_operate=principal is not None and principal.may(Scope.OPERATE),
        form_key=form_key(request),
        here=request.url.path,
        note=request.query_params.get("note", "")[:300],
        now=datetime.now(UTC),
        **values,
    )
    return HTMLResponse(text, status)


def page(handler: Page, *scopes: Scope) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a page for visitors with one of the scopes. Others are sent to the login."""

    async def endpoint(request: Request) -> Response:
        principal: Principal | None = None
        try:
            principal = await visitor(request)
            if principal is None:
                return _to_login(request)
            require(principal, *scopes)
            require_all_sites(principal)
            return await handler(request, principal)
        except Exception as error:
            problem = problem_of(error)
            return show(request, principal, "problem.html", status=problem.status, problem=problem)

    return endpoint


def action(handler: Callable[[Request, Principal, "Form"], Awaitable[Response]]) -> Callable[[Request], Any]:
    """Return the endpoint of a form that changes something: for scope operate, and only from our own pages."""

    async def checked(request: Request, principal: Principal) -> Response:
        form = await read_form(request)
        if not is_own_form(request, form.one("key")):
            raise Problem(403, "this form is not from this session: go back, load the page again, and repeat")
        with acting_as(principal.name, "dashboard"):
            return await handler(request, principal, form)

    return page(checked, Scope.OPERATE)


class Form:
    """The fields of a form."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def one(self, name: str) -> str:
        return next((value for key, value in self._fields if key == name), "").replace("\0", "\ufffd")

    def every(self, name: str) -> list[str]:
        return [value for key, value in self._fields if key == name]


async def read_form(request: Request) -> Form:
    """Return the fields of a form. Raises Problem 400 if the body is no form."""
    try:
        text = (await read_body(request)).decode("ascii")
        return Form(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError as error:
        raise Problem(400, "the body is not a form") from error


def _to_login(request: Request) -> Response:
    if request.method != "GET":
        return RedirectResponse("/login", 303)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(_link("/login", next=wanted if wanted != "/" else None), 303)


async def login_page(request: Request) -> Response:
    return show(request, None, "login.html", wrong=None, next=_own_path(request.query_params.get("next", "")))


async def login(request: Request) -> Response:
    """Check the token of the form, and keep it in a cookie that scripts cannot read."""
    next_path = "/"
    try:
        form = await read_form(request)
        next_path = _own_path(form.one("next"))
        token = form.one("token").strip()
        address = request.client.host if request.client else ""
        principal = await request.app.state.gatekeeper.principal(token, address=address)
        require(principal, Scope.READ)
        require_all_sites(principal)
    except Exception as error:
        problem = problem_of(error)
        return show(request, None, "login.html", status=problem.status, wrong=problem.detail, next=next_path)
    answer = RedirectResponse(next_path, 303)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=None if principal.expires_in_s is None else int(principal.expires_in_s),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https",
    )
    return answer


async def logout(request: Request) -> Response:
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _own_path(path: str) -> str:
    """Return a path of this server; anything else becomes the first page."""
    is_path = path.startswith("/") and not path.startswith(("//", "/\\")) and printable(path) == path
    return path if is_path and "\\" not in path else "/"


def back(request: Request, note: str, *, default: str = "/") -> Response:
    """Return to the page of the form with a note of what was done."""
    path, _, query = _own_path(_came_from(request) or default).partition("?")
    kept = [(name, value) for name, value in parse_qsl(query) if name != "note"]
    return RedirectResponse(f"{path}?{urlencode([*kept, ('note', note)])}", 303)


def _came_from(request: Request) -> str | None:
    """Return the path and query of our own page that sent a form. Its scheme may differ: a proxy ends TLS."""
    try:
        sender = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return None
    is_own = sender.scheme in ("http", "https") and sender.netloc.lower() == request.url.netloc.lower()
    return urlunsplit(("", "", sender.path, sender.query, "")) if is_own else None
