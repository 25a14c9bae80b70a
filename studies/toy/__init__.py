"""The parts of the embedded model's training that only it has; recipes/nano.sh runs the whole."""
