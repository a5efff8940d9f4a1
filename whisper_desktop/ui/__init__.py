"""The desktop, and the only Qt code: thin views over `App`, reached through `bridge`."""
