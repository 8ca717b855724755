"""Federated rounds: asked for by an operator, run against robots that come, go and err, resumed."""
