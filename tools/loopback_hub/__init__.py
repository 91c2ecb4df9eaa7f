"""A Hub on loopback: a test double of the Hugging Face Hub's HTTP API, in memory, for the real clients.

`python -m tools.loopback_hub --port 8765` serves until interrupted. In Python: `with serve() as (hub, url): …`, with
clients as subprocesses in `client_environment(url, home)`, since they read their environment when they are imported.
Uploads use git LFS (HF_HUB_DISABLE_XET=1). It knows the token `hf_writer` (user tester, organisation emo-org) and the
read-only `hf_reader`.
"""

from tools.loopback_hub.access import HubError
from tools.loopback_hub.hub import LoopbackHub
from tools.loopback_hub.serving import APPLIED_500, APPLIED_DROPPED, DROPPED, client_environment, serve

__all__ = ["APPLIED_500", "APPLIED_DROPPED", "DROPPED", "HubError", "LoopbackHub", "client_environment", "serve"]
