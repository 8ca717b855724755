"""The emulated arm: servos on a pseudo-terminal, joints that move, and the world they are in.

Runs in a process of its own and imports neither LeRobot nor torch, so it is there in a tenth of a
second. ``robots.sim`` is what LeRobot sees of it.
"""
