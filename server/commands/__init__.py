"""Subcommands of ``armada`` that belong to the server."""
