"""The control process: the only caller of the arm.

Start reading in ``loop.py``: it reads as the specification. ``timeline.py`` holds the planned
actions, ``guard.py`` stands before the arm, ``peers.py`` is how everybody else talks to it.
"""
