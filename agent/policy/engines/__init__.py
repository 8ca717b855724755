"""How a loaded policy computes a chunk: in plain torch, or faster where the policy is known."""
