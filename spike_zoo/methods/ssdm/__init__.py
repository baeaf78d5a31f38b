"""S-SDM: self-supervised deblurring of images by spikes of the same exposure."""

from spike_zoo.methods.ssdm.bsn import BSN
from spike_zoo.methods.ssdm.edsr import EDSR
from spike_zoo.methods.ssdm.ldn import LDN
from spike_zoo.methods.ssdm.losses import DistillationOptions
from spike_zoo.methods.ssdm.module import SSDMStudentModule
from spike_zoo.methods.ssdm.sdm import spike_guided_deblur
from spike_zoo.methods.ssdm.teacher import SSDMTeacher
from spike_zoo.methods.ssdm.teacher_module import (
    BlurryInputModule,
    SSDMCascadeModule,
    TeacherOptions,
)
from spike_zoo.methods.ssdm.teacher_training import SSDMTeacherModule

__all__ = [
    "BSN",
    "EDSR",
    "LDN",
    "BlurryInputModule",
    "DistillationOptions",
    "SSDMCascadeModule",
    "SSDMStudentModule",
    "SSDMTeacher",
    "SSDMTeacherModule",
    "TeacherOptions",
    "spike_guided_deblur",
]
