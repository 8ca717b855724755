"""From the updates of a round to the weights that follow, one tensor in memory at a time."""
