"""Text to shards: documents are read, cut, tokenised and stored once, before pre-training."""
