"""The process and its machine: memory, and signals to stop."""
