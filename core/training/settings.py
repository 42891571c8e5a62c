"""How a model is trained: declared once, with the words that forms, run files and the command line read."""

from __future__ import annotations

from dataclasses import dataclass

from core.methods.params import param

LABELS, DISTILL, BOTH, AUTO = "labels", "distill", "both", "auto"


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a training besides model, recipe and data; with the seed it makes it repeatable."""

    epochs: int = param(
        20, "Epochs", "Passes over the training samples, in all. Early stopping may end sooner.",
        minimum=1, maximum=10_000,
    )
    batch: int = param(64, "Batch", "Samples in each step.", minimum=1, maximum=4096, unit="samples")
    optimiser: str = param(
        "adamw", "Optimiser", "AdamW adapts each weight's step and needs little tuning. SGD with momentum is slower to "
        "set right and often ends a little better.",
        choices=("adamw", "adam", "sgd"), choice_titles=("AdamW", "Adam", "SGD with momentum"),
    )
    learning_rate: float = param(1e-3, "Learning rate", "Size of a step at its largest.", minimum=1e-8, maximum=10.0)
    schedule: str = param(
        "cosine", "Schedule", "How the learning rate falls: along half a cosine, in a line, or not at all. Each stage "
        "begins anew.",
        choices=("cosine", "linear", "constant"), choice_titles=("Cosine", "Linear", "Constant"),
    )
    warmup: float = param(
        0.05, "Warm-up", "Share of the steps in which the learning rate rises from zero.", minimum=0.0, maximum=0.5,
        percent=True, unit="%",
    )
    momentum: float = param(
        0.9, "Momentum", minimum=0.0, maximum=0.999, when={"optimiser": ["sgd"]},
    )
    weight_decay: float = param(
        0.0, "Weight decay", "Pulls weights towards zero in each step, against overfitting.", minimum=0.0, maximum=1.0
    )
    l1: float = param(
        0.0, "L1 penalty", "Adds the weights' magnitudes to the loss: small ones become smaller, which helps pruning.",
        minimum=0.0, maximum=1.0,
    )
    dropout: float = param(
        0.0, "Dropout", "Share of the values before Linear layers that are left out at random while training.",
        minimum=0.0, maximum=0.9, percent=True, unit="%",
    )
    clip_norm: float = param(
        1.0, "Clip gradients", "Longest gradient, as the norm over all weights; 0 for no limit.", minimum=0.0,
        maximum=1000.0,
    )
    label_smoothing: float = param(
        0.0, "Label smoothing", "Share of the target spread over all classes.", minimum=0.0, maximum=0.5, percent=True,
        unit="%", when={"loss": [AUTO, LABELS, BOTH]},
    )
    class_weights: str = param(
        "none", "Class weights", "Balanced: rare classes count as much as frequent ones.", choices=("none", "balanced"),
        choice_titles=("None", "Balanced"), when={"loss": [AUTO, LABELS, BOTH]},
    )
    augmentation: str = param(
        "none", "Augmentation", "Changes pictures a little each time they are seen. Only for inputs that are pictures.",
        choices=("none", "shift", "affine", "elastic"),
        choice_titles=("None", "Shift", "Shift, turn and scale", "The same and elastic"),
    )
    loss: str = param(
        AUTO, "Learns from", "Labels, the original model's answers (needs no labels), or both. Auto: both where there "
        "are labels of classes, else the answers.",
        choices=(AUTO, LABELS, DISTILL, BOTH), choice_titles=("Auto", "Labels", "The original", "Both"),
    )
    temperature: float = param(
        2.0, "Temperature", "Softens the original's answers, so that also its second choices teach (Hinton et al., "
        "2015).", minimum=0.1, maximum=100.0, when={"loss": [AUTO, DISTILL, BOTH]},
    )
    distill_share: float = param(
        0.5, "Share of the original", "How much its answers count beside the labels.", minimum=0.0, maximum=1.0,
        percent=True, unit="%", when={"loss": [AUTO, BOTH]},
    )
    features: float = param(
        0.0, "Features", "Weight of the difference of the layers' outputs from the original's, beside that of the "
        "answers.", minimum=0.0, maximum=1000.0, when={"loss": [AUTO, DISTILL, BOTH]},
    )
    held_out: float = param(
        0.15, "Held out", "Share of the samples that is not trained on, to see what was learned. Not used when "
        "validation data is given.", minimum=0.01, maximum=0.5, percent=True, unit="%",
    )
    patience: int = param(
        10, "Patience", "Epochs without a better validation after which a stage ends; 0: never.", minimum=0,
        maximum=10_000, unit="epochs",
    )
    stages: str = param(
        "together", "Steps", "Together: the whole recipe at once, then training. One after another: prune, train, then "
        "quantize, train, which loses less at high ratios (Han et al., 2016).",
        choices=("together", "in turn"), choice_titles=("Together", "One after another"),
    )
    sparsity: str = param(
        "cubic", "Pruning", "At once; gradually, as a cubic curve of the epochs (Zhu and Gupta, 2017); or in rounds "
        "that go back to the weights of the start each time (lottery ticket, Frankle and Carbin, 2019).",
        choices=("at once", "cubic", "rewind"), choice_titles=("At once", "Gradually", "In rounds with rewinding"),
    )
    rounds: int = param(
        5, "Rounds", "Of pruning and training.", minimum=2, maximum=50, when={"sparsity": ["rewind"]}
    )
    seed: int = param(0, "Seed", "The same seed gives the same result on one machine.", minimum=0, maximum=2**31 - 1)


DEFAULT_TRAINING = TrainingSettings()
