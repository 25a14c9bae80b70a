"""What the machine gives: files, the cache folder, the hub, a run's folder, a Ray cluster."""
