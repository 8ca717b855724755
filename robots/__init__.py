"""Arms, cameras and their stand-ins, all registered with LeRobot's own registries.

Importing the subpackages registers them; this one stays light.
"""
