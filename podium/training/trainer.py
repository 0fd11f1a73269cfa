"""Train a phase with torch: build the model, fit it, predict the held-out fold, save."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from dvclive import Live
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from podium.core import interrupts, pixels, seeding
from podium.core import targets as label_targets
from podium.core.pixels import PixelPack
from podium.models import backbones, devices, predict
from podium.models.plain_images import PlainImages, RepeatedImages
from podium.models.preprocessing import Preprocessing
from podium.training import (
    distributed,
    head_init,
    loop,
    losses,
    mixup,
    pseudo_labels,
    recomputing,
    resume,
    schedules,
    train_images,
)
from podium.training.phase import (
    FoldImages,
    LabelledImages,
    SoftLabelledImages,
    TrainingJob,
    extra_files,
    write_predictions,
)
from podium.training.settings import DistillSettings, PretrainSettings, PseudoSettings

EVALUATION_BATCH = 64  # for predictions: fits in memory where training fits, because no gradients are stored


def train(job: TrainingJob, weights: Path, data: FoldImages) -> None:
    """Train a phase with at least one epoch; write weights, held-out predictions and curves."""
    distributed.run(job, devices.start(job.torch), partial(_train, job, weights, data))


def _train(
    job: TrainingJob, weights: Path, data: FoldImages, device: torch.device, process: distributed.OneProcess
) -> None:
    trainer = Trainer if process.rank == 0 else FollowingTrainer
    numerics = devices.Numerics(device, job.model.precision, job.model.channels_last)
    batch = f"batches of {job.settings.batch_size} images of {job.image_size} x {job.image_size} pixels"
    remedy = f"set params.yaml: {job.key}.batch_size lower (accumulate higher), precision: bf16 or a lower image_size"
    with devices.memory_explained(job.name, batch, remedy):
        devices.reproducibly(job.name, lambda: trainer(job, backbones.read(weights), data, numerics, process).run())


class CurvesLog(Live):  # type: ignore[misc]  # dvclive has no types
    """dvclive's curves without DVC, which would take half a second to import for an experiment that no stage saves.

    Args:
        folder: of the curves.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(dir=str(folder), dvcyaml=None, save_dvc_exp=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the curves, but not after an error: dvclive starts a thread then, whose error would hide the first."""
        if error is None:
            super().__exit__(kind, error, trace)

    def _init_dvc(self) -> None:
        """Open no DVC repository."""


class Trainer:
    """The training of one phase of one member on one fold."""

    def __init__(
        self,
        job: TrainingJob,
        checkpoint: backbones.Checkpoint,
        data: FoldImages,
        numerics: devices.Numerics,
        process: distributed.OneProcess | None = None,
    ) -> None:
        self.job, self.checkpoint, self.data, self.numerics = job, checkpoint, data, numerics
        self.process = process or distributed.OneProcess()
        self.packed = pixels.open_pack(job.root / "data/prepare/train/pixels.arrow")
        values = checkpoint.meta["preprocessing"]
        self.preprocessing = Preprocessing(
            tuple(values["mean"]), tuple(values["std"]), job.model.resize, job.model.crop_fraction
        )
        self.seed = seeding.derive(job.model.seed, job.phase, job.member, job.fold)
        self.last: NDArray[np.float32]  # held-out probabilities after the last epoch (n_images, n_classes)
        self.curves: list[dict[str, float]] = []  # for each epoch, name -> value of what it logged
        self.states: resume.StateFile | None = None

    def run(self) -> None:
        """Train, from the state of an earlier run if there is one, and write all outputs."""
        model = self._model()
        self.states = self._states_of(model)
        try:
            with CurvesLog(self.job.path("data", ".live")) as live:
                final = self._fit(self.numerics.place(model), live)
            self._write(final)
        except BaseException as error:
            self.states.save()
            if isinstance(error, interrupts.StopSignal):
                error.advice = self.states.advice
            raise
        self.states.remove()

    def _states_of(self, model: nn.Module) -> resume.StateFile:
        return resume.StateFile(self.job.state_path, self.job, self._key_of(model))

    def _key_of(self, model: nn.Module) -> Callable[[], str]:
        """Return a function that makes the training's key; only long trainings need it, and it reads all pixels."""
        start = resume.weights_digest(model)
        return lambda: resume.training_key(
            self.job,
            self.data,
            pack=self.packed,
            preprocessing=self.preprocessing,
            start=start,
            device=self.numerics.device,
            others=self._others,
        )

    @property
    def _others(self) -> list[Path]:
        """Return the files of extra images, and those of test images and their labels that the optional phases read."""
        s, extra = self.job.settings, extra_files(self.job.root)
        test = [self.job.root / "data/prepare/test/pixels.arrow"] if isinstance(s, PseudoSettings) else []
        return [*extra, *test, self._teacher] if isinstance(s, DistillSettings) else [*extra, *test]

    @property
    def _teacher(self) -> Path:
        return self.job.root / f"data/ensemble/teacher/{self.job.fold}.parquet"

    def _model(self) -> nn.Module:
        job = self.job
        # the seed depends on the fold, not on the phase: a new head is the same in whichever phase is the first
        torch.manual_seed(seeding.derive(job.model.seed, job.member, job.fold, "head"))
        model = backbones.create(
            job.model.backbone,
            n_classes=len(self.data.classes),
            model_kwargs=job.model.model_kwargs,
            drop_path=job.settings.drop_path,
        )
        message = backbones.load(model, self.checkpoint.state, f"{job.name}: weights of {job.member}")
        if message:
            print(message)
        is_first = "classes" not in self.checkpoint.meta  # `_write` adds them
        head_init.init_classifier(job, model, self.data.classes, is_first=is_first, is_new=bool(message))
        return model

    def _fit(self, model: nn.Module, live: Live | None) -> nn.Module:
        job, s = self.job, self.job.settings
        if s.gradient_checkpointing:
            recomputing.enable(model, f"{job.key}.gradient_checkpointing")
        loop.set_mode(model, s.frozen)  # before the optimizer, which ignores frozen parameters
        model = self.process.prepared(model)
        optimizer = schedules.build_optimizer(
            model,
            name=s.optimizer,
            lr=s.lr,
            momentum=s.momentum,
            weight_decay=s.weight_decay,
            layer_decay=s.layer_decay,
            head_lr_factor=s.head_lr_factor,
        )
        images = self._train_images(model)
        start = self._start(live)
        order = train_images.EpochBatches(
            len(images),
            s.batch_size,
            s.epochs,
            self.seed,
            images.classes if s.sampler == "balanced" else None,
            first_epoch=0 if start is None else start.epochs,
            shares=self._shares(len(images)),
        )
        scheduler = schedules.build_scheduler(
            optimizer,
            name=s.schedule,
            epochs=s.epochs,
            updates_per_epoch=-(-order.steps_per_epoch // s.accumulate),
            warmup_epochs=s.warmup_epochs,
            min_lr=s.min_lr,
            decay_epochs=s.decay_epochs,
            decay_rate=s.decay_rate,
        )
        return loop.fit(
            model,
            iter(train_images.train_batches(images, self.process.slices(order), self.numerics.device)),
            epochs=s.epochs,
            steps_per_epoch=order.steps_per_epoch,
            optimizer=optimizer,
            scheduler=scheduler,
            loss=self._loss(),
            mix=self._mix(),
            preprocessing=self.preprocessing,
            numerics=self.numerics,
            compiled=job.model.compile,
            recomputed=s.gradient_checkpointing,
            accumulate=s.accumulate,
            clip_grad=s.clip_grad,
            ema_decay=s.ema_decay,
            average_epochs=s.average_epochs,
            frozen=s.frozen,
            head_only_epochs=s.head_only_epochs,
            seed=self.seed,
            name=job.name,
            on_epoch=lambda epoch, final: self._log(live, epoch, final),
            start=start,
            on_state=self._keep,
            process=self.process,
        )

    def _start(self, live: Live | None) -> resume.TrainingState | None:
        """Read the state of an earlier run, and log its curves again."""
        start = None if self.states is None else self.states.read()
        for number, values in enumerate(start.curves if start is not None else []):
            self._log_values(live, number, values)
        return start

    def _keep(self, epochs: int, updates: int, parts: dict[str, Any]) -> None:
        if self.states is not None:
            self.states.keep(resume.TrainingState(epochs, updates, parts, self.curves))
        interrupts.check()

    def _train_images(self, model: nn.Module) -> train_images.TrainImages:
        s = self.job.settings
        packed: PixelPack | train_images.TrainAndTest = self.packed
        labels: LabelledImages | SoftLabelledImages = self.data.train
        if isinstance(s, PseudoSettings):
            test = pixels.open_pack(self.job.root / "data/prepare/test/pixels.arrow")
            packed = train_images.TrainAndTest(self.packed, test)
            predicted = self._taught() if isinstance(s, DistillSettings) else self._predicted(model, test)
            labels = pseudo_labels.joined(self.data.train, predicted, s, self.job.name)
        return train_images.TrainImages(
            packed,
            labels.image_ids,
            labels.targets if np.ndim(labels.targets) > 1 else labels.targets.tolist(),
            preprocessing=self.preprocessing,
            image_size=self.job.image_size,
            augmentation=s.augmentation,
            key=f"{self.job.key}.augmentation",
            seed=self.seed,
        )

    def _shares(self, n_images: int) -> NDArray[np.float64] | None:
        """Return the share of each training image's kind that an epoch draws; images with soft labels come last."""
        shares = self.data.shares
        return None if shares is None else np.concatenate([shares, np.ones(n_images - len(shares))])

    def _taught(self) -> SoftLabelledImages:
        """Read what the blend of this fold's models predicts of the test images."""
        return pseudo_labels.read_teacher(self._teacher, self.data.classes)

    def _predicted(self, model: nn.Module, test: PixelPack) -> SoftLabelledImages:
        """Predict the images whose labels this fold's model does not know: its held-out images and all test images.

        Held-out images get their pseudo-labels as test images do. Without them, the model would have been confirmed in
        its errors on test images alone, so its held-out predictions would be those of another kind of image.
        """
        ids = self.data.held_out.image_ids
        passes = [(self.packed, ids), (test, test.image_ids)]
        probs = np.concatenate([self._probs(model, PlainImages(*one, *self._input)) for one in passes])
        return SoftLabelledImages([*ids, *(train_images.TEST + image_id for image_id in test.image_ids)], probs)

    def _loss(self) -> nn.Module:
        s, device = self.job.settings, self.numerics.device
        targets, n_classes = torch.from_numpy(self.data.train.targets), len(self.data.classes)
        shares = None if self.data.shares is None else torch.from_numpy(self.data.shares)
        counts = targets, n_classes, shares
        sets = label_targets.are_sets(self.data.classes)
        loss = losses.SoftTargetLoss(
            losses.balanced_weights(*counts).to(device) if s.class_weights == "balanced" else None,
            s.label_smoothing,
            name=losses.of_sets(s.loss) if sets else s.loss,
            sets=sets,
            log_prior=losses.log_class_shares(*counts).to(device) if s.loss == "logit_adjusted" else None,
        )
        return losses.WeighedImagesLoss(loss) if isinstance(s, PseudoSettings) else loss

    def _mix(self) -> mixup.Mix:
        s, n_classes = self.job.settings, len(self.data.classes)
        mixed = {"mixup": s.mixup, "cutmix": s.cutmix} if isinstance(s, PretrainSettings) else {"mixup": 0, "cutmix": 0}
        return mixup.build(**mixed, n_classes=n_classes, seed=self.seed)

    def _log(self, live: Live | None, epoch: loop.Epoch, final: nn.Module) -> None:
        values = {"train/loss": epoch.loss, "train/lr": epoch.lr}
        if self.job.settings.curves or epoch.number == self.job.settings.epochs - 1:
            values |= self._held_out_scores(epoch, final)
        self._log_values(live, epoch.number, values)

    def _log_values(self, live: Live | None, number: int, values: dict[str, float]) -> None:
        if live is None:
            return
        live.step = number
        for name, value in values.items():
            live.log_metric(name, value)
        live.make_summary()
        self.curves.append(values)

    def _held_out_scores(self, epoch: loop.Epoch, final: nn.Module) -> dict[str, float]:
        # does not use podium/scoring: a change there must not retrain anything
        self.last = self._probs(final, self._held_out)
        targets, probs = self.data.held_out.targets, self.last.astype(np.float64)
        if not np.isfinite(probs).all():
            raise loop.diverged(self.job.name, "the held-out predictions are not finite", epoch.number)
        rows = label_targets.probs_of_rows(probs, self.data.classes)
        targets, probs = label_targets.as_rows(targets), rows / rows.sum(axis=1, keepdims=True)
        logs = torch.from_numpy(probs).clamp_min(np.finfo(np.float64).eps).log()
        return {
            "held_out/accuracy_score": float((probs.argmax(1) == targets).mean()),
            "held_out/log_loss": functional.nll_loss(logs, torch.from_numpy(targets)).item(),
        }

    @property
    def _input(self) -> tuple[Preprocessing, int]:
        return self.preprocessing, self.job.image_size

    @cached_property
    def _held_out(self) -> PlainImages:
        """Return the images of this fold; every epoch predicts them."""
        return RepeatedImages(self.packed, self.data.held_out.image_ids, *self._input)

    def _probs(self, model: nn.Module, images: PlainImages) -> NDArray[np.float32]:
        """Predict images as they are (n_images, n_classes)."""
        probs = predict.probabilities(
            model,
            images,
            transforms=["identity"],
            batch_size=EVALUATION_BATCH,
            numerics=self.numerics,
            sets=label_targets.are_sets(self.data.classes),
        )["identity"]
        return probs.reshape(len(images), len(self.data.classes))

    def _write(self, final: nn.Module) -> None:
        job, data = self.job, self.data
        table = predict.prediction_table(
            data.held_out.image_ids,
            self.last,
            data.classes,
            subset="train",
            fold=job.fold,
            image_size=job.image_size,
            transform="identity",
        )
        write_predictions(job, table)
        stored: dict[str, Any] = {"classes": data.classes, "preprocessing": self.preprocessing.to_dict()}
        backbones.save(job.path("models", ".safetensors"), final, {**self.checkpoint.meta, **stored})


class FollowingTrainer(Trainer):
    """The training in a process beside the first one: it computes its slice of each batch and writes nothing."""

    def run(self) -> None:
        """Train, from the same state as the first process."""
        model = self._model()
        self.states = self._states_of(model)
        self._fit(self.numerics.place(model), None)

    def _keep(self, epochs: int, updates: int, parts: dict[str, Any]) -> None:
        """Leave the state to the first process."""

    def _log(self, live: Live | None, epoch: loop.Epoch, final: nn.Module) -> None:
        """Leave the curves and the held-out fold to the first process."""
