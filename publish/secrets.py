"""What secrets look like in bytes, also where these are escaped, encoded or packed. No expression is super-linear.

Of 33 kinds of keys, detect-secrets 1.5 finds 14 and none of the Hub's, OpenAI's, Anthropic's or Google's, so the table
is our own. A kind begins with fixed letters, which are looked for first; what follows has a largest length.
"""

import base64
import binascii
import bz2
import contextlib
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

WINDOW = 4096  # bytes in which a secret of several lines lies
UNPACKED = 2**26  # bytes that are looked at of a packed file
MEMBERS = 100  # of an archive
DEEPEST = 3  # of encodings in encodings

LETTERS = re.compile(rb"[A-Za-z0-9]+")
# What ends with a letter or a digit and is no part of a word: an escape of JSON or Python, of an URL, of a terminal.
ESCAPE = re.compile(
    rb"(?:\\[abefnrtv0]|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\x[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}"
    rb"|(?:\x1b|\\x1b|\\u001b|\\033|\\e)\[[0-9;]{0,12}[A-Za-z])$"
)
GLUED = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z]{1,12}$")  # `Bearerhf_…`: a word, and no piece of base64
LOOKED_BACK = 24
PLACEHOLDER = re.compile(rb"EXAMPLE|example|your|YOUR|placeholder|xxxx|XXXX|\*\*\*|\.\.\.|<|\$\{?[A-Za-z(]|\{\{?")


def is_random(rest: bytes) -> bool:
    """Whether letters and digits are drawn rather than written: words change between cases and digits seldom."""
    if len(set(rest)) < 8 or PLACEHOLDER.search(rest):
        return False
    runs = LETTERS.findall(rest)
    return any(len(run) >= 16 and _is_mixed(run) for run in runs) or _changes(b"".join(runs)) >= 0.25


def _is_mixed(run: bytes) -> bool:
    digits = sum(letter < 58 for letter in run)
    three = digits and not run.isupper() and not run.islower()
    return bool(three) or digits >= max(4, 0.1 * len(run)) or _changes(run) >= 0.12


def _changes(run: bytes) -> float:
    """How often letters, capitals and digits follow each other, of all neighbours."""
    kinds = [0 if letter < 58 else 1 if letter < 97 else 2 for letter in run]
    return sum(one != other for one, other in pairwise(kinds)) / max(1, len(run))


def is_varied(rest: bytes) -> bool:
    """Whether it is more than a placeholder, where the form alone tells a key."""
    return len(set(rest)) >= 8 and not PLACEHOLDER.search(rest)


def is_password(rest: bytes) -> bool:
    """Whether the password of an address is none of those that stand for one."""
    words = {b"pass", b"passwd", b"password", b"pwd", b"secret", b"token", b"user", b"pw", b"key"}
    return rest.lower() not in words and not PLACEHOLDER.search(rest) and len(set(rest)) > 2


def is_written_out(rest: bytes) -> bool:
    """Whether the lines after the head of a private key hold one: `Name: value` lines and blank ones may come first."""
    rest = rest.partition(b"-----")[0]
    plain = re.sub(rb"\\+[nrt]|[\"'+,]", lambda found: b"\n" if found[0].startswith(b"\\") else b"", rest)
    lines = (line.strip() for line in plain.splitlines())
    first = next((line for line in lines if line and b": " not in line), b"")
    found = re.match(rb"[A-Za-z0-9+/=]{16,}", first)
    return found is not None and is_varied(found[0])


class Kind(NamedTuple):
    """What a kind of secret is called, the letters it begins with, what follows, and when that is genuine."""

    name: str
    start: bytes
    rest: re.Pattern[bytes]
    genuine: Callable[[bytes], bool]


