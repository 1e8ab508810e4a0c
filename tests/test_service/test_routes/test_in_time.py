"""A body has so much time to come; what follows it has as much as it likes."""

import asyncio

import pytest

from service.errors import BodyTooSlow, status_of
from service.routes.in_time import InTime

SCOPE = {"type": "http"}


async def nothing(_message):
    """Nobody reads the answer."""


def pieces(*messages, pause_s=0.0):
    left = list(messages)

    async def receive():
        await asyncio.sleep(pause_s)
        return left.pop(0)

    return receive


async def read(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def test_a_body_in_time_comes_whole():
    seen = []

    async def app(scope, receive, send):
        seen.append(await read(receive))

    messages = [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.request", "body": b"b"}]
    await InTime(app)(SCOPE, pieces(*messages), nothing)
    assert seen == [b"ab"]


async def test_a_body_that_trickles_is_ended_by_the_whole_time_and_not_by_each_piece():
    async def app(scope, receive, send):
        await read(receive)

    trickle = pieces(*[{"type": "http.request", "body": b"x", "more_body": True}] * 100, pause_s=0.02)
    with pytest.raises(BodyTooSlow, match=r"0\.1 s") as caught:
        await asyncio.wait_for(InTime(app, 0.1)(SCOPE, trickle, nothing), 10)
    assert status_of(caught.value) == 408


async def test_waiting_for_the_caller_to_hang_up_has_no_limit():
    async def app(scope, receive, send):
        await read(receive)
        assert (await receive())["type"] == "http.disconnect"

    async def receive():
        if first:
            return first.pop()
        await asyncio.sleep(0.2)
        return {"type": "http.disconnect"}

    first = [{"type": "http.request", "body": b"x"}]
    await InTime(app, 0.05)(SCOPE, receive, nothing)
