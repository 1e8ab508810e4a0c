"""Every image and sound of an upload is decoded once, so that what is stored can be embedded.

One pool of threads does it for all uploads of the process: as many as there are cores, whoever uploads. Pillow and
libsndfile let go of Python's lock while they decode.
"""

import io
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache

from models.errors import WrongInput
from service.cores import available_cores
from service.errors import UploadTooLarge, UploadUnreadable
from service.uploads.cells import Bad
from service.uploads.limits import Limits
from service.uploads.media import HEAD_BYTES, NOUNS, Medium, kind_of

_AHEAD = 4
"""Files for each thread that are in memory before they are decoded."""

_LARGE_PIXELS = 8_000_000
_large = threading.Lock()
"""Large images are decoded one at a time: one of 100 million pixels takes 700 MB while it is."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may become an item.

    Attributes:
        name: Its path.
        read: Gives at most so many of its bytes, and raises `UploadUnreadable` where they are damaged; or says why
            there is nothing to read.
    """

    name: str
    read: Callable[[int], bytes] | Bad


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file that can be decoded.

    Attributes:
        data: Its bytes.
        format: Such as ``jpeg``.
        size: Pixels of an image, seconds of a sound.
    """

    data: bytes
    format: str
    size: float


def decode_all(candidates: Iterable[Candidate], medium: Medium, limits: Limits) -> Iterator[Decoded | Bad]:
    """Reads and decodes files, in order. Blocks.

    Args:
        candidates: The files; each is read when its turn comes.
        medium: What they should be.
        limits: How large one, and all together, may be.

    Raises:
        UploadTooLarge: Together they have more bytes than an upload may.

    Cost: that of decoding, over all cores; in memory the bytes of all files, and the pixels of one a core.
    """
    waiting: deque[Future[Decoded | Bad]] = deque()
    total_bytes = 0
    pool = _pool()
    for candidate in candidates:
        data = _read(candidate, limits)
        total_bytes += 0 if isinstance(data, Bad) else len(data)
        if total_bytes > limits.bytes:
            raise UploadTooLarge(
                f"The files have more than {limits.bytes} bytes together, which is the limit. "
                "Send fewer or smaller files."
            )
        waiting.append(pool.submit(_checked, data, candidate.name, medium, limits))
        if len(waiting) > _AHEAD * available_cores():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="upload-decode")


def _read(candidate: Candidate, limits: Limits) -> bytes | Bad:
    if isinstance(candidate.read, Bad):
        return candidate.read
    try:
        data = candidate.read(limits.file_bytes + 1)
    except UploadUnreadable as error:
        return Bad(error.message)
    if len(data) > limits.file_bytes:
        return Bad(f"the file has more than {limits.file_bytes} bytes, which is the limit for one")
    return data


def _checked(data: bytes | Bad, name: str, medium: Medium, limits: Limits) -> Decoded | Bad:
    if isinstance(data, Bad):
        return data
    kind = kind_of(data[:HEAD_BYTES], name)
    if kind is not None and kind.medium != medium:
        return Bad(f"it is {_article(kind.medium)}, and the others are {NOUNS[medium]}s")
    try:
        size = _image_pixels(data, limits) if medium == "image" else _sound_seconds(data, limits)
    except WrongInput as error:
        return Bad(error.message)
    return Decoded(data, (kind.format if kind else "") or "other", size)


def _article(medium: Medium) -> str:
    return "an image" if medium == "image" else "a sound"


def _image_pixels(data: bytes, limits: Limits) -> int:
    from models.images.files import ImageLimits, open_image

    with _large if _pixels_said(data) > _LARGE_PIXELS else nullcontext():
        return int(open_image(data, ImageLimits(pixels=limits.pixels)).size) // 3


def _pixels_said(data: bytes) -> int:
    """What the header says; 0 where it cannot be read, which decoding will tell better."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size[0] * image.size[1]
    except Exception:  # damaged headers make Pillow raise nearly anything
        return 0


def _sound_seconds(data: bytes, limits: Limits) -> float:
    from models.audio.sounds import SoundLimits, sound_facts

    return sound_facts(data, SoundLimits(seconds=limits.seconds)).seconds
