"""The chat window: a transcript that streams, a composer, and who answered."""
