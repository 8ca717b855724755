"""The subcommands of ``armada``, one light module each; heavy imports happen when one runs."""
