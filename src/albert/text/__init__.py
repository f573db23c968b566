"""Tokenizers for ALBERT and BERT with offsets into the original text, and the hardening of hostile text."""
