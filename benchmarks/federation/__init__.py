"""Federated rounds: memory, bytes and time, beside plain Flower."""
