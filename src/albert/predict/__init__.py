"""Predictions of fine-tuned and pre-trained models for texts and files, and uses of their vectors."""
