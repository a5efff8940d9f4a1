"""Bytes to values and back: HTTP with the reach guard, addresses, server-sent events, the OpenAI dialect."""
