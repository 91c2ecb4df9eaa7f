"""Users of the loopback Hub, and what they may see and write."""

import json
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse

Json = Any


class HubError(Exception):
    """An answer other than success, with the headers by which the client tells errors apart."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        plain = message.encode("ascii", "replace").decode()  # headers carry no more
        marks = {"X-Error-Message": plain, **({"X-Error-Code": code} if code else {}), **headers}
        self.response = JSONResponse({"error": message}, status, marks)


@dataclass(frozen=True)
class User:
    """Who a token belongs to."""

    name: str
    role: str
    organisations: tuple[str, ...] = ()

    def owns(self, repo_id: str) -> bool:
        """Return whether the repository is in the user's own or an organisation's namespace."""
        return repo_id.split("/")[0] in (self.name, *self.organisations)


USERS = {
    "hf_writer": User("tester", "write", ("emo-org", "google-research-datasets")),
    "hf_reader": User("reader", "read"),
}


@dataclass(frozen=True)
class Call:
    """A request, its raw path split before unquoting, so that `refs%2Fpr%2F1` stays one part."""

    method: str
    parts: list[str]
    query: dict[str, list[str]]
    body: bytes
    headers: dict[str, str]
    user: User | None
    base: str

    @property
    def json(self) -> Json:
        """The body."""
        return json.loads(self.body or b"{}")

    def may_see(self, name: str, private: bool) -> bool:
        """Return whether the caller may see something under a name; private things are visible to their owners."""
        return not private or bool(self.user and self.user.owns(name))

    def require_write(self, name: str, refusal: str) -> None:
        """Raise HubError if the caller may not write under the name's namespace."""
        if not (self.user and self.user.owns(name) and self.user.role == "write"):
            raise HubError(403 if self.user else 401, refusal)
