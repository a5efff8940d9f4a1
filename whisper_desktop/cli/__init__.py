"""The terminal front end: every feature of the app, each with `--json` and an honest exit code.

Exit codes: 0 done, 1 could not be done (the sentence says why), 2 wrong usage, 70 a mistake of ours (the
details are in the log), 130 interrupted. With `--json` standard output holds one JSON document, also for an
error of code 1 or 70; everything else goes to standard error.
"""
