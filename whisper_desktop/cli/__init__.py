"""The terminal front end: every feature of the app, each with `--json` and an honest exit code.

Exit codes: 0 done, 1 could not be done (the sentence says why), 2 wrong usage, 130 interrupted.
"""
