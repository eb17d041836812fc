"""What stands between the network and the routes: who is let in, how much they may send, and what a browser may do.

Pure ASGI: nothing is buffered, so event streams and large files pass as they are made.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diffuscope.server.problems import Refusal, answer, of_http
from diffuscope.server.settings import Settings, is_loopback

log = logging.getLogger("diffuscope.access")

COOKIE = "diffuscope_token"

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; script-src 'self'; "
    "worker-src 'self' blob:; connect-src 'self'; font-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        began, status, sent = time.monotonic(), 0, 0

        async def guarded(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in HEADERS if name not in present),
                ]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        body = _Body(receive, self.settings)
        try:
            redirect = self._check(scope)
            if redirect is not None:
                await guarded({"type": "http.response.start", "status": 303, "headers": redirect})
                await guarded({"type": "http.response.body", "body": b""})
            else:
                body.check(scope)
                await self.app(scope, body, guarded)
        except (Refusal, HTTPException) as error:
            if not status:
                told = error if isinstance(error, Refusal) else of_http(error)
                await answer(told)(scope, receive, guarded)
        finally:
            # No query (it may hold the token), no headers, no bodies.
            log.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "bytes": sent,
                    "seconds": round(time.monotonic() - began, 4),
                },
            )

    def _check(self, scope: Scope) -> list[tuple[bytes, bytes]] | None:
        """Whether a request may come in; headers of a redirect where it brought the token in its address.

        Raises:
            Refusal: it may not.
        """
        headers = {name.lower(): value for name, value in scope["headers"]}
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_ours(host):
            raise Refusal(
                403,
                f"this server is not known as {host[:80]!r}; names it is reached by go into its setting 'names'",
            )
        origin = headers.get(b"origin")
        site = headers.get(b"sec-fetch-site", b"none")
        if scope["method"] in CHANGING:
            foreign = origin is not None and not _same(origin.decode("latin-1"), host)
            if foreign or site == b"cross-site":
                raise Refusal(403, "another site's page may not change anything here")
        return self._check_token(scope, headers)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header is a name of this server: else a page elsewhere could reach it by a name that it has
        pointed at this address."""
        name = re.sub(r":\d+$", "", host).strip("[]").lower()
        allowed = {self.settings.host.strip("[]").lower(), *(each.lower() for each in self.settings.names)}
        if self.settings.token is not None and not self.settings.names:
            # Who listens at all addresses is reached by names that only the network knows; the token guards it.
            return bool(name)
        return is_loopback(name) or name in allowed

    def _check_token(self, scope: Scope, headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]] | None:
        secret = self.settings.secret
        if secret is None:
            return None
        given = headers.get(b"authorization", b"").decode("latin-1")
        kind, _, token = given.partition(" ")
        if kind.lower() == "bearer" and _equal(token.strip(), secret):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["method"] == "GET" and _equal(query.pop("token", [""])[0], secret):
            # Into a cookie that no script reads, and out of the address, its history and every log.
            rest = urlencode(query, doseq=True)
            place = scope.get("root_path", "") + scope["path"] + (f"?{rest}" if rest else "")
            place = "/" + place.lstrip("/\\")
            secure = "; Secure" if scope.get("scheme") == "https" else ""
            cookie = f"{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800{secure}"
            return [
                (b"location", place.encode("latin-1", "replace")),
                (b"set-cookie", cookie.encode()),
                (b"cache-control", b"no-store"),
            ]
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            cookies = SimpleCookie()
        if COOKIE in cookies and _equal(cookies[COOKIE].value, secret):
            return None
        raise Refusal(
            401,
            "this server needs its token: open it once with ?token=…, or send Authorization: Bearer …",
            headers={"WWW-Authenticate": "Bearer"},
        )


class _Body:
    """A request's body, refused where it is too large or too slow."""

    def __init__(self, receive: Receive, settings: Settings) -> None:
        self._receive, self._limits = receive, settings.limits
        self._read, self._until, self._whole = 0, 0.0, False

    def check(self, scope: Scope) -> None:
        """What the headers say of it. Raises Refusal."""
        self._until = time.monotonic() + self._limits.body_seconds
        headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        for name, value in headers:
            if name == b"content-length" and value.isdigit() and int(value) > self._limits.body_bytes:
                raise self._too_large()
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                raise Refusal(415, "send the body without compression")
        if scope["method"] == "POST":
            kinds = [value for name, value in scope["headers"] if name == b"content-type"]
            has_body = any(
                (name == b"content-length" and value != b"0") or name == b"transfer-encoding"
                for name, value in scope["headers"]
            )
            plain = kinds[0].split(b";")[0].strip().lower() if kinds else b""
            # A page elsewhere can make a browser send a form or plain text, but not JSON.
            if has_body and plain != b"application/json":
                raise Refusal(415, "send JSON: Content-Type: application/json")

    async def __call__(self) -> Message:
        if self._whole:  # From here on only "disconnected" comes, and that may take as long as it likes.
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                message: Any = await self._receive()
        except TimeoutError:
            said = f"the request's body took longer than {self._limits.body_seconds:g} s"
            raise HTTPException(408, said, {"Connection": "close"}) from None
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._read > self._limits.body_bytes:
                raise self._too_large()
        return dict(message)

    def _too_large(self) -> HTTPException:
        # An HTTPException and no Refusal: FastAPI, which reads bodies, lets those pass alone.
        said = f"a request may have {self._limits.body_bytes} bytes"
        return HTTPException(413, said, {"Connection": "close"})


def _same(origin: str, host: str) -> bool:
    return re.sub(r"^https?://", "", origin.lower()) == host.lower()


def _equal(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
