"""The control process: the only caller of the arm.

Start reading in ``loop.py``: it reads as the specification. ``driver.py`` goes from an observation
to a goal, ``watch.py`` says who may drive, ``guard.py`` stands before the arm, ``timeline.py``
holds the planned actions, ``peers.py`` is how everybody else talks to this process.
"""
