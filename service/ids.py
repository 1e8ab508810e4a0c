"""Ids: a prefix that says what it is, and 26 characters that sort by the moment they were made (ULID)."""

import os

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str, now_s: float) -> str:
    """A new id such as ``ds_01jd3k...``: 48 bits of milliseconds, then 80 random bits, in Crockford's base 32."""
    number = (int(now_s * 1000) << 80) | int.from_bytes(os.urandom(10))
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
