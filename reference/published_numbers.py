"""Figures that others have published, each with its source: what records at paper scale are set beside.

They are of other people's runs. Some are contradicted by the paper itself and kept for that reason only; `find` leaves
them out unless they are asked for. Not public anywhere: ABKD's own CIFAR-100 and CLIP figures by pair and by data set.
"""

from collections.abc import Iterator
from dataclasses import dataclass

ABKD_TABLE = "Wang et al., ABKD, ICML 2025 (arXiv 2505.04560), Table 2"
ABKD_REBUTTAL = "Wang et al., ABKD, ICML 2025: authors' rebuttal material"
ABKD_7B = "Wang et al., ABKD, ICML 2025: paper or rebuttal material, table not traced"
AMID = "AMiD paper, independent reproduction of ABKD"
WASD_T3 = "WASD paper, Table 3, independent reproduction of ABKD"
WASD_T2 = "WASD paper, Table 2: ABKD without the plain-text loss and without the student's fine-tuned start"
CIFAR_TABLES = "tables of the TTM and LSD papers and of RepDistiller"
PROMPTKD_TABLES = "tables of the PromptKD and PromptSRC papers"
ARTICLE = "article that this project started from; contradicted by the paper's Table 2, source not traceable"


@dataclass(frozen=True)
class PublishedNumber:
    """One published figure.

    Attributes:
        dataset: as in the suites' table of data sets; "base-to-new average" for the mean of the eleven.
        pair: "teacher:student", None where the source does not say.
        method: in lower case; "teacher" and "student" are trained on labels alone, "sft" too, for language models.
        metric: "rouge_l" (× 100), "accuracy", "base", "new", "harmonic_mean" (percent), "seconds_per_sample".
        value: the figure.
        source: who published it where.
        contradicted: whether the paper itself says otherwise; such a figure is never a target.
    """

    dataset: str
    pair: str | None
    method: str
    metric: str
    value: float
    source: str
    contradicted: bool = False


INSTRUCTION_SETS = ("dolly", "self-instruct", "vicuna", "s-ni", "unni")
GPT2_PAIR = "gpt2-xl:gpt2"
OPENLLAMA_PAIR = "openllama-7b:openllama-3b"
CLIP_PAIR = "clip-vit-l-14:clip-vit-b-16"
AVERAGE = "base-to-new average"

# ROUGE-L on `INSTRUCTION_SETS`, in their order
_ROUGE_L = {
    GPT2_PAIR: (
        ("teacher", (26.94, 13.31, 16.23, 24.28, 29.05), ABKD_REBUTTAL),
        ("sft", (23.14, 10.22, 15.15, 17.41, 19.76), ABKD_TABLE),
        ("kd", (23.80, 10.01, 15.25, 17.69, 18.99), ABKD_TABLE),
        ("minillm", (24.62, 12.49, 17.30, 23.76, 24.30), ABKD_TABLE),
        ("distillm", (25.32, 11.65, 16.76, 23.52, 25.79), ABKD_TABLE),
        ("abkd", (25.65, 13.47, 16.06, 26.47, 29.32), ABKD_TABLE),
        ("rkld", (24.77, 12.02, 15.06, 23.27, 26.01), ABKD_REBUTTAL),
        ("wsd", (23.33, 10.52, 14.83, 19.67, 21.21), ABKD_REBUTTAL),
        ("jsd", (23.79, 11.52, 15.35, 21.36, 21.97), ABKD_REBUTTAL),
        ("bdkd", (23.94, 11.83, 15.21, 19.56, 21.66), ABKD_REBUTTAL),
        ("akl", (23.83, 10.87, 15.63, 20.07, 21.97), ABKD_REBUTTAL),
        ("alphanet", (25.13, 12.46, 15.64, 25.27, 27.56), ABKD_REBUTTAL),
        ("abkd", (25.49, 12.52, 17.36, 26.07, 27.36), AMID),
        ("abkd", (26.15, 12.56, 17.24, 27.07, 29.03), WASD_T3),
        ("abkd", (24.05, 10.88, 15.87, 19.31, 21.50), WASD_T2),
    ),
    OPENLLAMA_PAIR: (
        ("sft", (24.54, 16.80, 16.15, 29.29, 27.43), ABKD_7B),
        ("kd", (25.23, 18.90, 16.67, 31.68, 29.36), ABKD_7B),
        ("gkd", (26.28, 18.84, 17.81, 30.92, 29.79), ABKD_7B),
        ("minillm", (27.74, 20.61, 18.83, 35.31, 33.86), ABKD_7B),
        ("distillm", (28.24, 21.00, 19.12, 37.06, 35.05), ABKD_7B),
        ("alphanet", (28.11, 21.30, 18.70, 37.86, 35.40), ABKD_7B),
        ("abkd", (30.25, 22.39, 20.83, 38.51, 38.66), ABKD_7B),
    ),
}

