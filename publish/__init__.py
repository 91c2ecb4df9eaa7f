"""The parts of `push.py`: the plan, its checks, and the calls to the Hub. Imports nothing from the other folders."""
