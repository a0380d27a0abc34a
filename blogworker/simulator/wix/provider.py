"""The routes of Wix, with authorization, quota and latency."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from blogworker.simulator.edge import ApiError, Call, Endpoint, Handler, Provider
from blogworker.simulator.wix.auth import Auth
from blogworker.simulator.wix.blog import Drafts
from blogworker.simulator.wix.errors import application_error
from blogworker.simulator.wix.media import Media
from blogworker.simulator.wix.members import Members
from blogworker.simulator.wix.products import PRODUCTS
from blogworker.simulator.wix.ricos import Ricos
from blogworker.simulator.wix.state import WixState
from blogworker.simulator.wix.stores import Stores, product_id
from blogworker.simulator.wix.taxonomy import Taxonomy
from blogworker.simulator.wix.views import gallery_entry
from blogworker.simulator.world import World

Latency = tuple[float, float]  # provider seconds, from and to
TOKEN: Latency = (0.1, 0.4)
READ: Latency = (0.1, 0.5)
WRITE: Latency = (0.2, 0.8)
DRAFT: Latency = (1.0, 5.0)
PUBLISH: Latency = (0.5, 3.0)
DRAFT_TAIL = 0.01  # share of the drafts that take up to half a minute
DRAFT_TAIL_S: Latency = (10.0, 30.0)

OPEN_OPERATIONS = frozenset({"oauth.token", "oauth.legacy", "oauth.info", "media.upload"})
MOST_DUPLICATES_SHOWN = 50


class Wix(Provider):
    """The provider: its routes and its shared state."""

    name = "wix"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.state = WixState(world)
        self._auth = Auth(self.state)

    def routes(self) -> list[Route]:
        return [*self._account_routes(), *self._blog_routes(), *self._media_routes(), *self._other_routes()]

    def _account_routes(self) -> list[Route]:
        auth = self._auth
        return [
            self._route("POST", "/oauth2/token", "oauth.token", auth.token, TOKEN),
            self._route("POST", "/oauth/access", "oauth.legacy", auth.legacy_token, TOKEN),
            self._route("POST", "/oauth2/token-info", "oauth.info", auth.token_info, TOKEN),
            self._route("GET", "/apps/v1/instance", "apps.instance", auth.instance, READ),
        ]

    def _blog_routes(self) -> list[Route]:
        drafts, labels = Drafts(self.state), Taxonomy(self.state)
        one = "/blog/v3/draft-posts/{id}"
        return [
            self._route("POST", "/blog/v3/draft-posts", "drafts.create", drafts.create, DRAFT),
            self._route("GET", "/blog/v3/draft-posts", "drafts.list", drafts.list_drafts, READ),
            self._route("POST", "/blog/v3/draft-posts/query", "drafts.query", drafts.query, READ),
            self._route("POST", "/blog/v3/bulk/draft-posts/create", "drafts.bulk_create", drafts.create_in_bulk, DRAFT),
            self._route("GET", one, "drafts.get", drafts.get, READ),
            self._route("PATCH", one, "drafts.update", drafts.update, WRITE),
            self._route("DELETE", one, "drafts.delete", drafts.delete, WRITE),
            self._route("POST", f"{one}/publish", "drafts.publish", drafts.publish, PUBLISH),
            self._route("GET", "/blog/v3/posts", "posts.list", drafts.query_posts, READ),
            self._route("POST", "/blog/v3/posts/query", "posts.query", drafts.query_posts, READ),
            self._route("GET", "/blog/v3/posts/slugs/{slug}", "posts.get_by_slug", drafts.get_post_by_slug, READ),
            self._route("GET", "/blog/v3/posts/{id}", "posts.get", drafts.get_post, READ),
            self._route("GET", "/blog/v3/categories", "categories.list", labels.find_categories, READ),
            self._route("POST", "/blog/v3/categories", "categories.create", labels.create_category, WRITE),
            self._route("POST", "/blog/v3/categories/query", "categories.query", labels.find_categories, READ),
            self._route("GET", "/blog/v3/categories/{id}", "categories.get", labels.get_category, READ),
            self._route("GET", "/blog/v3/tags", "tags.list", labels.find_tags, READ),
            self._route("POST", "/blog/v3/tags", "tags.create", labels.create_tag, WRITE),
            self._route("POST", "/blog/v3/tags/query", "tags.query", labels.find_tags, READ),
            self._route("GET", "/blog/v3/tags/{id}", "tags.get", labels.get_tag, READ),
        ]

    def _media_routes(self) -> list[Route]:
        media, files = Media(self.state), "/site-media/v1/files"
        return [
            self._route("POST", f"{files}/import", "media.import", media.import_file, WRITE),
            self._route("POST", f"{files}/generate-upload-url", "media.upload_url", media.generate_upload_url, READ),
            self._route("GET", f"{files}/get-file-by-id", "media.get", media.get, READ),
            self._route("GET", f"{files}/{{id}}", "media.get", media.get, READ),
            self._route("GET", files, "media.list", media.list_files, READ),
            self._route("PUT", "/upload/{token}", "media.upload", media.upload, WRITE),
        ]

    def _other_routes(self) -> list[Route]:
        members, stores, ricos = Members(self.state), Stores(self.state), Ricos(self.state)
        document = "/ricos/v1/ricos-document"
        found = [
            self._route("GET", "/members/v1/members", "members.list", members.list_members, READ),
            self._route("POST", "/members/v1/members", "members.create", members.create, WRITE),
            self._route("POST", "/members/v1/members/query", "members.query", members.query, READ),
            self._route("GET", "/members/v1/members/{id}", "members.get", members.get, READ),
            self._route("GET", "/stores/v3/provision/version", "stores.version", stores.version, READ),
            self._route("GET", "/stores/v3/products/slug/{slug}", "stores.get_v3", stores.get_v3, READ),
            self._route("POST", "/stores/v3/products/query", "stores.query_v3", stores.query_v3, READ),
            self._route("POST", "/stores/v3/products/search", "stores.query_v3", stores.query_v3, READ),
            self._route("GET", "/stores/v3/products/{id}", "stores.get_v3", stores.get_v3, READ),
            self._route("POST", f"{document}/convert/to-ricos", "ricos.to", ricos.to_ricos, READ),
            self._route("POST", f"{document}/convert/from-ricos", "ricos.from", ricos.from_ricos, READ),
            self._route("POST", f"{document}/validate", "ricos.validate", ricos.validate, READ),
        ]
        for prefix in ("/stores-reader/v1/products", "/stores/v1/products"):
            found.append(self._route("POST", f"{prefix}/query", "stores.query_v1", stores.query_v1, READ))
            found.append(self._route("GET", f"{prefix}/{{id}}", "stores.get_v1", stores.get_v1, READ))
        return found

    def _route(self, method: str, path: str, operation: str, handler: Handler, latency: Latency) -> Route:
        return Route(path, Endpoint(self, operation, self._with_latency(handler, latency)), methods=[method])

    def _with_latency(self, handler: Handler, latency: Latency) -> Callable[[Call], Awaitable[Response]]:
        random, clock = self.state.random, self.world.clock

        async def delayed(call: Call) -> Response:
            slow = latency is DRAFT and random.random() < DRAFT_TAIL
            await clock.simulate_work(random.uniform(*(DRAFT_TAIL_S if slow else latency)))
            return await handler(call)

        return delayed

    def identify(self, call: Call) -> None:
        if call.operation in OPEN_OPERATIONS:
            body = call.json if isinstance(call.json, dict) else {}
            call.site = str(body.get("instance_id") or "")
        elif session := self._auth.session(call.bearer()):
            call.site = session.instance_id

    def admit(self, call: Call) -> None:
        if call.operation in OPEN_OPERATIONS:
            return
        session, now = self._auth.session(call.bearer()), self.world.clock.now()
        if session is None or session.expires <= now:
            raise application_error(401, "UNAUTHENTICATED", "Access token is missing, not valid or expired")
        if call.has_fault("revoked") or not self.state.installed(call.site):
            raise application_error(401, "APP_NOT_INSTALLED", "App is not installed on the site")
        if call.has_fault("no_scope"):
            raise ApiError(403, {"message": "", "details": {}})
        self.world.ledger.meter(f"wix/{call.site}", 1, now)
        options = self.world.options
        limit = self.world.per_minute(options.wix_rpm)
        if not self.state.site(call).window.take(limit, now, length_s=options.wix_window_s):
            self.world.ledger.count("wix.over_the_limit")
            raise self.rate_limit_error(call, None)

    def headers(self, call: Call) -> dict[str, str]:
        found = {"x-wix-request-id": f"{call.request_id}.simulated"}
        if (seen := call.request.headers.get("x-wix-consistent")) is not None:
            call.log_fields["consistent_sent"] = seen
        if call.request.method != "GET" and call.operation not in OPEN_OPERATIONS:
            found["x-wix-consistent"] = call.log_fields["consistent_given"] = call.request_id
        return found

    def rate_limit_error(self, call: Call, retry_after_s: float | None) -> ApiError:
        error = application_error(429, "RESOURCE_EXHAUSTED", "Too many requests for this site")
        if retry_after_s is not None:
            error.headers["retry-after"] = str(max(1, round(retry_after_s)))
        return error

    def error_body(self, status: int) -> Any:
        error: dict[str, Any] = {"code": "INTERNAL" if status >= 500 else "UNKNOWN", "description": "", "data": {}}
        return {"message": "Internal server error" if status >= 500 else "", "details": {"applicationError": error}}

    def report(self) -> dict[str, Any]:
        """Counters, and the drafts and posts that were created twice."""
        counters, state = self.world.ledger.counters, self.state
        busiest, peak = self.world.ledger.highest_peak("wix/")
        twice = [key for key, count in state.drafts_created.items() if count > 1]
        published_twice = [key for key, count in state.posts_published.items() if count > 1]
        shown = sorted({*twice, *published_twice})[:MOST_DUPLICATES_SHOWN]
        return {
            "sites": len(state.sites),
            "tokens_issued": counters["wix.tokens_issued"],
            "drafts_created": counters["wix.drafts_created"],
            "publish_calls": counters["wix.publish_calls"],
            "posts_published": counters["wix.posts_published"],
            "duplicate_drafts": sum(state.drafts_created[key] - 1 for key in twice),
            "duplicate_posts": sum(state.posts_published[key] - 1 for key in published_twice),
            "duplicates": [
                {
                    "site": site,
                    "title": title,
                    "drafts": state.drafts_created[site, title],
                    "posts": state.posts_published[site, title],
                }
                for site, title in shown
            ],
            "media_files": counters["wix.media_files"],
            "media_ready": counters["wix.media_ready"],
            "media_failed": counters["wix.media_failed"],
            "limit_requests_per_minute_of_a_site": self.world.per_minute(self.world.options.wix_rpm),
            "peak_requests_per_minute_of_a_site": peak,
            "busiest_site": busiest.removeprefix("wix/"),
            "requests_over_the_limit": counters["wix.over_the_limit"],
        }

    def posts(self, *, site: str = "") -> list[dict[str, Any]]:
        """All published posts, oldest first, as `gallery_entry` shows them."""
        found = [
            (draft.first_published or 0.0, one.instance_id, draft)
            for one in self.state.sites.values()
            for draft in one.drafts.values()
            if draft.published is not None and site in ("", one.instance_id)
        ]
        found.sort(key=lambda entry: entry[0])
        return [gallery_entry(self.state.sites[instance_id], draft) for _, instance_id, draft in found]

    def products(self, instance_id: str) -> dict[str, Any]:
        """The products of a site with their ids."""
        site = self.state.site_of(instance_id)
        products = [{"id": product_id(site, p), "slug": p.slug, "name": p.name} for p in PRODUCTS]
        return {"catalogVersion": site.catalog, "products": products}
