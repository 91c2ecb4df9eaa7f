"""What files must not contain: code that runs when they are loaded, and secrets, wherever these hide."""

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from publish import checks, contents
from publish.plan import Repository
from publish.secrets import kinds_in

R = "aBcD3fGh1jKlMn0pQrStUvWxYzAbCdEfGhIjKlMn"
HUB = "hf_" + R[:34]
# Written apart, so that no search for secrets finds any here.
KEYS = {
    "hub": HUB,
    "hub, letters alone": "hf_" + "xQvTzBkLmWpRsYdNcGhJfAeUiOqZxCvBnM",
    "hub oauth": "hf_oauth_" + "eyJhbGciOiJFZERTQSJ9." + R,
    "hub jwt": "hf_jwt_" + "eyJhbGciOiJFZERTQSJ9." + R,
    "hub organisation": "api_org_" + R[:34],
    "openai": "sk-proj-" + R,
    "openai, in order": "sk-" + "abcdefghijklmnop1234567890ABCDEFGH",
    "anthropic": "sk-ant-api03-" + R * 2 + "-AA",
    "openrouter": "sk-or-v1-" + "0a1b2c3d4e5f6789" * 4,
    "aws": "AKIA" + "QWERTY7ASDFGH2ZX",
    "aws session": "ASIA" + "QWERTY7ASDFGH2ZX",
    "aws secret": "aws_secret_access_key = " + "wJalrXUtnFEMIaK7MDENGbPxRfiCYzzzKEYabc12",
    "aws secret in JSON": '{"SecretAccessKey": "' + "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzzzKEYabc12" + '"}',
    **{f"github gh{letter}": f"gh{letter}_" + R[:36] for letter in "pousr"},
    "github pat": "github_pat_" + R + "_" + R,
    "gitlab": "glpat-" + R[:20],
    "google": "AIza" + "SyD3fGh1jKlMn0pQrStUvWxYzAbCdEfGhIj",
    "groq": "gsk_" + R + "abcd1234EF56",
    "xai": "xai-" + R * 2,
    "replicate": "r8_" + R[:37],
    "stripe": "sk_" + "live_" + R[:24],
    "npm": "npm_" + R[:36],
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + R * 2,
    "slack": "xoxb-" + "123456789012-" + R,
    "slack app": "xapp-" + "1-A012345-123456-" + R,
    "slack webhook": "https://hooks.slack.com/" + "services/T0000AAAA/B0000BBBB/" + R[:24],
    "wandb": "WANDB_API_KEY=" + "0a1b2c3d4e" * 4,
    "database": "postgres://admin:" + "S3cr3tPassw0rd@db.internal:5432/prod",
    "web token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + R,
    "rsa": "-----BEGIN RSA " + "PRIVATE KEY-----\n" + R,
    "encrypted": "-----BEGIN RSA " + "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\n" + R,
    "openssh": "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n" + R,
    "putty": "PuTTY-User-Key-File-" + "3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n" + R,
    "netrc": "machine huggingface.co login me " + "password S3cr3tPassw0rd",
}
HARMLESS = (
    "class sk-learn-pipelines-for-text-classification-2024",
    "sk-SK-locale-strings-for-slovak-users-v2",
    "'sk-estimator-id-1' 'sk-toggleable__label-arrow'",
    "a task-oriented-desk-2-for-the-Risk-Averse-Person-2024",
    "hf_internal_testing_tiny_random_bert",
    "hf_" + "transformersbertlargeuncasedv2finetuned",
    "xoxo-love-you-so-much-and-forever-1999",
    "AKIA" + "A" * 16,
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE...",
    "https://user:password@example.com and postgres://user:${PASSWORD}@host",
    "OPENAI_API_KEY=your-key-goes-here-and-is-long, HF_TOKEN=hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    '{"eos_token": "<|endoftext|>", "pad_token_id": 0, "sha256": "' + "0a1b2c3d4e5f6789" * 4 + '"}',
    "She told the machine, login or not, that the password was love.",
    "hf_hub_download, hf_writer, hf_yourtokenyourtokenyourtokenyour",
    "sk-your-openai-api-key-goes-here",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "x" * 36,
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
)


