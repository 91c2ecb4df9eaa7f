"""Trains models on a published corpus. See `accelerate launch -m train.classifier --help`."""