def _kinds() -> Iterator[Kind]:
    word = rb"[A-Za-z0-9]"
    hub, api, github, slack = "a Hub token", "an API key of the form sk-…", "a GitHub token", "a Slack token"
    table: list[tuple[str, bytes, bytes, Callable[[bytes], bool]]] = [
        (hub, b"hf_", word + rb"{30,200}", is_random),
        (hub, b"hf_oauth_", rb"[\w.=-]{20,2000}", is_random),
        (hub, b"hf_jwt_", rb"[\w.=-]{20,2000}", is_random),
        (hub, b"api_org_", word + rb"{30,200}", is_random),
        (api, b"sk-", rb"[\w-]{20,400}", is_random),
        ("an AWS key", b"AKIA", rb"[A-Z0-9]{16}(?![A-Za-z0-9])", is_varied),
        ("an AWS key", b"ASIA", rb"(?=[A-Z]*[0-9])[A-Z0-9]{16}(?![A-Za-z0-9])", is_varied),
        (github, b"github_pat_", rb"\w{40,300}", is_random),
        *((github, b"gh%c_" % letter, word + rb"{36,255}", is_random) for letter in b"pousr"),
        *((slack, b"xox%c-" % letter, rb"[A-Za-z0-9-]{20,300}", is_random) for letter in b"abeoprs"),
        (slack, b"xapp-", rb"\d-[A-Za-z0-9-]{20,300}", is_random),
        (slack, b"hooks.slack.com/", rb"(?:services|workflows|triggers)/[A-Za-z0-9/]{30,200}", is_random),
        ("a JSON web token", b"eyJ", rb"[\w-]{8,4000}\.eyJ[\w-]{8,4000}\.[\w-]{16,4000}", is_varied),
        ("a password in an address", b"://", rb"[^\s/:@\"'<>\\]{1,100}:([^\s/@\"'<>\\]{3,200})@\w", is_password),
        ("a login of .netrc", b"machine ", rb"\S{1,200}\s{1,9}login\s{1,9}\S{1,200}\s{1,9}password\s{1,9}(\S{1,200})",
         is_password),
        ("a private key", b"-----BEGIN ",
         rb"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(.{0,%d})" % (WINDOW - 200), is_written_out),
        ("a private key", b"PuTTY-User-Key-File-", rb"\d: .{1,%d}?Private-Lines: \d" % (WINDOW - 200), is_varied),
    ]  # fmt: skip
    for name, start, rest, genuine in table:
        yield Kind(name, start, re.compile(rest, re.DOTALL), genuine)
    for form, length in OTHERS.items():
        yield Kind(f"an API key of the form {form}…", form.encode(), re.compile(rb"[\w.-]{%d,300}" % length), is_random)


# Other issuers' keys: how they begin, and how many characters follow at least.
OTHERS = {
    "AGE-SECRET-KEY-1": 50, "AIza": 33, "GOCSPX-": 24, "KGAT_": 20, "SG.": 60, "dapi": 32, "dckr_pat_": 24,
    "dop_v1_": 60, "fw_": 22, "glpat-": 20, "glptt-": 30, "glsa_": 32, "gsk_": 40, "hvs.": 24, "lin_api_": 32,
    "lsv2_pt_": 32, "lsv2_sk_": 32, "npm_": 36, "ntn_": 40, "nvapi-": 40, "pcsk_": 40, "pplx-": 40, "pypi-AgE": 50,
    "r8_": 36, "rk_live_": 20, "sbp_": 36, "sk_live_": 20, "sk_test_": 20, "shpat_": 32, "sq0atp-": 22, "tgp_v1_": 30,
    "wandb_v1_": 30, "whsec_": 24, "xai-": 40, "ya29.": 40,
}  # fmt: skip
KINDS = tuple(_kinds())
# A value with a name that says what it is: `WANDB_API_KEY=…`, `"aws_secret_access_key": "…"`, `AccountKey=…`.
NAMED = re.compile(
    rb"(?:api[_-]?key|secret[_-]?access[_-]?key|secret[_-]?key|client[_-]?secret|access[_-]?token|auth[_-]?token"
    rb"|account[_-]?key|_token|_secret|_password)"
    rb"(?:\\?[\"'])?[ \t]{0,9}[:=][ \t]{0,9}(?:\\?[\"'])?([A-Za-z0-9/+=_-]{20,200})(?![A-Za-z0-9_.(\[])",
    re.IGNORECASE,
)
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{40,}={0,2}")
RUNS = re.compile(rb"[\t\n\r\x1b\x20-\x7e]{8,}")
PRINTABLE = bytes([0, 9, 10, 13, 27, *range(32, 127)])


