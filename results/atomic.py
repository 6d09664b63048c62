"""Files that a reader finds whole or not at all, whatever becomes of their writer."""

import os
import uuid
from pathlib import Path


def write(path: Path, content: str | bytes) -> None:
    """Write a file in place of an earlier one; its folder is made where it is missing.

    Args:
        path: of the file.
        content: text goes out as UTF-8.

    Raises:
        OSError: it cannot be written; an earlier file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