_SECONDS_PER_SAMPLE = (
    ("sft", 0.344),
    ("kd", 0.649),
    ("seqkd", 0.744),
    ("abkd", 0.768),
    ("alphanet", 0.882),
    ("distillm", 1.331),
    ("gkd", 2.078),
    ("minillm", 4.452),
)

CIFAR_PAIRS = (
    "wrn-40-2:wrn-16-2",
    "wrn-40-2:wrn-40-1",
    "resnet56:resnet20",
    "resnet110:resnet20",
    "resnet110:resnet32",
    "resnet32x4:resnet8x4",
    "vgg13:vgg8",
)
# best test accuracy in percent on `CIFAR_PAIRS`, in their order; nobody published resnet110:resnet44
_CIFAR100 = (
    ("teacher", (75.61, 75.61, 72.34, 74.31, 74.31, 79.42, 74.64)),
    ("student", (73.26, 71.98, 69.06, 69.06, 71.14, 72.50, 70.36)),
    ("kd", (74.92, 73.54, 70.66, 70.67, 73.08, 73.33, 72.98)),
    ("dist", (75.51, 74.73, 71.75, 71.65, 73.69, 76.31, 73.89)),
    ("dkd", (76.24, 74.81, 71.97, 71.06, 74.11, 76.32, 74.68)),
    ("lsd", (76.11, 74.37, 71.43, 71.48, 74.17, 76.62, 74.36)),
    ("ttm", (76.23, 74.32, 71.83, 71.46, 73.97, 76.17, 74.33)),
    ("wttm", (76.37, 74.58, 71.92, 71.67, 74.13, 76.06, 74.44)),
)

# base, new and harmonic mean, over the eleven data sets
_BASE_TO_NEW_AVERAGES = (
    ("clip", (69.34, 74.22, 71.70)),
    ("coop", (82.69, 63.22, 71.66)),
    ("cocoop", (80.47, 71.69, 75.83)),
    ("maple", (82.28, 75.14, 78.55)),
    ("ivlp", (84.21, 71.79, 77.51)),
    ("promptsrc", (84.26, 76.10, 79.97)),
    ("promptkd", (86.96, 80.73, 83.73)),
)
# base and new, PromptKD
_PROMPTKD = (
    ("imagenet", (80.83, 74.66)),
    ("caltech101", (98.91, 96.65)),
    ("oxford-pets", (96.30, 98.01)),
    ("stanford-cars", (82.80, 83.37)),
    ("flowers102", (99.42, 82.62)),
    ("food101", (92.43, 93.68)),
    ("fgvc-aircraft", (49.12, 41.81)),
    ("sun397", (83.69, 81.54)),
    ("dtd", (85.84, 71.37)),
    ("eurosat", (97.54, 82.08)),
    ("ucf101", (89.71, 82.27)),
)

