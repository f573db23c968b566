"""The training loop, the optimisers, and the state of a run on disk. Nothing here belongs to one kind of training."""