def png(kind: bytes, content: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(kind, content) + chunk(b"IEND", b"")


PLACES: dict[str, Callable[[str], bytes]] = {
    "json": lambda key: json.dumps({"k": key}).encode(),
    "json, after a curly quote": lambda key: json.dumps({"k": f"the key “{key}”"}).encode(),
    "json, after a letter with an accent": lambda key: json.dumps({"k": f"é{key}"}).encode(),
    "json, after an escaped sign": lambda key: b'{"k":"HF_TOKEN\\u003d' + key.encode() + b'"}',
    "address": lambda key: b"https://x/?a=1%26token%3D" + key.encode(),
    "glued to a word": lambda key: b"Bearer" + key.encode(),
    "colours of a terminal": lambda key: b"\x1b[32m" + key.encode() + b"\x1b[0m",
    "colours, escaped": lambda key: json.dumps({"log": f"\x1b[1;32m{key}"}).encode(),
    "UTF-16": lambda key: f"HF_TOKEN={key}".encode("utf-16"),
    "UTF-16, big-endian without a mark": lambda key: f"HF_TOKEN={key}".encode("utf-16-be"),
    "base64": lambda key: base64.b64encode(f"user:{key}".encode()),
    "base64 after an escape": lambda key: b"auth:\\n" + base64.b64encode(f"user:{key}".encode()),
    "base64 of UTF-16": lambda key: base64.b64encode(key.encode("utf-16-le")),
    "tEXt": lambda key: png(b"tEXt", b"c\0" + key.encode()),
    "zTXt": lambda key: png(b"zTXt", b"c\0\0" + zlib.compress(key.encode())),
    "iTXt": lambda key: png(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(key.encode())),
    "weights": lambda key: bytes(range(256)) * 40 + key.encode() + bytes(range(256)) * 40,
    "notebook": lambda key: json.dumps({"cells": [{"source": [f'login(token="{key}")\n']}]}).encode(),
}


@pytest.mark.parametrize("key", KEYS)
def test_every_kind_is_found(key: str) -> None:
    assert contents.secrets("x.txt", KEYS[key].encode())
    assert contents.secrets("x.json", json.dumps({"say": f"now\n{KEYS[key]}"}).encode())


def test_kinds_have_names() -> None:
    keys = ("hub", "openai", "aws", "github ghp", "slack", "rsa", "aws secret", "google")
    assert [contents.secrets("x", KEYS[key].encode()) for key in keys] == [
        ["a Hub token"],
        ["an API key of the form sk-…"],
        ["an AWS key"],
        ["a GitHub token"],
        ["a Slack token"],
        ["a private key"],
        ["a key under its name"],
        ["an API key of the form AIza…"],
    ]


@pytest.mark.parametrize("place", PLACES)
def test_a_token_is_found_wherever_it_hides(place: str) -> None:
    assert "a Hub token" in contents.secrets("x", PLACES[place](HUB))


def test_a_true_key_after_a_false_start_is_found() -> None:
    assert contents.secrets("x", b"my-disk-sk-proj-" + R.encode())


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"env": json.dumps({"private_key": "-----BEGIN " + "PRIVATE KEY-----\n" + R})}),
        "k: |\n  -----BEGIN " + "PRIVATE KEY-----\n  " + R,
        "k = (\"-----BEGIN " + "PRIVATE KEY-----\\n\"\n     \"" + R + "\\n\")",
    ],
)  # fmt: skip
def test_a_private_key_is_found_as_it_is_quoted(text: str) -> None:
    assert contents.secrets("x", text.encode()) == ["a private key"]


@pytest.mark.parametrize("text", HARMLESS)
def test_words_are_no_keys(text: str) -> None:
    assert contents.secrets("x", text.encode()) == []


def parquet(column: pa.Array, name: str = "x", notes: dict[str, str] | None = None, of_column: bool = False) -> bytes:
    field = pa.field(name, column.type, metadata=notes if of_column else None)
    file = io.BytesIO()
    schema = pa.schema([field], metadata=None if of_column else notes)
    pq.write_table(pa.Table.from_arrays([column], schema=schema), file)
    return file.getvalue()


