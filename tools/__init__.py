"""Tools for the demo and the tests."""
