"""Clients that there are not: Flower's simulation with the ClientApp of the robots."""

PARTITION, PARTITIONS = "partition-id", "num-partitions"
"""What Flower tells a simulated client in its node configuration, and a robot never."""
