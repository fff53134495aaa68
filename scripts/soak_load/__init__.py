"""The load of scripts/soak, and the checks of how the service coped with it."""
