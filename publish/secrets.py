"""What secrets look like in bytes, even if escaped or encoded. Packed files are refused as a whole.

The table is our own: of the 33 kinds of keys in the tests, detect-secrets 1.5 finds 14 and kingfisher 2.14 six, and
neither finds a key that is escaped, base64 or packed. Each kind begins with fixed letters, which are searched for
first, and every repetition has a largest length, so that the time grows with the length of the file alone.
"""

import base64
import binascii
import contextlib
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

WINDOW = 3896  # bytes that follow the beginning of a secret of several lines at most; with it, 4,096 (contents.OVERLAP)
UNPACKED = 2**26  # bytes that a packed text of a PNG is read to
DEEPEST = 3  # encodings within encodings

LETTERS = re.compile(rb"[A-Za-z0-9]+")
PLACEHOLDER = re.compile(rb"EXAMPLE|example|your|YOUR|placeholder|xxxx|XXXX|\*\*\*|\.\.\.|<|\$\{?[A-Za-z(]|\{\{?")


# The shares below were chosen on the keys and the harmless lines of tests/test_publish_contents.py and on 371 files of
# tokenizers, data, cards and results: every key is found, and nothing in the others.
def is_random(rest: bytes) -> bool:
    """Return whether letters and digits look random: in words, upper case, lower case and digits seldom alternate."""
    if not is_varied(rest):
        return False
    runs = LETTERS.findall(rest)
    return any(len(run) >= 16 and _is_mixed(run) for run in runs) or _alternation(b"".join(runs)) >= 0.25


def _is_mixed(run: bytes) -> bool:
    digits = sum(letter < 58 for letter in run)
    all_three = digits and not run.isupper() and not run.islower()
    return bool(all_three) or digits >= max(4, 0.1 * len(run)) or _alternation(run) >= 0.12


def _alternation(run: bytes) -> float:
    """The share of neighbours of which one is a digit, an upper-case or a lower-case letter and the other is not."""
    kinds = [0 if letter < 58 else 1 if letter < 97 else 2 for letter in run]
    return sum(left != right for left, right in pairwise(kinds)) / max(1, len(run))


def is_varied(rest: bytes) -> bool:
    """Return whether it is more than a placeholder, for keys whose form alone identifies them."""
    return len(set(rest)) >= 8 and not PLACEHOLDER.search(rest)


def is_password(rest: bytes) -> bool:
    """Return whether it is none of the words that documentation puts in the place of a password."""
    words = {b"pass", b"passwd", b"password", b"pwd", b"secret", b"token", b"user", b"pw", b"key"}
    return rest.lower() not in words and not PLACEHOLDER.search(rest) and len(set(rest)) > 2


def is_key_block(rest: bytes) -> bool:
    """Whether the lines after the head of a private key hold one; `Name: value` lines and empty ones may come first."""
    rest = rest.partition(b"-----")[0]
    plain = re.sub(rb"\\+[nrt]|[\"'+,]", lambda found: b"\n" if found[0].startswith(b"\\") else b"", rest)
    lines = (line.strip() for line in plain.splitlines())
    first = next((line for line in lines if line and b": " not in line), b"")
    found = re.match(rb"[A-Za-z0-9+/=]{16,}", first)
    return found is not None and is_varied(found[0])


class Kind(NamedTuple):
    """A kind of secret: its name, how it begins, what follows, and whether that is genuine."""

    name: str
    start: bytes
    rest: re.Pattern[bytes]
    is_genuine: Callable[[bytes], bool]


