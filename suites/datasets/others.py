"""The paper's data sets whose loaders are not built yet: where they lie, how to get them, whether they are there.

The instruction sets lie as MiniLLM's processed data do, the image sets as CoOp describes them.
"""

from functools import partial
from pathlib import Path

from suites.datasets.dataset import INCOMPLETE, NOT_THERE, THERE, Dataset, Presence

MINILLM = "MiniLLM's processed data (https://github.com/microsoft/LMOps/tree/main/minillm): {}"
COOP = "images and splits as https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md says: {}"


def find(files: tuple[str, ...], folder: Path) -> Presence:
    """Whether files and folders, named relative to the data folder, are there."""
    missing = [name for name in files if not (folder / name).exists()]
    if len(missing) == len(files):
        return Presence(NOT_THERE, f"no {files[0]} in {folder}")
    if missing:
        return Presence(INCOMPLETE, f"{', '.join(missing)} missing in {folder}")
    return Presence(THERE, str(folder / files[0]))


def _instructions(name: str, title: str, *files: str) -> Dataset:
    get = MINILLM.format(", ".join(files))
    return Dataset(name=name, title=title, task="language", get=get, presence=partial(find, files))


def _images(name: str, title: str, *files: str) -> Dataset:
    get = COOP.format(", ".join(files))
    return Dataset(name=name, title=title, task="base-to-new", get=get, presence=partial(find, files))


DATASETS = (
    _instructions("dolly", "Dolly (databricks-dolly-15k)", "dolly/train.jsonl", "dolly/dev.jsonl", "dolly/valid.jsonl"),
    _instructions("self-instruct", "Self-Instruct", "self-inst/valid.jsonl"),
    _instructions("vicuna", "Vicuna", "vicuna/valid.jsonl"),
    _instructions("s-ni", "S-NI (Super-NaturalInstructions, 11 tokens and more)", "sinst/11_/valid.jsonl"),
    _instructions("unni", "UnNI (Unnatural Instructions, 11 tokens and more)", "uinst/11_/valid.jsonl"),
    _images("imagenet", "ImageNet", "imagenet/images", "imagenet/classnames.txt"),
    _images("caltech101", "Caltech101", "caltech-101/101_ObjectCategories", "caltech-101/split_zhou_Caltech101.json"),
    _images("oxford-pets", "OxfordPets", "oxford_pets/images", "oxford_pets/split_zhou_OxfordPets.json"),
    _images(
        "stanford-cars",
        "StanfordCars",
        "stanford_cars/cars_train",
        "stanford_cars/cars_test",
        "stanford_cars/split_zhou_StanfordCars.json",
    ),
    _images("flowers102", "Flowers102", "oxford_flowers/jpg", "oxford_flowers/split_zhou_OxfordFlowers.json"),
    _images("food101", "Food101", "food-101/images", "food-101/split_zhou_Food101.json"),
    _images("fgvc-aircraft", "FGVCAircraft", "fgvc_aircraft/images", "fgvc_aircraft/images_variant_train.txt"),
    _images("sun397", "SUN397", "sun397/SUN397", "sun397/split_zhou_SUN397.json"),
    _images("dtd", "DTD", "dtd/images", "dtd/split_zhou_DescribableTextures.json"),
    _images("eurosat", "EuroSAT", "eurosat/2750", "eurosat/split_zhou_EuroSAT.json"),
    _images("ucf101", "UCF101", "ucf101/UCF-101-midframes", "ucf101/split_zhou_UCF101.json"),
)
