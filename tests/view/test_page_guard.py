"""Who may ask for a page, and what a browser is told: around any application, without a server."""

import asyncio
from typing import Any

import pytest

from selfplay.view.page.guard import COOKIE, Guard


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"inside"})


def ask(
    token: str | None = None, method: str = "GET", path: str = "/", query: str = "", **headers: str
) -> tuple[int, dict, bytes]:
    """(status, headers, body) of one request; `host` is localhost unless given."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    named = {"host": "localhost:8642"} | headers
    pairs = [(name.encode(), value.encode()) for name, value in named.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": pairs}
    asyncio.run(Guard(_app, token)(scope, receive, send))
    return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, sent[1]["body"]


@pytest.mark.parametrize("host", ["localhost", "localhost:8642", "127.0.0.1:80", "[::1]:8642", "LOCALHOST:1"])
def test_names_of_this_machine_are_let_in(host: str) -> None:
    assert ask(host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8642", "localhost.evil.example", "127.0.0.1.evil", "", "::ffff"]
)
def test_a_name_that_was_rebound_to_this_machine_is_not(host: str) -> None:
    status, _, body = ask(host=host)
    assert status == 421 and body != b"inside"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(method: str) -> None:
    assert ask(method=method)[0] == 405


def test_every_answer_forbids_inline_script_frames_and_other_sites() -> None:
    for status, headers, _ in (ask(), ask(host="evil.example"), ask(method="POST"), ask(token="t")):
        policy = headers["content-security-policy"]
        script = next(part for part in policy.split("; ") if part.startswith("script-src"))
        assert (
            script == "script-src 'self'" and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        ), status
        assert not [name for name in headers if name.startswith("access-control")]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_beyond_loopback_a_token_is_asked_for_and_then_kept_in_a_cookie() -> None:
    for given in ("", "token=", "token=wrong", "token=secret2"):
        assert ask("secret", query=given, host="machine:8642")[0] == 403
    status, headers, _ = ask("secret", path="/runs/x", query="a=b&token=secret", host="machine:8642")
    assert (status, headers["location"]) == (303, "/runs/x?a=b")
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=Strict" in headers["set-cookie"]
    assert ask("secret", host="machine:8642", cookie=f"{COOKIE}=secret")[0] == 200
    for cookie in (f"{COOKIE}=wrong", f"{COOKIE}=", "nonsense;;==", "other=secret"):
        assert ask("secret", host="machine:8642", cookie=cookie)[0] == 403


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///x"])
def test_the_way_on_never_leads_to_another_site(path: str) -> None:
    _, headers, _ = ask("secret", path=path, query="token=secret")
    assert headers["location"].startswith("/") and not headers["location"].startswith(("//", "/\\"))
