"""Files to be sent: how they are read, hashed, and filled in with the namespace."""

import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Content = Path | bytes  # a file that is sent as it is, or one that is generated here
NAMESPACE = re.compile(r"\bNAMESPACE\b")  # in recipes, cards and the Space: the user or organisation that publishes


def open_content(content: Content) -> io.BytesIO | io.BufferedReader:
    """Return the content as an open binary file."""
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def size_of(content: Content) -> int:
    """Return the bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def sha256(*contents: Content) -> str:
    """Return the SHA-256 of a file, or of several files one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for content in contents:
        with open_content(content) as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def bytes_of(content: Content) -> bytes:
    """Return the whole content."""
    return content if isinstance(content, bytes) else content.read_bytes()


def text_of(content: Content) -> str:
    """Return the text of a UTF-8 file, without a byte order mark."""
    return bytes_of(content).decode("utf-8-sig")


def with_namespace(content: Content, namespace: str) -> Content:
    """A text file with the namespace filled in and without a byte order mark; the content itself if nothing changes."""
    try:
        filled = NAMESPACE.sub(lambda _: namespace, text_of(content)).encode()
    except UnicodeDecodeError:  # an image, for example
        return content
    return content if filled == bytes_of(content) else filled


def read_json(path: Path, problems: list[str], kind: type = dict) -> Any:
    """Return the mapping (or the list) in a JSON file; an empty one, with a line in `problems`, if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"{path}: no such file.")
        return kind()
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, kind):
        problems.append(f"{path}: not the JSON that belongs here. Create it again.")
        return kind()
    return content


def first(names: Sequence[str], shown: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
