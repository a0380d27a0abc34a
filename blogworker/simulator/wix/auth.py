"""Access tokens of the app on its sites, and the data of an installation."""

import secrets
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from blogworker.simulator.edge import Call
from blogworker.simulator.wix.errors import oauth_error
from blogworker.simulator.wix.state import WixState

MOST_TOKENS = 50_000
LEGACY_LIFE_S = 300.0


@dataclass(frozen=True, slots=True)
class Session:
    """The site and the app of a token. `expires` is in real seconds on the simulator's clock."""

    instance_id: str
    client_id: str
    expires: float


class Auth:
    """Issues tokens and keeps their sessions."""

    def __init__(self, state: WixState) -> None:
        self._state = state
        self._sessions: dict[str, Session] = {}

    def session(self, token: str) -> Session | None:
        return self._sessions.get(token)

    async def token(self, call: Call) -> Response:
        """The grant `client_credentials` for one instance id. `expires_in` is in real seconds."""
        body = call.json if isinstance(call.json, dict) else {}
        if body.get("grant_type") != "client_credentials":
            raise oauth_error("unsupported_grant_type", "grant_type must be client_credentials")
        instance_id = body.get("instance_id")
        client_id, client_secret = body.get("client_id"), body.get("client_secret")
        if not all(isinstance(value, str) and value for value in (instance_id, client_id, client_secret)):
            raise oauth_error("invalid_request", "client_id, client_secret and instance_id are required")
        return self._grant(call, str(instance_id), str(client_id), str(client_secret))

    def _grant(self, call: Call, instance_id: str, client_id: str, secret: str) -> Response:
        options = self._state.world.options
        if (options.wix_app_id and client_id != options.wix_app_id) or (
            options.wix_secret and secret != options.wix_secret
        ):
            raise oauth_error("invalid_client", "Client authentication failed", 401)
        if call.has_fault("revoked") or not self._state.installed(instance_id):
            raise oauth_error("invalid_grant", "App is not installed on the site of this instance")
        return JSONResponse(self._issue(instance_id, client_id, options.wix_token_life_s) | {"token_type": "Bearer"})

    async def legacy_token(self, call: Call) -> Response:
        """The old grant `refresh_token`. The refresh token is the instance id."""
        body = call.json if isinstance(call.json, dict) else {}
        instance_id = body.get("refresh_token")
        if body.get("grant_type") != "refresh_token" or not isinstance(instance_id, str):
            raise oauth_error("invalid_request", "refresh_token is required")
        if call.has_fault("revoked") or not self._state.installed(instance_id):
            raise oauth_error("invalid_grant", "Refresh token is not valid")
        issued = self._issue(instance_id, str(body.get("client_id", "")), LEGACY_LIFE_S)
        return JSONResponse({"access_token": issued["access_token"], "refresh_token": instance_id})

    def _issue(self, instance_id: str, client_id: str, life_s: float) -> dict[str, Any]:
        clock = self._state.world.clock
        life = clock.real_seconds(life_s)
        token = f"OauthNG.JWS.{secrets.token_urlsafe(32)}"
        self._remove_expired()
        self._sessions[token] = Session(instance_id, client_id, clock.now() + life)
        self._state.world.ledger.count("wix.tokens_issued")
        return {"access_token": token, "expires_in": max(1, int(life))}

    def _remove_expired(self) -> None:
        if len(self._sessions) >= MOST_TOKENS:
            now = self._state.world.clock.now()
            self._sessions = {token: s for token, s in self._sessions.items() if s.expires > now}

    async def token_info(self, call: Call) -> Response:
        token = call.json.get("token") if isinstance(call.json, dict) else None
        session, clock = self._sessions.get(str(token)), self._state.world.clock
        if session is None or session.expires <= clock.now():
            return JSONResponse({"active": False})
        expires = int(clock.wall_time(session.expires).timestamp())
        found = {"active": True, "subjectType": "APP", "subjectId": session.client_id, "exp": str(expires)}
        return JSONResponse(found | {"clientId": session.client_id, "instanceId": session.instance_id})

    async def instance(self, call: Call) -> Response:
        site = self._state.site(call)
        app = {
            "instanceId": site.instance_id,
            "appName": "blogworker",
            "appVersion": "1.0.0",
            "isFree": True,
            "permissions": [
                "SCOPE.DC-BLOG.MANAGE-BLOG",
                "SCOPE.DC-MEDIA.MANAGE-MEDIAMANAGER",
                "SCOPE.DC-MEMBERS.MANAGE",
            ],
        }
        about = {
            "siteId": site.stable_id("site"),
            "siteDisplayName": f"Site {site.instance_id[:8]}",
            "url": site.base_url,
            "locale": "en",
            "paymentCurrency": "USD",
            "ownerInfo": {"email": site.owner_email, "emailStatus": "VERIFIED"},
            "installedWixApps": ["blog", "stores", "members"],
        }
        return JSONResponse({"instance": app, "site": about})
