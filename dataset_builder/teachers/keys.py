"""The key of an endpoint: which variable holds it, to whom it may be sent, and that nobody sees it.

A recipe may come from somebody else, and so may the server that it names. So a key goes only where the recipe's reader
can expect it: the variable that the recipe names, or OPENAI_API_KEY to OpenAI alone; encrypted, or to this machine.
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
SWITCH = "--send-key-anyway"
HIDDEN = "***"
# Variables that hold keys of other things than a teacher; those of a hub go to its own hosts.
_FOREIGN = re.compile(
    r"(?:AWS|AZURE(?!_OPENAI|_API|_AI)|GCP|GCLOUD|GOOGLE_APPLICATION|GH|GITHUB|GITLAB|BITBUCKET|CI|NPM|NODE|PYPI|TWINE|"
    r"UV|PIP|CARGO|WANDB|COMET|MLFLOW|KAGGLE|DATABASE|DB|PG|POSTGRES|MYSQL|REDIS|MONGO|SSH|GPG|DOCKER|KUBE|VAULT|STRIPE|"
    r"SLACK|DISCORD|TWILIO|SENDGRID|SENTRY|DATADOG|CLOUDFLARE|CF|HEROKU|VERCEL|DIGITALOCEAN|DO|TELEGRAM)_.*"
    r"|HF_.*|HUGGING_?FACE.*|.*(?:PASSWORD|PASSWD|SECRET|CREDENTIAL|PRIVATE_KEY|COOKIE|SESSION).*",
    re.IGNORECASE,
)
_HUB = re.compile(r"HF_.*|HUGGING_?FACE.*", re.IGNORECASE)
_SHORTEST_HIDDEN = 6  # characters: a shorter key is no secret, and would be found in words


@dataclass(frozen=True)
class Key:
    """What an endpoint sends as its key: `value`, from `variable` (None: no key); `secrets` are never shown."""

    value: str
    variable: str | None
    secrets: tuple[str, ...]

    def hide(self, text: str, shortest: int = 0) -> str:
        """The text with every secret of at least so many characters replaced."""
        for secret in self.secrets:
            if len(secret) >= shortest:
                text = text.replace(secret, HIDDEN)
        return text

    def headers(self, url: str) -> dict[str, Any]:
        """Headers for the client; without those that the environment holds for OpenAI where the server is another."""
        if urlsplit(url).hostname == OPENAI_HOST:
            return {}
        told = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
        names = [line.partition(":")[0].strip() for line in told if ":" in line]
        kept_back: dict[str, Any] = dict.fromkeys((*names, "OpenAI-Organization", "OpenAI-Project"), openai.omit)
        return {**kept_back, "Authorization": f"Bearer {self.value}"}


def read_key(config: EndpointTeacher, url: str) -> Key:
    """The key for one of the recipe's servers, from the environment.

    Raises:
        InputError: no variable's name, a key that no header can hold, or one that is not to be sent there. The message
            names the variable and never its value.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    variable = config.api_key_env
    if variable is None and parts.scheme == "https" and host == OPENAI_HOST:
        variable = OPENAI_VARIABLE
    found = os.environ.get(variable) if variable else None
    user = f"{parts.username or ''}:{parts.password or ''}" if parts.username or parts.password else ""
    if (found is not None or user) and not config.send_key_anyway:
        _may_be_sent(variable if found is not None else None, parts.scheme, host)
    given = [unquote(part) for part in (parts.password, user) if part]
    encoded = [base64.b64encode(text.encode()).decode() for text in given if ":" in text]
    if found is None:
        return Key(NO_KEY, None, _long((*given, *encoded)))
    value = _checked(found.strip(), str(variable))
    _announce(str(variable), host)
    return Key(value, variable, _long((value, *given, *encoded)))


def _may_be_sent(variable: str | None, scheme: str, host: str) -> None:
    what = f"the key in ${variable}" if variable else "the password in the url"
    if scheme != "https" and not is_here(host):
        raise InputError(
            f"teacher.urls: {what} would go to {host} over {scheme}, readable for everybody on the way. Use https, "
            f"or a tunnel to this machine. To send it all the same, add {SWITCH}."
        )
    if variable and _FOREIGN.fullmatch(variable):
        if _HUB.fullmatch(variable) and (host == "huggingface.co" or host.endswith((".huggingface.co", ".hf.co"))):
            return
        raise InputError(
            f"teacher.api_key_env: ${variable} is no teacher's key by its name, and would go to {host}. Put the key of "
            f"the teacher into a variable of its own and name that. To send ${variable} all the same, add {SWITCH}."
        )


def is_here(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _checked(value: str, variable: str) -> str:
    """A key that a header can hold. Raises InputError."""
    if not value:
        raise InputError(f"${variable} is empty. Set it to the teacher's key, or unset it where the server wants none.")
    if not value.isascii():
        raise InputError(f"${variable} holds a character that no key has (a typographic quote?). Copy the key again.")
    if not value.isprintable() or " " in value:
        raise InputError(f"${variable} holds a blank, a line break or a control character. Copy the key again.")
    if value[0] in "\"'":
        raise InputError(f"${variable} begins with a quotation mark. Set it to the key without the marks around it.")
    return value


def _long(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are worth hiding, the longest first."""
    return tuple(sorted({one for one in secrets if len(one) >= _SHORTEST_HIDDEN}, key=lambda one: (-len(one), one)))


@cache
def _announce(variable: str, host: str) -> None:
    """Say once, and not in every worker, where a key goes."""
    if multiprocessing.parent_process() is None:
        print(f"sends ${variable} to {host}", file=sys.stderr)
