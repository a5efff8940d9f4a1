"""The page on which keys of services are added, replaced and removed."""