# the article's, on Dolly, Self-Instruct, S-NI and UnNI
_ARTICLE_ROUGE_L = (
    ("sft", (38.2, 40.1, 42.3, 39.8)),
    ("kd", (40.1, 41.7, 43.6, 41.2)),
    ("seqkd", (41.0, 42.5, 44.1, 42.0)),
    ("abkd", (43.7, 44.9, 46.8, 45.3)),
)
# the article's accuracies, of KD and ABKD
_ARTICLE_ACCURACY = (("cifar100", (78.4, 79.8)), ("food101", (90.7, 92.3)), ("eurosat", (96.1, 97.0)), ("ucf101", (82.3, 83.1)))


def _language() -> Iterator[PublishedNumber]:
    for pair, rows in _ROUGE_L.items():
        for method, values, source in rows:
            for dataset, value in zip(INSTRUCTION_SETS, values, strict=True):
                yield PublishedNumber(dataset, pair, method, "rouge_l", value, source)
    for method, value in _SECONDS_PER_SAMPLE:
        yield PublishedNumber("dolly", None, method, "seconds_per_sample", value, ABKD_REBUTTAL)


def _vision() -> Iterator[PublishedNumber]:
    for method, values in _CIFAR100:
        for pair, value in zip(CIFAR_PAIRS, values, strict=True):
            yield PublishedNumber("cifar100", pair, method, "accuracy", value, CIFAR_TABLES)
    for method, values in _BASE_TO_NEW_AVERAGES:
        pair = CLIP_PAIR if method == "promptkd" else None
        for metric, value in zip(("base", "new", "harmonic_mean"), values, strict=True):
            yield PublishedNumber(AVERAGE, pair, method, metric, value, PROMPTKD_TABLES)
    for dataset, values in _PROMPTKD:
        for metric, value in zip(("base", "new"), values, strict=True):
            yield PublishedNumber(dataset, CLIP_PAIR, "promptkd", metric, value, PROMPTKD_TABLES)


def _contradicted() -> Iterator[PublishedNumber]:
    datasets = ("dolly", "self-instruct", "s-ni", "unni")
    for method, values in _ARTICLE_ROUGE_L:
        for dataset, value in zip(datasets, values, strict=True):
            yield PublishedNumber(dataset, None, method, "rouge_l", value, ARTICLE, contradicted=True)
    for dataset, values in _ARTICLE_ACCURACY:
        for method, value in zip(("kd", "abkd"), values, strict=True):
            yield PublishedNumber(dataset, None, method, "accuracy", value, ARTICLE, contradicted=True)


NUMBERS: tuple[PublishedNumber, ...] = (*_language(), *_vision(), *_contradicted())


def find(
    *,
    dataset: str | None = None,
    pair: str | None = None,
    method: str | None = None,
    metric: str | None = None,
    contradicted: bool = False,
) -> tuple[PublishedNumber, ...]:
    """Published figures that match all that is given.

    Args:
        dataset, pair, method, metric: None matches everything.
        contradicted: take the figures that the paper contradicts, and only those.

    Returns:
        The figures in the order of the tables; none where nobody has published one.

    Raises:
        ValueError: a name that no published figure has, so that a misspelt one does not read as "not published".
    """
    wanted = {"dataset": dataset, "pair": pair, "method": method, "metric": metric}
    for name, value in wanted.items():
        known = sorted({getattr(number, name) for number in NUMBERS} - {None})
        if value is not None and value not in (*known, *UNPUBLISHED.get(name, ())):
            raise ValueError(f"{name}={value!r} occurs in no published figure; there are {', '.join(known)}")
    return tuple(
        number
        for number in NUMBERS
        if number.contradicted == contradicted
        and all(value is None or getattr(number, name) == value for name, value in wanted.items())
    )


# names of the paper that have no public figure at all: asking for one is no mistake
UNPUBLISHED = {
    "pair": ("resnet110:resnet44", "gpt2-xl:gpt2-medium", "gpt2-xl:gpt2-large"),
    "method": ("abdkd", "ablsd", "abttm", "imitkd", "tvd"),
}
