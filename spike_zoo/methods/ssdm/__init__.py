"""S-SDM: self-supervised deblurring of images by spikes of the same exposure."""

from spike_zoo.methods.ssdm.bsn import BSN
from spike_zoo.methods.ssdm.edsr import EDSR
from spike_zoo.methods.ssdm.ldn import LDN, EncodedBlur
from spike_zoo.methods.ssdm.losses import (
    DistillationLoss,
    DistillationOptions,
    LPIPSDistance,
    denoising_loss,
    make_distance,
    upsampling_loss,
)
from spike_zoo.methods.ssdm.module import SSDMStudentModule
from spike_zoo.methods.ssdm.san import SAN
from spike_zoo.methods.ssdm.sdm import spike_guided_deblur
from spike_zoo.methods.ssdm.teacher import SSDMTeacher
from spike_zoo.methods.ssdm.teacher_module import (
    BlurryInputModule,
    SSDMCascadeModule,
    TeacherOptions,
)
from spike_zoo.methods.ssdm.teacher_training import SSDMTeacherModule
from spike_zoo.tasks.deblurring import DeblurModule

__all__ = [
    "BSN",
    "EDSR",
    "LDN",
    "SAN",
    "BlurryInputModule",
    "DeblurModule",
    "DistillationLoss",
    "DistillationOptions",
    "EncodedBlur",
    "LPIPSDistance",
    "SSDMCascadeModule",
    "SSDMStudentModule",
    "SSDMTeacher",
    "SSDMTeacherModule",
    "TeacherOptions",
    "denoising_loss",
    "make_distance",
    "spike_guided_deblur",
    "upsampling_loss",
]
