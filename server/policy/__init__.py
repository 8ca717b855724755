"""The policy server: one model, many robots, their questions answered in batches."""
