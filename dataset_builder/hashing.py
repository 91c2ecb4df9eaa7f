"""Stable hashes: seeds, random draws and fingerprints that do not depend on order or process."""

import hashlib
import json
from pathlib import Path
from typing import Any


def stable_hash(*parts: object) -> int:
    """Return a 31-bit number from the parts: seeds and draws come from it, so that they do not depend on any order."""
    # A separator that no part contains: ("ab", "c") and ("a", "bc") differ.
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def is_drawn(share: float, *parts: object) -> bool:
    """Return whether something belongs to a share of all, by the hash of its parts."""
    return stable_hash(*parts) < share * 2**31


def fingerprint(value: Any) -> str:
    """Return a short stable hash (16 hex digits) of anything that JSON can hold: recipes, prompts, rows."""
    # Keys are sorted, so that the order of a recipe's keys does not matter.
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
