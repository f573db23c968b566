"""What `albert check` looks for in labelled files before training."""
