"""A robot's recorded episodes: opening them, locking them, splitting them."""
