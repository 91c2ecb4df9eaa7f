"""A Hub on loopback: the real client's requests, answered on this machine."""