# Name, beginnings, what follows (a group holds the secret if there is more), and the test for a genuine one.
TABLE: tuple[tuple[str, str, str, Callable[[bytes], bool]], ...] = (
    ("a Hub token", "hf_ api_org_", r"[A-Za-z0-9]{30,200}", is_random),
    ("a Hub token", "hf_oauth_ hf_jwt_", r"[\w.=-]{20,2000}", is_random),
    ("an API key of the form sk-…", "sk-", r"[\w-]{20,400}", is_random),
    ("an AWS key", "AKIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])", is_varied),
    ("an AWS key", "ASIA", r"(?=[A-Z]*[0-9])[A-Z0-9]{16}(?![A-Za-z0-9])", is_varied),
    ("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36,255}", is_random),
    ("a GitHub token", "github_pat_", r"\w{40,300}", is_random),
    ("a Slack token", "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs-", r"[A-Za-z0-9-]{20,300}", is_random),
    ("a Slack token", "xapp-", r"\d-[A-Za-z0-9-]{20,300}", is_random),
    ("a Slack token", "hooks.slack.com/", r"(?:services|workflows|triggers)/[A-Za-z0-9/]{30,200}", is_random),
    ("a JSON web token", "eyJ", r"[\w-]{8,4000}\.eyJ[\w-]{8,4000}\.[\w-]{16,4000}", is_varied),
    ("a password in an address", "://", r"[^\s/:@\"'<>\\]{1,100}:([^\s/@\"'<>\\]{3,200})@\w", is_password),
    ("a login of .netrc", "machine",
     r"\s{1,9}\S{1,200}\s{1,9}login\s{1,9}\S{1,200}\s{1,9}password\s{1,9}(\S{1,200})", is_password),
    ("a private key", "-----BEGIN",
     rf" [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----(.{{0,{WINDOW}}})", is_key_block),
    ("a private key", "PuTTY-User-Key-File-", rf"\d: .{{1,{WINDOW}}}?Private-Lines: \d", is_varied),
)  # fmt: skip
# Keys of other services: how they begin, and the least number of characters that follow.
SERVICES = {
    "AGE-SECRET-KEY-1": 50, "AIza": 33, "GOCSPX-": 24, "KGAT_": 20, "SG.": 60, "dapi": 32, "dckr_pat_": 24,
    "dop_v1_": 60, "fw_": 22, "glpat-": 20, "glptt-": 30, "glsa_": 32, "gsk_": 40, "hvs.": 24, "lin_api_": 32,
    "lsv2_pt_": 32, "lsv2_sk_": 32, "npm_": 36, "ntn_": 40, "nvapi-": 40, "pcsk_": 40, "pplx-": 40, "pypi-AgE": 50,
    "r8_": 36, "rk_live_": 20, "sbp_": 36, "sk_live_": 20, "sk_test_": 20, "shpat_": 32, "sq0atp-": 22, "tgp_v1_": 30,
    "wandb_v1_": 30, "whsec_": 24, "xai-": 40, "ya29.": 40,
}  # fmt: skip
KINDS = [
    Kind(name, start.encode(), re.compile(rest.encode(), re.DOTALL), is_genuine)
    for name, starts, rest, is_genuine in (
        *TABLE,
        *((f"an API key of the form {start}…", start, rf"[\w.-]{{{least},300}}", is_random)
          for start, least in SERVICES.items()),
    )
    for start in starts.split()
]  # fmt: skip

# A letter or digit before a key belongs to a word (`task-…` ends with `sk-`), unless it ends an escape of JSON, Python,
# an URL or a terminal, or the whole word is glued to the key (`Bearerhf_…`), which base64 is not.
LOOK_BACK = 24  # bytes, enough for the longest escape and for a word with its boundary
ESCAPE = re.compile(
    rb"(?:\\[abefnrtv0]|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\x[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}"
    rb"|(?:\x1b|\\x1b|\\u001b|\\033|\\e)\[[0-9;]{0,12}[A-Za-z])$"
)
GLUED = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z]{1,12}$")

