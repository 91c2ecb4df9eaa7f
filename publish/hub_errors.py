"""What refusals and failures of the Hub mean, and where its address leads."""

import ipaddress
import json
import re
import traceback
from urllib.parse import urlsplit

import httpx2
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

HUB = "huggingface.co"
# Control characters, line separators, bidirectional marks and lone surrogates: a terminal obeys them, or cannot print.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST = 500  # characters of the Hub's message; a proxy may answer with a whole page
NO_SPACE = ("storage", "quota", "limit reached", "upgrade", "billing", "payment")  # the Hub's words for a full account
MORE_SPACE = "Delete what is not needed there, get more storage, or publish with --public if that is intended."
ACCESS = "Use a token with write access to that namespace, and check that the account may do this there."
KEPT = "What was sent is complete"
ADVICE = {
    400: f"Fix the reported problem. {KEPT}.",
    402: MORE_SPACE,
    403: ACCESS,
    404: "Check the name, and that the token may see the repository.",
    413: "Make the files smaller, or send fewer at once.",
    422: f"Fix the reported problem. {KEPT}.",
    429: f"Too many calls: wait some minutes, then run the same command again. {KEPT}.",
}


class Refused(Exception):
    """The token may not write there, or the state of the Hub forbids it. The message says what to do."""


def printable(text: str, endpoint: str) -> str:
    """A text for one line of a terminal: without control characters, line ends and the password of an address."""
    user, at, _ = endpoint.partition("//")[2].partition("/")[0].rpartition("@")
    text = text.replace(f"{user}@", "") if at else text
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text.replace("\n", " "))


def _host(endpoint: str) -> str:
    """Return the host of an address; empty if it is not an address."""
    try:
        return urlsplit(endpoint).hostname or ""
    except ValueError:
        return ""


def is_local(endpoint: str) -> bool:
    """Return whether an address belongs to this machine alone."""
    host = _host(endpoint)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_problems(endpoint: str) -> list[str]:
    """Why no token may be sent to an address: it is broken, or the token would cross a network unencrypted."""
    try:
        scheme = urlsplit(endpoint).scheme if httpx2.URL(endpoint).host else ""
    except (httpx2.InvalidURL, ValueError):
        return [f"HF_ENDPOINT is {endpoint}, which is not an address. Use one that begins with https://, or unset it."]
    if scheme == "https" or (scheme == "http" and is_local(endpoint)):
        return []
    return [
        f"HF_ENDPOINT is {endpoint}: the token would be sent unencrypted. Use an address that begins with https://."
    ]


def address_notes(endpoint: str) -> list[str]:
    """Return a note if the Hub is not the usual one, so that nobody sends a token to another server by mistake."""
    host = _host(endpoint)
    is_known = not host or host == HUB or host.endswith(f".{HUB}") or is_local(endpoint)
    return [] if is_known else [f"the token goes to {host}, which is not {HUB}"]


def explain(error: BaseException, endpoint: str, namespace: str) -> str | None:
    """Return what an error means and what to do about it, in one line; None for a defect of this program."""
    again = f"{KEPT}; run the same command again."
    match error:
        case Refused():
            return str(error)
        case KeyboardInterrupt():
            return f"interrupted. {again}"
        case LocalTokenNotFoundError():
            return "no Hub token. Run `hf auth login`, or set HF_TOKEN to a token with write access."
        case HfHubHTTPError():
            return explain_refusal(error, endpoint, namespace)
        case OfflineModeIsEnabled():
            return "the Hub is switched off by HF_HUB_OFFLINE. Unset it."
        case OSError(filename=str(filename)):
            return f"{filename}: {error.strerror}. Check that it exists and can be read, then run the command again."
        case httpx2.HTTPError() | httpx2.InvalidURL() | OSError():
            return f"{endpoint}: {type(error).__name__}: {first_line(error)}. Run the command again."
        case json.JSONDecodeError():
            return f"{endpoint} did not answer with JSON; it may be the page of a proxy. Check HF_ENDPOINT."
        case LookupError() | TypeError() | AttributeError() if was_raised_by_client(error):
            return f"{endpoint} does not respond like a Hub ({type(error).__name__}). Check HF_ENDPOINT."
        case ValueError():  # a name that the Hub's client refuses
            return f"{' '.join(str(error).split()).rstrip('.')}. {KEPT}."
    return None


def was_raised_by_client(error: BaseException) -> bool:
    """Return whether the Hub's client raised the error: over an answer that no Hub gives, since it checks none."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("huggingface_hub.")


def explain_refusal(error: HfHubHTTPError, endpoint: str, namespace: str) -> str:
    """Return the Hub's own reason for a refusal, and what to do about it."""
    status = error.response.status_code
    if status == 401:
        return f"{endpoint} rejected the token (401). Set HF_TOKEN to a valid one; `hf auth whoami` tests it."
    if status == 403 and not error.server_message:
        return f"the token may not write to '{namespace}' (403). {ACCESS}"
    reason = " ".join((error.server_message or first_line(error)).split())[:LONGEST].rstrip(".")
    is_full = status in (402, 403, 413) and any(word in reason.lower() for word in NO_SPACE)
    advice = MORE_SPACE if is_full else ADVICE.get(status, f"{KEPT}; run the same command again.")
    return f"{endpoint} answered {status} for '{namespace}': {reason}. {advice}"


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message."""
    return next(iter(str(error).splitlines()), "no reason given")
