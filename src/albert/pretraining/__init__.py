"""Self-supervised pre-training: corpus -> shards -> instances -> objective."""
