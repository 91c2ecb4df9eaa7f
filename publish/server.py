"""The Hub as a server: what it is called, whether a token may go there, and what its refusals mean."""

import ipaddress
import re
from urllib.parse import urlsplit

import httpx2
from huggingface_hub.errors import HfHubHTTPError

OWN = "huggingface.co"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SPACE = ("storage", "quota", "limit reached", "upgrade", "billing", "payment")  # in the Hub's words for: no room
WRITE = "Use a token with write access to that namespace, and see that the account may do this there."
ROOM = "Delete what is not needed there, get more storage, or publish with --public if that is meant."
LONGEST = 500  # characters of the Hub's own words; a proxy may answer a page
AGAIN = "What was sent is whole; run the same command again."
ADVICE = {
    400: "Mend what it names. What was sent is whole.",
    402: ROOM,
    403: WRITE,
    404: "See that the name is right and the token may see it.",
    413: "Make the files smaller, or fewer at once.",
    422: "Mend what it names. What was sent is whole.",
    429: "It counts calls: wait some minutes, then run the same command again. What was sent is whole.",
}


def printable(text: str) -> str:
    """Text of others without what a terminal takes for a command."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def without_password(text: str, endpoint: str) -> str:
    """A text without the user name and password that an address may have in it."""
    before, at, _ = endpoint.partition("//")[2].partition("/")[0].rpartition("@")
    return text.replace(f"{before}@", "") if at else text


def _host(endpoint: str) -> str:
    """The host of an address; nothing where it is none."""
    try:
        return urlsplit(endpoint).hostname or ""
    except ValueError:
        return ""


def is_local(endpoint: str) -> bool:
    """Whether an address is of this machine alone."""
    host = _host(endpoint)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_clear(endpoint: str) -> list[str]:
    """Why no token may go to an address: it would cross a network in clear."""
    shown = without_password(endpoint, endpoint)
    try:
        scheme = urlsplit(endpoint).scheme if httpx2.URL(endpoint).host else ""
    except (httpx2.InvalidURL, ValueError):
        return [f"HF_ENDPOINT is {shown}, which is no address. Give one that begins with https://, or take it away."]
    if scheme == "https" or (scheme == "http" and is_local(endpoint)):
        return []
    return [f"HF_ENDPOINT is {shown}: the token would go there in clear. Give an address that begins with https://."]


def stranger(endpoint: str) -> list[str]:
    """A note that the Hub is not the usual one, so that nobody sends a token to another by mistake."""
    host = _host(endpoint)
    known = not host or host == OWN or host.endswith(f".{OWN}") or is_local(endpoint)
    return [] if known else [f"the token goes to {host}, which is not {OWN}"]


def explain(error: HfHubHTTPError, endpoint: str, namespace: str) -> str:
    """What a refusal of the Hub means for the person who sent: its own words, and what can be done."""
    status = error.response.status_code
    if status == 401:
        return f"{endpoint} refuses the token (401). Set HF_TOKEN to a valid one; `hf auth whoami` tests it."
    said = " ".join((error.server_message or next(iter(str(error).splitlines()), "no reason given")).split())[:LONGEST]
    if status == 403 and not error.server_message:
        return f"the token may not write to '{namespace}' (403). {WRITE}"
    full = status in (402, 403, 413) and any(word in said.lower() for word in SPACE)
    advice = ROOM if full else ADVICE.get(status, AGAIN)
    return f"{endpoint} answered {status} for '{namespace}': {said.rstrip('.')}. {advice}"
