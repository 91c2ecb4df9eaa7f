"""Measures the speed, memory and size of models: python -m eval.speed."""
