"""Other programs' engines: LM Studio and Ollama, started, filled and ended for a person who said yes.

`lm_studio` and `ollama` are the two programs, `consent` the yes that each of their effects uses up, `started`
what we started and may therefore end. `guard` is the process that a program is bound to where it is to end
with us, and `display` the virtual display that it may need.
"""
