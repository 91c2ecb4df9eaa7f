"""What `push.py` is made of: the plan, its checks, and the calls to the Hub. Imports nothing of the other folders."""