def kinds_in(chunk: bytes, depth: int = 0) -> set[str]:
    """The names of the kinds of secrets that are in a piece of a file."""
    packed, chunk = chunk, _readable(chunk)
    found = {kind.name for kind in KINDS if any(_found(chunk, kind))}
    for name in (b"key", b"KEY", b"Key", b"token", b"TOKEN", b"secret", b"SECRET", b"password", b"PASSWORD"):
        if name in chunk:
            if any(_is_key(one[1]) for one in NAMED.finditer(chunk)):
                found.add("a key under its name")
            break
    if depth < DEEPEST:
        for inside in (*_decoded(chunk), *unpacked(packed)):
            found |= kinds_in(inside, depth + 1)
    return found


def _readable(chunk: bytes) -> bytes:
    """A piece without what is no text: of numbers the few runs of letters, of two bytes a character the one."""
    if chunk.count(0) > len(chunk) // 4:
        chunk = chunk.replace(b"\0", b"")
    if len(chunk.translate(None, PRINTABLE)) > len(chunk) // 16:
        return b"\n".join(RUNS.findall(chunk))
    return chunk


def _found(chunk: bytes, kind: Kind) -> Iterator[bool]:
    at = chunk.find(kind.start)
    while at >= 0:
        if _begins(chunk, at, kind):
            rest = kind.rest.match(chunk, at + len(kind.start))
            if rest and kind.genuine(rest[rest.lastindex or 0]):
                yield True
        at = chunk.find(kind.start, at + 1)


def _begins(chunk: bytes, at: int, kind: Kind) -> bool:
    """Whether no word goes on there: `task-…` ends with `sk-`."""
    if not kind.start[:1].isalnum() or at == 0 or not chunk[at - 1 : at].isalnum():
        return True
    before = chunk[max(0, at - LOOKED_BACK) : at]
    return ESCAPE.search(before) is not None or (kind.start.endswith(b"_") and GLUED.search(before) is not None)


def _is_key(value: bytes) -> bool:
    """Whether a value under such a name is drawn; a path and a name of a program are not."""
    return is_random(value) and re.search(rb"\d", value) is not None and value.count(b"/") < 4 and b"__" not in value


def _decoded(chunk: bytes) -> Iterator[bytes]:
    """What is readable of the base64 in a piece."""
    for found in BASE64.finditer(chunk):
        plain = found[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        for start in range(4):  # the letter of an escape may stand before it
            whole = plain[start : start + (len(plain) - start) // 4 * 4]
            rest = plain[start + len(whole) :]
            padded = rest + b"=" * (-len(rest) % 4) if len(rest) > 1 else b""
            try:
                decoded = base64.b64decode(whole + padded)
            except binascii.Error:
                continue
            if len(decoded.translate(None, PRINTABLE)) <= len(decoded) // 8:
                yield decoded


def unpacked(chunk: bytes) -> Iterator[bytes]:
    """The content of a packed file (gzip, xz, bzip2, zip) and packed texts of a PNG, as far as `UNPACKED` bytes."""
    readers: dict[bytes, Callable[[], Any]] = {
        b"\x1f\x8b": lambda: zlib.decompressobj(31),
        b"\xfd7zXZ\0": lzma.LZMADecompressor,
        b"BZh": bz2.BZ2Decompressor,
    }
    try:
        for magic, reader in readers.items():
            if chunk.startswith(magic):
                yield reader().decompress(chunk, UNPACKED)
        if chunk.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(io.BytesIO(chunk)) as archive:
                for member in archive.namelist()[:MEMBERS]:
                    with archive.open(member) as inside:
                        yield inside.read(UNPACKED)
        if chunk.startswith(b"\x89PNG\r\n\x1a\n"):
            yield from _texts_of_png(chunk)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return  # torn or encrypted: `is_unsafe` refuses packed files whatever is in them


def _texts_of_png(chunk: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(chunk):
        size, kind = int.from_bytes(chunk[at : at + 4], "big"), chunk[at + 4 : at + 8]
        body = chunk[at + 8 : at + 8 + size]
        if kind in (b"zTXt", b"iTXt"):
            for begin in re.finditer(b"\x78", body[:300]):  # so zlib begins, after a keyword and a language
                with contextlib.suppress(zlib.error):
                    yield zlib.decompressobj().decompress(body[begin.start() :], UNPACKED)
        at += size + 12
