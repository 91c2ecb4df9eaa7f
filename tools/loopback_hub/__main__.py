"""python -m tools.loopback_hub [--port 8765]: serves a Hub until interrupted, and prints a client's environment."""

import argparse
import threading
from contextlib import suppress

from tools.loopback_hub import serve


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tools.loopback_hub", description="Serves a Hub for tests.")
    parser.add_argument("--port", type=int, default=8765)
    port = parser.parse_args().port
    switches = " ".join(f"HF_HUB_DISABLE_{name}=1" for name in ("XET", "TELEMETRY", "UPDATE_CHECK"))
    with suppress(KeyboardInterrupt), serve(port=port) as (_, url):
        print("unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE HF_DATASETS_OFFLINE")
        print(f"export HF_ENDPOINT={url} HF_TOKEN=hf_writer HF_HOME=$(mktemp -d) {switches}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
