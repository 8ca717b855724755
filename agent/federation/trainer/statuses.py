"""How the process of a job ends, beside crashes."""

DONE = 0
"""It is finished, or somebody removed it."""

NEVER = 3
"""It never will be: why stands in the job's folder."""

LATER = 75
"""Try again: EX_TEMPFAIL."""
