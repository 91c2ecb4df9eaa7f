"""Proxies that the environment names: none leads to this machine, and one that cannot be used is named."""

import os
from typing import Any
from urllib.parse import urlsplit

import openai

from dataset_builder.inputs import InputError
from dataset_builder.recipe_teachers import shown_url
from dataset_builder.teachers.keys import is_here

VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def proxies_to(url: str) -> str:
    """What of the environment names a proxy for calls to a url, as `$HTTPS_PROXY`; "" for none."""
    found = [f"${name}" for name in os.environ if name.lower() in VARIABLES and os.environ[name]]
    return "" if is_here(urlsplit(url).hostname or "") else ", ".join(found)


def http_client(url: str) -> Any:
    """The HTTP client for a url.

    Raises:
        InputError: the environment's proxy cannot be used.
    """
    try:
        return openai.DefaultAsyncHttpxClient(trust_env=not is_here(urlsplit(url).hostname or ""))
    except Exception as error:  # of several libraries; what it says may hold the proxy's password
        raise InputError(
            f"{shown_url(url)}: no call can be made through {proxies_to(url)} ({type(error).__name__}). Set it to an "
            "http:// url, or take it out of the environment."
        ) from None
