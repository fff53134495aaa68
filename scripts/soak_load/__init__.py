"""The load of scripts/soak, and the judge of what the service made of it."""
