"""A robot's way from a release on the fleet's server to its own ``current``."""
