"""Logs and diagnosis."""
