"""The checks of `albert check` on labelled files before training."""
