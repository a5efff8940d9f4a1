"""The settings window, made from the declared settings."""
