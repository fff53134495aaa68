"""What scripts/manifests checks; each module looks at one side of the manifests."""
