"""The policy on another machine: what a robot sends there, and the worker that does it.

Nothing here imports torch: the host of such a robot is small.
"""
