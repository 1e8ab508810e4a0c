"""A body that does not come must not hold a place for ever: from the first byte to the last there is so much time."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooSlow

BODY_S = 120.0
"""The slowest body that is still taken: 100 MiB over a line of 7 Mbit/s."""


class InTime:
    """Ends requests whose body has not come after some seconds. Answers may take as long as they do."""

    def __init__(self, app: ASGIApp, seconds: float = BODY_S) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        deadline_s = asyncio.get_running_loop().time() + self._seconds
        whole = False

        async def in_time() -> Message:
            nonlocal whole
            if whole:  # from here on it is waited for the caller to hang up
                return await receive()
            try:
                async with asyncio.timeout_at(deadline_s):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlow(
                    f"The body was not there after {self._seconds:g} s, which is the limit; send less at once, or over "
                    "a faster line."
                ) from None
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, in_time if scope["type"] == "http" else receive, send)
