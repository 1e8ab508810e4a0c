"""The key that comes with a request: where it belongs, and where it does not."""

import re
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from service.errors import AuthorizationRepeated, KeyMisplaced, Unauthorized

NAMES = frozenset({"key", "api_key", "apikey", "api-key", "token", "access_token"})
"""Parameters in which other services take a key; no route here has one of these names."""

HOW = "Send the header 'Authorization: Bearer <key>' (graft and graft.Client take the key from GRAFT_KEY)"
REFUSED = f"The key is unknown, wrong or revoked. {HOW}; whoever manages keys can make one: graft keys create."

_KEY = re.compile(r"graft_[0-9a-z]{12}_")
_BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)


def refuse_in_query(query: bytes) -> None:
    """Refuse a request that has a key in its URL.

    Raises:
        KeyMisplaced: It has; what it is is not repeated.
    """
    if not query:
        return
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name.lower() in NAMES or _KEY.search(value) or _KEY.search(name):
            raise KeyMisplaced(
                "There is a key in the query string. It may stand in logs and histories now: revoke it (graft keys "
                f"revoke <id>) and make a new one. {HOW}."
            )


def bearer(headers: Headers) -> str:
    """The text of the key that a request comes with.

    Raises:
        Unauthorized: There is none, or the header is something else.
        AuthorizationRepeated: There are several.
    """
    given = headers.getlist("authorization")
    if not given:
        raise Unauthorized(f"This service needs a key, and the request has none. {HOW}.")
    if len(given) > 1:
        raise AuthorizationRepeated(f"The request has {len(given)} Authorization headers; send exactly one.")
    match = _BEARER.fullmatch(given[0])
    if match is None:
        raise Unauthorized(f"The Authorization header does not hold a bearer token. {HOW}.")
    return match[1]
