"""The API key of an endpoint: which variable holds it and where it may be sent. It is never shown.

A recipe may come from somebody else, and so may the server that it names. A key is therefore sent only where the person
who runs the recipe can expect it: the variable that the recipe names, or OPENAI_API_KEY to OpenAI only; encrypted, or
to this machine.
"""

import base64
import ipaddress
import multiprocessing
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import openai

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EndpointTeacher

NO_KEY = "none"  # what servers without keys are sent
OPENAI_HOST, OPENAI_VARIABLE = "api.openai.com", "OPENAI_API_KEY"
HIDDEN = "***"
SHORTEST_SECRET = 6  # characters; a shorter key is not a secret, and hiding it would damage words
# Variables that hold keys of other services than a teacher.
_FOREIGN = re.compile(
    r"(?:AWS|AZURE(?!_OPENAI|_API|_AI)|GCP|GCLOUD|GOOGLE_APPLICATION|GH|GITHUB|GITLAB|BITBUCKET|CI|NPM|NODE|PYPI|TWINE|"
    r"UV|PIP|CARGO|WANDB|COMET|MLFLOW|KAGGLE|DATABASE|DB|PG|POSTGRES|MYSQL|REDIS|MONGO|SSH|GPG|DOCKER|KUBE|VAULT|STRIPE|"
    r"SLACK|DISCORD|TWILIO|SENDGRID|SENTRY|DATADOG|CLOUDFLARE|CF|HEROKU|VERCEL|DIGITALOCEAN|DO|TELEGRAM)_.*"
    r"|HF_.*|HUGGING_?FACE.*|.*(?:PASSWORD|PASSWD|SECRET|CREDENTIAL|PRIVATE_KEY|COOKIE|SESSION).*",
    re.IGNORECASE,
)
_HUB = re.compile(r"HF_.*|HUGGING_?FACE.*", re.IGNORECASE)  # these may go to the Hub's own hosts
_HUB_HOST = re.compile(r"(?:.*\.)?huggingface\.co|.*\.hf\.co")


@dataclass(frozen=True)
class Key:
    """What an endpoint sends as its key; `secrets` are never shown, `what_to_check` is advice if it is refused."""

    value: str
    secrets: tuple[str, ...]
    what_to_check: str

    def hide(self, text: str, shortest: int = SHORTEST_SECRET) -> str:
        """Return the text without secrets of at least so many characters."""
        for secret in self.secrets:
            if len(secret) >= shortest:
                text = text.replace(secret, HIDDEN)
        return text

    def headers(self, url: str) -> dict[str, Any]:
        """Return headers for the client: OpenAI's environment variables are ignored for other servers."""
        if urlsplit(url).hostname == OPENAI_HOST:
            return {}
        lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
        names = [line.partition(":")[0].strip() for line in lines if ":" in line]
        omitted: dict[str, Any] = dict.fromkeys((*names, "OpenAI-Organization", "OpenAI-Project"), openai.omit)
        return {**omitted, "Authorization": f"Bearer {self.value}"}


def read_key(config: EndpointTeacher, url: str) -> Key:
    """Return the key for one of the recipe's servers, from the environment.

    Raises:
        InputError: the key must not be sent there, or no header can hold it. The message names the variable and never
            its value.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    variable = config.api_key_env
    if variable is None and parts.scheme == "https" and host == OPENAI_HOST:
        variable = OPENAI_VARIABLE
    value = os.environ.get(variable) if variable else None
    login = f"{parts.username or ''}:{parts.password or ''}" if parts.username or parts.password else ""
    if not config.send_key_anyway and (login or value is not None):
        _check_destination(variable if value is not None else None, parts.scheme, host)
    encoded = base64.b64encode(unquote(login).encode()).decode()  # as the Authorization header holds it
    secrets = [unquote(parts.password or ""), unquote(login), encoded]
    if variable and value is not None:
        value = _check_value(value.strip(), variable)
        _announce(variable, host)
        secrets.append(value)
        check = f"the key in ${variable}"
    elif config.api_key_env:
        check = f"the key: ${variable} is not set"
    else:
        check = (
            f"the key: none was sent. Name its variable in 'teacher.api_key_env' (${OPENAI_VARIABLE} is sent to "
            "https://api.openai.com only)"
        )
    # The longest first, so that none is left half hidden.
    return Key(value or NO_KEY, tuple(sorted(set(secrets), key=len, reverse=True)), check)


def is_this_machine(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _check_destination(variable: str | None, scheme: str, host: str) -> None:
    """Raise InputError if the variable's key, or the url's password, must not be sent to a host."""
    if scheme != "https" and not is_this_machine(host):
        what = f"the key in ${variable}" if variable else "the password in the url"
        raise InputError(
            f"teacher.urls: {what} would go to {host} over {scheme}, unencrypted. Use https, "
            "or a tunnel to this machine. To send it anyway, add --send-key-anyway."
        )
    of_the_hub = variable and _HUB.fullmatch(variable) and _HUB_HOST.fullmatch(host)
    if variable and _FOREIGN.fullmatch(variable) and not of_the_hub:
        raise InputError(
            f"teacher.api_key_env: ${variable} does not look like a teacher's key, but would be sent to {host}. Put "
            f"the teacher's key into another variable and name it here. To send ${variable} anyway, add "
            "--send-key-anyway."
        )


def _check_value(value: str, variable: str) -> str:
    """Return the value of a key, if a header can hold it."""
    for bad, what in (
        (not value, "is empty. Set it to the teacher's key, or unset it if the server needs none."),
        (not value.isascii(), "contains a character that no key has (a typographic quote?). Copy the key again."),
        (
            not value.isprintable() or " " in value,
            "contains a space, a line break or a control character. Copy it again.",
        ),
        (value[:1] in ('"', "'"), "begins with a quotation mark. Set it to the key without the quotation marks."),
    ):
        if bad:
            raise InputError(f"${variable} {what}")
    return value


@cache
def _announce(variable: str, host: str) -> None:
    """Report where a key is sent: once, and not in every worker."""
    if multiprocessing.parent_process() is None:
        print(f"sends ${variable} to {host}", file=sys.stderr)
