"""``make demo``: the whole path on this machine, through the commands that users have.

A server, a broker and a few arms, each a process of its own; the demonstration only starts them,
gives them orders over MQTT, watches, and reports.
"""
