"""Who may ask for a page, and what a browser may do with it.

Problem text and completions are a model's and hostile; so is any page that is open in the same browser. What the page
sends cannot run code of a text (Content-Security-Policy, autoescape), cannot be read from another site (no CORS, and a
`Host` that is a name of this machine's own, against DNS rebinding), and changes nothing: only GET and HEAD are
answered.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
COOKIE = "selfplay_view"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Plotly sets styles of the elements that it makes; no script
        "img-src 'self' data: blob:",  # pictures that the reader saves
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True, slots=True)
class Guard:
    """Around the application. `token` None: only loopback names are hosts, and nobody is asked for one."""

    app: App
    token: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token")
        if self.token is not None and given is not None:  # keep it in a cookie, and out of the address
            rest = [pair for pair in parse_qsl(scope["query_string"].decode("latin-1")) if pair[0] != "token"]
            place = scope["path"] + (f"?{urlencode(rest)}" if rest else "")
            cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            headers = [(b"location", _one_place(place)), (b"set-cookie", cookie.encode())]
            await _answer(send, 303, "to the page", headers)
            return
        await self.app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "this page only shows: ask with GET"
        if self.token is None:
            if _host(headers.get("host", "")) not in LOOPBACK:
                return 421, "this page answers to localhost and 127.0.0.1 alone"
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        given = query.get("token") or _cookie(headers.get("cookie", ""))
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return 403, "open the address that python -m selfplay.view printed: it has the token that is asked for here"
        return None


def _host(value: str) -> str:
    """The name in a Host header, without the port."""
    name, colon, port = value.rpartition(":")
    return name.lower() if colon and port.isdigit() else value.lower()


def _one_place(path: str) -> bytes:
    """A path on this server alone: `//other.site` would lead away."""
    return ("/" + path.lstrip("/\\")).encode("ascii", "ignore").replace(b"\r", b"").replace(b"\n", b"")


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in HEADERS}
            kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in own]
            cached = [pair for pair in message.get("headers", ()) if pair[0].lower() == b"cache-control"]
            ours = [pair for pair in HEADERS if not (cached and pair[0] == b"cache-control")]
            message = {**message, "headers": [*kept, *cached, *ours]}
        await send(message)

    return sent


async def _answer(send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    body = f"{text}\n".encode()
    own = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    start = {"type": "http.response.start", "status": status, "headers": [*own, *HEADERS, *(headers or [])]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
