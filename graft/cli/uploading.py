"""A bar that shows how far an upload is."""

from pathlib import Path

from rich.progress import Progress, TaskID

from graft._upload import Sent

MB = 10**6


def told_of(progress: Progress, bar: TaskID, path: Path) -> Sent:
    """What moves a bar while a file or a folder is sent; a folder is packed first."""
    progress.update(bar, description=f"packing {path.name}" if path.is_dir() else f"uploading {path.name}")

    def sent(sent_bytes: int, size_bytes: int) -> None:
        done = f"uploading {path.name}: {sent_bytes / MB:.1f} of {size_bytes / MB:.1f} MB"
        said = done if sent_bytes < size_bytes else f"the service reads {path.name}"
        progress.update(bar, total=max(size_bytes, 1), completed=sent_bytes, description=said)

    return sent
