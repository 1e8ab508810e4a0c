"""Ids: a prefix that says what it is, and 26 characters that sort by the moment they were made (ULID)."""

import os

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_SHIFTS = range(120, -1, -10)
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def new_id(prefix: str, now_s: float) -> str:
    """A new id such as ``ds_01jd3k...``: 48 bits of milliseconds, then 80 random bits, in Crockford's base 32."""
    number = (int(now_s * 1000) << 80) | int.from_bytes(os.urandom(10))
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def base32(number: int, chars: int) -> str:
    """The lowest `5 * chars` bits of a number in Crockford's base 32; texts of one length sort as their numbers do."""
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * (chars - 1), -1, -5))