# A value under a name that says what it is: `WANDB_API_KEY=…`, `"aws_secret_access_key": "…"`, `AccountKey=…`.
HINT = re.compile(rb"[kK]ey|KEY|[tT]oken|TOKEN|[sS]ecret|SECRET|[pP]assword|PASSWORD")
NAMED = re.compile(
    rb"(?:api[_-]?key|secret[_-]?access[_-]?key|secret[_-]?key|client[_-]?secret|access[_-]?token|auth[_-]?token"
    rb"|account[_-]?key|_token|_secret|_password)"
    rb"(?:\\?[\"'])?[ \t]{0,9}[:=][ \t]{0,9}(?:\\?[\"'])?([A-Za-z0-9/+=_-]{20,200})(?![A-Za-z0-9_.(\[])",
    re.IGNORECASE,
)
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{40,}={0,2}")
PRINTABLE = bytes([0, 9, 10, 13, 27, *range(32, 127)])
PRINTABLE_RUNS = re.compile(rb"[\t\n\r\x1b\x20-\x7e]{8,}")


def kinds_in(chunk: bytes, depth: int = 0) -> set[str]:
    """Return the kinds of secrets in a part of a file."""
    text = _readable(chunk)
    found = {kind.name for kind in KINDS if _contains(text, kind)}
    if HINT.search(text) and any(_is_key(value) for value in NAMED.findall(text)):
        found.add("a key under its name")
    if depth < DEEPEST:
        for inside in (*_decoded(text), *_png_texts(chunk)):
            found |= kinds_in(inside, depth + 1)
    return found


def _readable(chunk: bytes) -> bytes:
    """Return the text in a chunk: one byte for each character of UTF-16, and the printable runs of binary data."""
    if chunk.count(0) > len(chunk) // 4:
        chunk = chunk.replace(b"\0", b"")
    if len(chunk.translate(None, PRINTABLE)) > len(chunk) // 16:
        return b"\n".join(PRINTABLE_RUNS.findall(chunk))
    return chunk


def _contains(text: bytes, kind: Kind) -> bool:
    at = text.find(kind.start)
    while at >= 0:
        if _begins(text, at, kind.start):
            rest = kind.rest.match(text, at + len(kind.start))
            if rest and kind.is_genuine(rest[rest.lastindex or 0]):
                return True
        at = text.find(kind.start, at + 1)
    return False


def _begins(text: bytes, at: int, start: bytes) -> bool:
    """Return whether a key may begin here, rather than continue a word."""
    if not start[:1].isalnum() or not text[max(0, at - 1) : at].isalnum():
        return True
    before = text[max(0, at - LOOK_BACK) : at]
    return ESCAPE.search(before) is not None or (start.endswith(b"_") and GLUED.search(before) is not None)


def _is_key(value: bytes) -> bool:
    """Return whether a named value is random: paths and names of programs are not."""
    return is_random(value) and re.search(rb"\d", value) is not None and value.count(b"/") < 4 and b"__" not in value


def _decoded(text: bytes) -> Iterator[bytes]:
    """Yield the base64 in a text, decoded, if that is readable."""
    for found in BASE64.finditer(text):
        plain = found[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        for start in range(4):  # the letter of an escape may come first
            part = plain[start:]
            part = part[:-1] if len(part) % 4 == 1 else part + b"=" * (-len(part) % 4)
            with contextlib.suppress(binascii.Error):
                decoded = base64.b64decode(part)
                if len(decoded.translate(None, PRINTABLE)) <= len(decoded) // 8:
                    yield decoded


def _png_texts(chunk: bytes) -> Iterator[bytes]:
    """Yield the packed texts of a PNG."""
    for text in re.finditer(rb"[zi]TXt", chunk if chunk.startswith(b"\x89PNG") else b""):
        # zlib data begins with an x, after a keyword and a language; no other x can be unpacked.
        for begin in re.finditer(b"x", chunk[text.end() : text.end() + 300]):
            with contextlib.suppress(zlib.error):
                yield zlib.decompressobj().decompress(chunk[text.end() + begin.start() :], UNPACKED)
