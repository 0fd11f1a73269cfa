"""Settings of the sections `model` (of a member) and `torch`."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from podium.core.colours import RGB
from podium.core.params import Section
from podium.core.placeholders import NO_FILE, FileOrNone

Unit = Annotated[float, Field(ge=0, le=1)]  # pixels are in [0, 1], not in [0, 255]
PerChannel = Annotated[tuple[Unit, ...], Field(min_length=1)]
# every flip and rotation of a square, and five crops; what each does stands in podium/models/predict.py
TtaTransform = Literal[
    "identity",
    "hflip",
    "vflip",
    "rot90",
    "rot180",
    "rot270",
    "transpose",
    "transverse",
    "crop_centre",
    "crop_top_left",
    "crop_top_right",
    "crop_bottom_left",
    "crop_bottom_right",
]


class ModelSettings(Section):
    """The backbone, its weights, and how an image becomes its input.

    Attributes:
        backbone: a timm model name, or one of podium/models/families.
        model_kwargs: passed on to timm.create_model unchanged.
        weights: "hub" (timm's pretrained ones, or those that a family's authors released), "none" (random), or "file"
            (`weights_file`: .safetensors or .pth).
        weights_file: with `weights: file`, its path; else placeholders/none.csv.
        mean, std: of the model's input, one number per channel, for pixels in [0, 1]; required if a weights file does
            not hold them. Those of RGB are repeated for other channels, as RGB weights are.
        image_size: of training, both sides, in pixels.
        resize: "squash" to a square, "crop" the centre, or "pad" with the mean colour.
        crop_fraction: with "crop", the fraction of the short side inside the crop.
        seed: of all random draws of the member: first weights, batches, augmentation.
        precision: of the computation; weights are always fp32. "bf16" and "fp16" need a processor that has them.
        channels_last: a memory layout that is faster for most convolutional networks.
        compile: use torch.compile in trainings, which takes minutes at first.
    """

    backbone: str = Field(min_length=1)
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    weights: Literal["hub", "none", "file"]
    weights_file: FileOrNone = NO_FILE
    mean: PerChannel | None = None
    std: PerChannel | None = None
    image_size: int = Field(ge=8, le=4096)
    resize: Literal["squash", "crop", "pad"] = "squash"
    crop_fraction: float = Field(1.0, gt=0, le=1)
    seed: int = Field(0, ge=0, lt=2**32)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    compile: bool = False

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        if (self.weights == "file") != (self.weights_file != NO_FILE):
            raise ValueError(
                f"weights is {self.weights} and weights_file is {self.weights_file}: `weights: file` needs a"
                f" weights_file, the others need {NO_FILE}"
            )
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: set both or neither")
        for name in ("mean", "std"):
            if (given := getattr(self, name)) is not None and len(given) not in (RGB, self.channels):
                raise ValueError(f"{name} has {len(given)} numbers, and the images have {self.channels} channels")
        if self.weights == "hub" and self.mean is not None:
            raise ValueError("mean and std come from the hub's configuration: remove them, or use `weights: file`")
        if self.std is not None and min(self.std) < 0.001:
            raise ValueError("std must be at least 0.001")
        if self.resize != "crop" and self.crop_fraction != 1:
            raise ValueError(f"crop_fraction has no effect with `resize: {self.resize}`")
        return self

    @property
    def channels(self) -> int:
        """Return the number of channels of the model's input: `model_kwargs.in_chans`, or RGB."""
        return int(self.model_kwargs.get("in_chans", RGB))

    def side_needed(self, image_size: int) -> int:
        """Return the short side, in pixels, from which an image reaches `image_size` without being enlarged."""
        return round(image_size / self.crop_fraction)


class TorchSettings(Section):
    """Device and threads; the number of threads is a setting because it changes sums of floats.

    Attributes:
        device: "auto" is CUDA where there is a GPU, then Apple's MPS, then the CPU.
        threads: of the processor, in each stage.
        reproducible: "strict" makes the same inputs give the same bytes; "fast" lets a CUDA GPU use TF32 and the
            kernels that are fastest in a trial, whose results differ a little from run to run (docs/speed.md).
        devices: CUDA GPUs that one training divides every batch over, in a process each; the weights are those of one
            GPU up to rounding. With `device: cpu` as many processes run on the CPU (docs/speed.md).
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int = Field(2, ge=1)
    reproducible: Literal["strict", "fast"] = "strict"
    devices: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        if self.devices > 1 and self.device == "mps":
            raise ValueError(f"`devices: {self.devices}` needs CUDA GPUs, and `device: mps` has one; set devices: 1")
        if self.reproducible == "fast" and self.device in ("cpu", "mps"):
            raise ValueError(f"`reproducible: fast` has no effect with `device: {self.device}`; remove it")
        return self
