"""How chunks join: merges and real-time chunking on recorded episodes, beside LeRobot's."""
