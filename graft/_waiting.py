"""Following a job to its end.

    events (SSE) --breaks--> polling, until the job is finished

The stream tells each change at once. When it breaks (a proxy, a restart), asking every second is enough; a service that
is being restarted is given a minute to come back, as its jobs go on from where they were.
"""

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from graft._calls import Calls
from graft._errors import ApiError, Busy, NotFound, Timeout, Unreachable
from graft._types import Job

SILENCE_S = 30.0
"""A stream without so much as a keep-alive for this long is taken for broken."""


@dataclass(frozen=True)
class Follower:
    """Follows jobs.

    Attributes:
        calls: How to call the service.
        every_s: Pause between two polls.
        patience_s: How long a service that has gone may stay away.
        clock: Monotonic seconds.
        sleep: Pauses.
    """

    calls: Calls
    every_s: float = 1.0
    patience_s: float = 60.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def follow(self, job_id: str, timeout_s: float | None = None) -> Iterator[Job]:
        """Yield the job at each change; the last one is finished.

        Raises:
            Timeout: It is not finished after `timeout_s`; it goes on in the service.
            NotFound: There is no such job.
            Unreachable: The service has been away for longer than `patience_s`.
        """
        deadline = None if timeout_s is None else self.clock() + timeout_s
        seen: Job | None = None
        with closing(self._states(job_id, deadline)) as states:
            for job in states:
                if job is not None and job != seen:
                    seen = job
                    yield job
                    if job.finished:
                        return
                if deadline is not None and self.clock() >= deadline:
                    raise _late(job_id, timeout_s)

    def _states(self, job_id: str, deadline: float | None) -> Generator[Job | None, None, None]:
        """States as they come to be known, and None whenever time has passed without one."""
        try:
            yield from self._stream(job_id, deadline)
        except NotFound:
            raise
        except (ApiError, Unreachable, Timeout):
            yield None
        yield from self._poll(job_id)

    def _stream(self, job_id: str, deadline: float | None) -> Iterator[Job | None]:
        left_s = SILENCE_S if deadline is None else max(0.01, deadline - self.clock())
        headers = {"Accept": "text/event-stream"}
        path = f"/v1/jobs/{quote(job_id, safe='')}/events"
        with self.calls.stream(path, read_timeout_s=min(SILENCE_S, left_s), headers=headers) as response:
            for event in events(response.iter_lines()):
                yield Job.from_json(event) if event else None

    def _poll(self, job_id: str) -> Iterator[Job | None]:
        last_heard = self.clock()
        while True:
            try:
                yield Job.from_json(self.calls.json("GET", f"/v1/jobs/{quote(job_id, safe='')}"))
                last_heard = self.clock()
            except (Unreachable, Busy, Timeout):
                if self.clock() - last_heard > self.patience_s:
                    raise
                yield None
            self.sleep(self.every_s)


def events(lines: Iterable[str]) -> Iterator[dict[str, Any] | None]:
    """Decode a stream of server-sent events that carry a job (``event: progress`` or ``event: end``).

    Yields:
        The object in each event's data, and None for a keep-alive or for data that is not a JSON object. The iterator
        ends after the event ``end``, or where the stream does.
    """
    name, data = "", []
    for line in lines:
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith(":"):
            yield None
        elif not line and (name or data):
            yield _object("\n".join(data))
            if name == "end":
                return
            name, data = "", []


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "id" in value and "state" in value else None


def _late(job_id: str, timeout_s: float | None) -> Timeout:
    return Timeout(
        f"Job {job_id} is not finished after {timeout_s or 0:g} s. It goes on; wait for it with client.jobs.wait."
    )
