"""Quick ask: a small window that is there at once, for one question and those that follow from it."""
