"""A small load generator, for machines without wrk and for sending each call exactly once.

    python -m benchmarks.closed_loop http://127.0.0.1:3000 calls --clients 32 [--seconds 10]

Each client keeps one connection and sends its next call when its last is answered. Prints one line of JSON.
"""

import argparse
import asyncio
import json
import math
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import httptools


class Client(asyncio.Protocol):
    """One client's connection: the next call leaves when the last answer is whole."""

    def __init__(self, calls: Iterator[bytes], seconds: list[float]) -> None:
        self.errors = 0
        self.done = asyncio.get_running_loop().create_future()
        self._calls = calls
        self._seconds = seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Count one answer, as the parser sees its end."""
        self._seconds.append(time.perf_counter() - self._sent)
        self.errors += not 200 <= self._parser.get_status_code() < 300
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """A connection that the server closed ends its client: what it had asked is not answered."""
        del error
        if not self.done.done():
            self.errors += 1
            self.done.set_result(None)

    def _send(self) -> None:
        call = next(self._calls, None)
        if call is None:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._sent = time.perf_counter()
        self._transport.write(call)


def read_calls(path: Path, host: str) -> list[bytes]:
    """The file of calls as whole requests."""
    calls = []
    for line in path.read_text(encoding="utf-8").splitlines():
        where, _, body = line.partition("\t")
        head = f"POST {where} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        calls.append(f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode())
    return calls


def until(calls: Iterator[bytes], deadline: float) -> Iterator[bytes]:
    """Calls until a moment of `time.perf_counter`."""
    while time.perf_counter() < deadline:
        yield next(calls)


def percentile(sorted_values: list[float], share: float) -> float:
    """Nearest rank; 0 without values."""
    return sorted_values[math.ceil(share * len(sorted_values)) - 1] if sorted_values else 0.0


async def run(url: str, path: Path, clients: int, seconds: float | None) -> dict[str, float]:
    """Send for some seconds, or each call once."""
    where = urlsplit(url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    requests = read_calls(path, where.netloc)
    started = time.perf_counter()
    calls = iter(requests) if seconds is None else until(cycle(requests), started + seconds)
    answered: list[float] = []
    loop = asyncio.get_running_loop()
    made = [loop.create_connection(lambda: Client(calls, answered), host, port) for _ in range(clients)]
    protocols = [protocol for _, protocol in await asyncio.gather(*made)]
    await asyncio.gather(*(protocol.done for protocol in protocols))
    elapsed, ranked = time.perf_counter() - started, sorted(answered)
    return {
        "requests": len(answered),
        "seconds": elapsed,
        "errors": sum(protocol.errors for protocol in protocols),
        "p50_ms": 1000 * percentile(ranked, 0.50),
        "p99_ms": 1000 * percentile(ranked, 0.99),
    }


def main() -> None:
    """Run, print one line."""
    parser = argparse.ArgumentParser(description="A closed loop of clients over the calls of a file.")
    parser.add_argument("url")
    parser.add_argument("calls", type=Path, help="one call a line: path, tab, JSON body")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, help="send round and round for so long; without, each call once")
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(run(chosen.url, chosen.calls, chosen.clients, chosen.seconds))))


if __name__ == "__main__":
    main()
