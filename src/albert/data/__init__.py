"""Readers of data files, and batches of encoded examples."""