RAW = HUB.encode()
COLUMNS: dict[str, Callable[[], bytes]] = {
    "string": lambda: parquet(pa.array([HUB, None])),
    "large_string": lambda: parquet(pa.array([HUB], pa.large_string())),
    "string_view": lambda: parquet(pa.array([HUB], pa.string_view())),
    "binary": lambda: parquet(pa.array([RAW])),
    "binary_view": lambda: parquet(pa.array([RAW], pa.binary_view())),
    "fixed_size_binary": lambda: parquet(pa.array([RAW], pa.binary(len(RAW)))),
    "dictionary": lambda: parquet(pa.array([HUB, HUB]).dictionary_encode()),
    "list of structs of lists": lambda: parquet(pa.array([[{"a": [HUB]}]])),
    "key of a map": lambda: parquet(pa.array([[(HUB, 1)]], pa.map_(pa.string(), pa.int32()))),
    "fixed_size_list": lambda: parquet(pa.array([[HUB, HUB]], pa.list_(pa.string(), 2))),
    "json": lambda: parquet(pa.ExtensionArray.from_storage(pa.json_(), pa.array([json.dumps({"a": HUB})]))),
    "name of a column": lambda: parquet(pa.array([1]), HUB),
    "name of a field": lambda: parquet(pa.array([{HUB: 1}])),
    "name of a field in a list": lambda: parquet(pa.array([[{HUB: 1}]])),
    "value of a note": lambda: parquet(pa.array([1]), notes={"k": HUB}),
    "key of a note": lambda: parquet(pa.array([1]), notes={HUB: "v"}),
    "note of a column": lambda: parquet(pa.array([1]), notes={"k": HUB}, of_column=True),
    "list of bytes": lambda: parquet(pa.array([list(RAW)], pa.list_(pa.uint8()))),
    "list of signed bytes": lambda: parquet(pa.array([list(RAW)], pa.list_(pa.int8()))),
    "image": lambda: parquet(pa.array([{"bytes": b"\x89PNG" + RAW, "path": None}])),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_token_is_found_in_every_kind_of_column(column: str) -> None:
    assert contents.secrets("rows.parquet", COLUMNS[column]()) == ["a Hub token"]


def test_a_secret_is_named_and_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    repository = Repository("emo-pillars", "dataset", tmp_path, {path.name: path})
    path.write_bytes(COLUMNS["string"]())
    [line] = checks._contents(repository)
    assert f"{path}: contains a Hub token" in line
    assert HUB not in line
    path.write_bytes(parquet(pa.array(["harmless"])))
    assert list(checks._contents(repository)) == []
    path.write_bytes(b"PAR1 torn")
    assert "cannot be read" in next(checks._contents(repository))


def test_a_secret_across_two_chunks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "CHUNK", 4096)
    path = tmp_path / "long.txt"
    path.write_text("." * 4080 + HUB + "." * 9000)
    assert contents.secrets("long.txt", path) == ["a Hub token"]


REPEATED = (
    "-----BEGIN PRIVATE KEY-----\n", "sk-", " sk-a", "eyJ", "eyJaaaaaaaaaaa.", "hf_a", "://a:", "machine a ", "\\u0068",
    "PuTTY-User-Key-File-1: ", "api_key=", "_token  ", "github_pat_", "a" * 50 + "\n", "%41", "\x1b[0", " ", "xoxb-",
)  # fmt: skip


@pytest.mark.parametrize("piece", REPEATED)
def test_twice_the_length_takes_twice_the_time(piece: str) -> None:
    def seconds(size: int) -> float:
        chunk = (piece * (size // len(piece))).encode()
        started = time.process_time()
        kinds_in(chunk)
        return time.process_time() - started

    assert seconds(2**17) < 2
    assert min(seconds(2**17) for _ in range(2)) < 12 * max(min(seconds(2**15) for _ in range(2)), 0.004)


def test_lines_of_names_after_the_head_of_a_key_end_nothing() -> None:
    """Short lines that may end after any blank are what an expression goes through in every way there is."""
    for count in (40, 4000):
        started = time.process_time()
        assert kinds_in(b"-----BEGIN " + b"PRIVATE KEY-----\n" + b"a: b " * count + b"!") == set()
        assert time.process_time() - started < 1


# ---------------------------------------------------------------- code and packed files


class Evil:
    def __reduce__(self) -> Any:
        return print, ("ran",)


def saved(save: Callable[..., None], array: Any) -> bytes:
    file = io.BytesIO()
    save(file, array)
    return file.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


UNSAFE = {
    **{f"protocol {p}": pickle.dumps({"a": [1]}, p) for p in (2, 3, 4, 5)},
    **{f"protocol {p}": pickle.dumps(Evil(), p) for p in (0, 1)},
    "protocol 0, by hand": b"ccopy_reg\n_reconstructor\n(c__main__\nX\nc__builtin__\nobject\nNtRp0\n.",
    "a pickle in a zip": zipped("archive/data.pkl", pickle.dumps({"a": 1})),
    "a zip": zipped("a.txt", b"x"),
    "an array": saved(np.save, np.array([{}], dtype=object)),
    "arrays": saved(np.savez, np.zeros(3)),
    "gzip": gzip.compress(b"x"),
    "xz": lzma.compress(b"x"),
    "bzip2": bz2.compress(b"x"),
    "tar": b"\0" * 257 + b"ustar\x0000",
    "ELF": b"\x7fELF",
    "HDF5": b"\x89HDF\r\n",
}


@pytest.mark.parametrize("what", UNSAFE)
def test_what_may_run_code_or_is_packed_is_unsafe(what: str) -> None:
    assert contents.is_unsafe(UNSAFE[what])


def test_the_files_of_a_model_are_safe(tiny_models: Path) -> None:
    assert not any(contents.is_unsafe(path) for path in tiny_models.glob("*/*") if path.is_file())
    assert not contents.is_unsafe(b"c\nhello\nworld.")
    assert not contents.is_unsafe((0x00030280).to_bytes(8, "little") + b"{")
