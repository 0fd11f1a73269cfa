"""Training: the phases `pretrain`, `finetune`, `fixres`, `pseudo` and `distill`.

`pretrain` is phase 1, with mixup; not ImageNet pretraining.

augment.py        albumentations pipelines from params.yaml
auto_augment.py   TrivialAugment and RandAugment
compiling.py      a bound on the time of torch.compile
distributed.py    one training in several processes, on a GPU each
head_init.py      the first weights of the classifier: the probe's, or unchanged
loop.py           the training loop of every phase
losses.py         cross-entropy, BCE, focal and logit-adjusted loss
mixup.py          mixup and CutMix
phase.py          the settings, images and outputs of one phase of one member on one fold
phase_run.py      run a phase, or copy the weights if it has 0 epochs
pseudo_labels.py  images without labels, with what models predict as soft labels
recomputing.py    gradient checkpointing
resume.py         the state of an unfinished training, from which the next run goes on
schedules.py      optimizers and learning rate schedules
settings.py       the sections `pretrain` and `finetune`, and the maps of optional phases
train_images.py   augmented training images in batches
trainer.py        build the model, fit it, predict the held-out fold, save
"""
