"""What the process asks of its machine: memory, signals to stop."""
