"""What scripts/cluster-proof checks in a cluster; each module has one part of it."""
