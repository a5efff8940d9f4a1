"""The models window: what is on this computer, what suits it, what is on its way. Thin over `App.models`."""
