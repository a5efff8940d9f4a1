"""The setup wizard: thin pages over `advice.flow`."""
