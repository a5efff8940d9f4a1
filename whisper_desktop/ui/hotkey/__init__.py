"""Keys that reach the app from everywhere: one module a system, and the text that names the keys."""
