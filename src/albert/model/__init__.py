"""The network, its heads and its checkpoints: the reference that everything else is proved equal to."""

from albert.model.checkpoint import load_encoder, load_model, load_text2text, save_model
from albert.model.decoder import AlbertForText2Text
from albert.model.heads import HEADS, AlbertForTask
from albert.model.network import AlbertModel, EncoderOutput

__all__ = [
    "HEADS",
    "AlbertForTask",
    "AlbertForText2Text",
    "AlbertModel",
    "EncoderOutput",
    "load_encoder",
    "load_model",
    "load_text2text",
    "save_model",
]
