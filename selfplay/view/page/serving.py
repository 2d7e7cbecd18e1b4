"""The page's server: where it listens, who may ask it, and how it ends."""

import asyncio
import errno
import secrets
import socket
import webbrowser
from dataclasses import dataclass

import uvicorn

from selfplay.machine.errors import BUSY, USAGE, Refused
from selfplay.view.page.app import application
from selfplay.view.page.guard import LOOPBACK, Guard
from selfplay.view.page.library import Library
from selfplay.view.terminal import say


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen. Port 0: any that is free."""

    host: str = "127.0.0.1"
    port: int = 8642

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK or self.host.startswith("127.")


def serve(library: Library, place: Place, path: str, is_opened: bool) -> None:
    """Serves until Ctrl-C. Raises Refused where the port is taken or the host is none of this machine's.

    Beyond loopback whoever asks must bring a token, which only the printed address has.
    """
    listening = _listening(place)
    token = None if place.is_loopback else secrets.token_urlsafe(24)
    port = listening.getsockname()[1]
    named = place.host if not place.is_loopback and place.host not in ("0.0.0.0", "::") else _reachable(place)
    address = f"http://{named}:{port}{path}" + (f"?token={token}" if token else "")
    say(f"look at {address}    (Ctrl-C ends it)")
    if is_opened:
        webbrowser.open(address)
    guarded = Guard(application(library), token)
    settings = uvicorn.Config(guarded, log_level="warning", access_log=False, server_header=False, lifespan="off")
    asyncio.run(uvicorn.Server(settings).serve(sockets=[listening]))


def _reachable(place: Place) -> str:
    if place.is_loopback:
        return f"[{place.host}]" if ":" in place.host and not place.host.startswith("[") else place.host
    return socket.gethostname()


def _listening(place: Place) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((place.host.strip("[]"), place.port))
        made.listen(64)
        return made
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Refused(
                f"port {place.port} is taken, perhaps by another view: choose one with --port, or --port 0 for any",
                BUSY,
            ) from None
        reason = error.strerror or str(error)
        raise Refused(
            f"cannot listen on {place.host}:{place.port} ({reason}): choose another --host or --port", USAGE
        ) from None
