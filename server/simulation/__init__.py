"""Flower's simulation with Flower's own strategies: for researchers, without a fleet."""
