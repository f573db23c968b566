"""Fine-tuned and pre-trained models at work: on texts, on files, and what is made of their vectors."""
