"""The networks: tensors in, tensors out. Nothing here knows about files, photos or training."""

from durian.models.autoencoder import PixelAutoencoder, decode_latents, encode_latents
from durian.models.denoising_unet import DenoisingUNet
from durian.models.detail_net import DetailNet
from durian.models.image_embedding import ArcFaceEncoder, ClipImageEncoder, SmallImageEncoder
from durian.models.keypoint_guider import KeypointGuider
from durian.models.networks import EncodedReference, Networks
from durian.models.position_reader import PositionReader
from durian.models.reference_net import ReferenceNet
from durian.models.spatial_attention import ReferenceCache, ReferenceFeatures, References, SpatialAttention

__all__ = [
    "ArcFaceEncoder",
    "ClipImageEncoder",
    "DenoisingUNet",
    "DetailNet",
    "EncodedReference",
    "KeypointGuider",
    "Networks",
    "PixelAutoencoder",
    "PositionReader",
    "ReferenceCache",
    "ReferenceFeatures",
    "ReferenceNet",
    "References",
    "SmallImageEncoder",
    "SpatialAttention",
    "decode_latents",
    "encode_latents",
]
