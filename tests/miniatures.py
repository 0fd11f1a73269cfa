"""Miniatures of real contests: their file names, columns and formats, with one tiny image in every image file.

Each writes into data/contest/ and returns the truth of its test images. Kaggle gives train labels and a template; the
truth is what this file makes up.
"""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from podium.core.targets import as_cell

N_TRAIN, N_TEST = 18, 4
_PICTURE = io.BytesIO()
Image.effect_noise((12, 10), 60).convert("RGB").save(_PICTURE, "PNG")


@dataclass(frozen=True)
class Miniature:
    """What a submission must be.

    Attributes:
        truth: path of each test image in its folder -> its class, as the labels of params.yaml spell it; or its set of
            labels (podium.core.targets).
        header: of the submission.
        ids: of its rows, in their order, each with the image that it means.
        id_column: position of the ids.
        together: id -> its images, of ids that mean several.
    """

    truth: dict[str, str]
    header: list[str]
    ids: dict[str, str]
    id_column: int = 0
    together: dict[str, list[str]] = field(default_factory=dict)


def csv(home: Path, name: str, *lines: str) -> None:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def images(home: Path, *names: str) -> None:
    for name in names:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_PICTURE.getvalue())


def table(
    home: Path,
    *,
    classes: tuple[str, ...],
    train: str = "train/{}.jpg",
    test: str = "test/{}.jpg",
    labels: str = "train.csv",
    header: str,
    row: str,
    template: str,
    cell: str = "0.5",
    ending: str = "",
) -> Miniature:
    """A contest with a label CSV.

    Args:
        row: of the label CSV; {i} is the image's name without its ending, {c} its class.
        template: the header of the template.
        cell: the rest of each of its rows.
        ending: of ids in the template.
    """
    names = [f"a{i:02}" for i in range(N_TRAIN)]
    tests = [f"t{i:02}" for i in range(N_TEST)]
    of = {name: classes[i % len(classes)] for i, name in enumerate(names + tests)}
    images(home, *(train.format(name, c=of[name]) for name in names), *(test.format(name) for name in tests))
    csv(home, labels, header, *(row.format(i=name, c=of[name], n=i) for i, name in enumerate(names)))
    csv(home, "sample_submission.csv", template, *(f"{name}{ending},{cell}" for name in reversed(tests)))
    files = {name: Path(test.format(name)).name for name in tests}
    ids = {f"{name}{ending}": files[name] for name in reversed(tests)}
    return Miniature({files[name]: of[name] for name in tests}, template.split(","), ids)


def cactus(home: Path) -> Miniature:
    return table(home, classes=("0", "1"), header="id,has_cactus", row="{i}.jpg,{c}", template="id,has_cactus",
                 ending=".jpg")  # fmt: skip


def histopathologic(home: Path) -> Miniature:
    return table(home, classes=("0", "1"), train="train/{}.tif", test="test/{}.tif", labels="train_labels.csv",
                 header="id,label", row="{i},{c}", template="id,label", cell="0")  # fmt: skip


def invasive(home: Path) -> Miniature:
    tests, names = [str(i) for i in range(1, N_TEST + 1)], [str(i) for i in range(1, N_TRAIN + 1)]
    images(home, *(f"train/{n}.jpg" for n in names), *(f"test/{n}.jpg" for n in tests))
    csv(home, "train_labels.csv", "name,invasive", *(f"{n},{int(n) % 2}" for n in names))
    csv(home, "sample_submission.csv", "name,invasive", *(f"{n},0.5" for n in tests))
    truth = {f"{n}.jpg": str(int(n) % 2) for n in tests}
    return Miniature(truth, ["name", "invasive"], {n: f"{n}.jpg" for n in tests})


def melanoma(home: Path) -> Miniature:
    return table(home, classes=("0", "1"), train="jpeg/train/{}.jpg", test="jpeg/test/{}.jpg",
                 header="image_name,patient_id,sex,target", row="{i},P{n},male,{c}", template="image_name,target",
                 cell="0")  # fmt: skip


def dogs(home: Path) -> Miniature:
    breeds = ("affenpinscher", "beagle", "chow")
    return table(home, classes=breeds, labels="labels.csv", header="id,breed", row="{i},{c}",
                 template=",".join(("id", *breeds)), cell="0.3,0.3,0.4")  # fmt: skip


def cassava(home: Path) -> Miniature:
    return table(home, classes=("0", "3", "4"), train="train_images/{}.jpg", test="test_images/{}.jpg",
                 header="image_id,label", row="{i}.jpg,{c}", template="image_id,label", cell="4",
                 ending=".jpg")  # fmt: skip


def paddy(home: Path) -> Miniature:
    return table(home, classes=("blast", "normal"), train="train_images/{c}/{}.jpg", test="test_images/{}.jpg",
                 header="image_id,label,variety,age", row="{i}.jpg,{c},ADT45,45", template="image_id,label", cell="",
                 ending=".jpg")  # fmt: skip


def seedlings(home: Path) -> Miniature:
    found = table(home, classes=("Black-grass", "Common wheat"), train="train/{c}/{}.png", test="test/{}.png",
                  header="x", row="{i}", template="file,species", cell="Sugar beet", ending=".png")  # fmt: skip
    (home / "train.csv").unlink()
    return found


def aptos(home: Path) -> Miniature:
    return table(home, classes=("0", "1", "2"), train="train_images/{}.png", test="test_images/{}.png",
                 header="id_code,diagnosis", row="{i},{c}", template="id_code,diagnosis", cell="0")  # fmt: skip


def hotels(home: Path) -> Miniature:
    return table(home, classes=("36363", "53586", "18807", "64314", "60181", "7"), train="train_images/{c}/{}.jpg",
                 test="test_images/{}.jpg", header="image,chain,hotel_id,timestamp", row="{i}.jpg,3,{c},2018-01-01",
                 template="image,hotel_id", cell="36363 53586 18807 64314 60181", ending=".jpg")  # fmt: skip


def pets(home: Path) -> Miniature:
    return table(home, classes=("23", "45", "100"), header="Id,Eyes,Pawpularity", row="{i},1,{c}",
                 template="Id,Pawpularity", cell="50.01")  # fmt: skip


def cats(home: Path) -> Miniature:
    images(home, *(f"train/{('cat', 'dog')[i % 2]}.{i // 2}.jpg" for i in range(N_TRAIN)))
    images(home, *(f"test/{i}.jpg" for i in range(1, 5)))
    csv(home, "sample_submission.csv", "id,label", *(f"{i},0.5" for i in range(1, 5)))
    truth = {f"{i}.jpg": ("cat", "dog")[i % 2] for i in range(1, 5)}
    return Miniature(truth, ["id", "label"], {str(i): f"{i}.jpg" for i in range(1, 5)})


def leaves(home: Path) -> Miniature:
    species = ("Acer_Opalus", "Quercus_Rubra")
    train, test = range(1, 1 + N_TRAIN), range(20, 20 + N_TEST)
    images(home, *(f"images/{i}.jpg" for i in (*train, *test, 99)))
    csv(home, "train.csv", "id,species,margin1", *(f"{i},{species[i % 2]},0.1" for i in train))
    csv(home, "test.csv", "id,margin1", *(f"{i},0.1" for i in test))
    csv(home, "sample_submission.csv", ",".join(("id", *species)), *(f"{i},0.5,0.5" for i in test))
    truth = {f"{i}.jpg": species[i % 2] for i in test}
    return Miniature(truth, ["id", *species], {str(i): f"{i}.jpg" for i in test})


def apples(home: Path) -> Miniature:
    classes = ["healthy", "multiple_diseases", "rust", "scab"]
    header = ",".join(["image_id", *classes])
    hot = [",".join(str(int(at == i % 4)) for at in range(4)) for i in range(N_TRAIN)]
    images(home, *(f"images/Train_{i}.jpg" for i in range(N_TRAIN)), *(f"images/Test_{i}.jpg" for i in range(4)))
    csv(home, "train.csv", header, *(f"Train_{i},{row}" for i, row in enumerate(hot)))
    csv(home, "sample_submission.csv", header, *(f"Test_{i},0.25,0.25,0.25,0.25" for i in range(4)))
    truth = {f"Test_{i}.jpg": classes[i] for i in range(4)}
    return Miniature(truth, ["image_id", *classes], {f"Test_{i}": f"Test_{i}.jpg" for i in range(4)})


def orchard(home: Path) -> Miniature:
    sets = ("healthy", "scab", "scab frog_eye_leaf_spot", "rust", "rust frog_eye_leaf_spot complex", "complex")
    found = table(home, classes=sets, train="train_images/{}.jpg", test="test_images/{}.jpg", header="image,labels",
                  row="{i}.jpg,{c}", template="image,labels", cell="healthy", ending=".jpg")  # fmt: skip
    return of_sets(found)


def museum(home: Path) -> Miniature:
    sets = ("448", "448 2429", "782 2429 3", "3", "782 448 3 2429", "51 3")
    found = table(home, classes=sets, train="train/{}.png", test="test/{}.png", header="id,attribute_ids",
                  row="{i},{c}", template="id,attribute_ids", cell="448 2429 782")  # fmt: skip
    return of_sets(found)


CATHETERS = ("ETT - Abnormal", "ETT - Normal", "NGT - Normal", "CVC - Normal")


def catheters(home: Path) -> Miniature:
    """Of the eleven columns the template asks for some; a patient has several images."""
    names, tests = [f"1.2.826.{i:02}" for i in range(N_TRAIN)], [f"1.2.826.9{i}" for i in range(N_TEST)]
    sets = {name: [int(i % k == 0) for k in (5, 2, 3, 4)] for i, name in enumerate([*names, *tests], 1)}
    images(home, *(f"train/{name}.jpg" for name in names), *(f"test/{name}.jpg" for name in tests))
    csv(home, "train.csv", ",".join(["StudyInstanceUID", *CATHETERS, "Swan Ganz Catheter Present", "PatientID"]),
        *(",".join([name, *map(str, sets[name]), "0", f"p{i // 2}"]) for i, name in enumerate(names)))  # fmt: skip
    header = ["StudyInstanceUID", *CATHETERS]
    csv(home, "sample_submission.csv", ",".join(header), *(",".join([name, *"0000"]) for name in tests))
    truth = {f"{name}.jpg": as_cell(c for c, one in zip(CATHETERS, sets[name], strict=True) if one) for name in tests}
    return Miniature(truth, header, {name: f"{name}.jpg" for name in tests})


def of_sets(found: Miniature) -> Miniature:
    """Write the truth, labels between blanks, as Podium's tables do."""
    return replace(found, truth={image: as_cell(cell.split(" ")) for image, cell in found.truth.items()})


def traps_2019(home: Path) -> Miniature:
    found = table(home, classes=("0", "19"), train="train_images/{}.jpg", test="test_images/{}.jpg",
                  header="category_id,date_captured,file_name,location", row="{c},2011-05-13,{i}.jpg,{n}",
                  template=",Id,Category", cell="0")  # fmt: skip
    ids = [f"t{i:02}" for i in range(N_TEST)]
    csv(home, "sample_submission.csv", ",Id,Category", *(f"{at},{name},0" for at, name in enumerate(ids)))
    return Miniature(found.truth, found.header, {name: f"{name}.jpg" for name in ids}, id_column=1)


def coco(home: Path, name: str, files: Mapping[str, str], encoding: str = "utf-8", key: str = "id") -> None:
    """Write annotations of {file_name: category_id}."""
    annotations = [{"id": 90 + i, "image_id": f"i{i}", "category_id": int(c)} for i, c in enumerate(files.values())]
    pictures = [{key: f"i{i}", "file_name": file, "location": i // 2, "width": 12} for i, file in enumerate(files)]
    categories = [{"id": int(c), "name": f"espèce {c}"} for c in sorted(set(files.values()))]
    value = {"info": {}, "annotations": annotations, "images": pictures, "categories": categories}
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding=encoding)


def traps_2020(home: Path) -> Miniature:
    """Class 9 lives in one place."""
    files = {f"a{i:02}.jpg": "9" if i < 2 else str(i % 3) for i in range(18)}
    images(home, *(f"train/{name}" for name in files), *(f"test/t{i}.jpg" for i in range(4)))
    coco(home, "iwildcam2020_train_annotations.json", files)
    csv(home, "sample_submission.csv", "Id,Category", *(f"t{i},0" for i in range(4)))
    truth = {f"t{i}.jpg": str(i % 3) for i in range(4)}
    return Miniature(truth, ["Id", "Category"], {f"t{i}": f"t{i}.jpg" for i in range(4)})


def alaska(home: Path) -> Miniature:
    kinds = ("Cover", "JMiPOD", "JUNIWARD", "UERD")
    images(home, *(f"images/{kind}/{i:05}.jpg" for kind in kinds for i in range(6)))
    images(home, *(f"images/Test/{i:04}.jpg" for i in range(1, 5)))
    csv(home, "sample_submission.csv", "Id,Label", *(f"{i:04}.jpg,0" for i in range(1, 5)))
    truth = {f"{i:04}.jpg": str(i % 2) for i in range(1, 5)}
    return Miniature(truth, ["Id", "Label"], {name: name for name in truth})


def naturalist(home: Path) -> Miniature:
    files = {f"train_val2019/Plants/{i % 3}/a{i:02}.jpg": str(i % 3) for i in range(N_TRAIN)}
    tests = {str(100 + i): f"test2019/t{i}.jpg" for i in range(4)}
    images(home, *files, *tests.values())
    coco(home, "train2019.json", files)
    pictures = [{"id": int(own), "file_name": file} for own, file in tests.items()]
    (home / "test2019.json").write_text(json.dumps({"info": {}, "images": pictures}))
    csv(home, "kaggle_sample_submission.csv", "id,predicted", *(f"{own},0" for own in tests))
    truth = {f"t{i}.jpg": str(i % 3) for i in range(4)}
    return Miniature(truth, ["id", "predicted"], {own: Path(file).name for own, file in tests.items()})


def whales(home: Path) -> Miniature:
    """One class of many photos, some of two, most of one."""
    labels = ["new_whale"] * 6 + ["w_23a388d", "w_23a388d", "w_9b5109b", "w_9b5109b"] + [f"w_{i:07}" for i in range(8)]
    images(home, *(f"train/a{i:02}.jpg" for i in range(len(labels))), *(f"test/t{i}.jpg" for i in range(4)))
    csv(home, "train.csv", "Image,Id", *(f"a{i:02}.jpg,{label}" for i, label in enumerate(labels)))
    cell = "new_whale w_23a388d w_9b5109b w_0000000 w_0000001"
    csv(home, "sample_submission.csv", "Image,Id", *(f"t{i}.jpg,{cell}" for i in range(4)))
    truth = {f"t{i}.jpg": label for i, label in enumerate(["new_whale", "w_23a388d", "w_0000003", "w_0000007"])}
    return Miniature(truth, ["Image", "Id"], {name: name for name in truth})


def herbarium_2022(home: Path) -> Miniature:
    files = {f"{i % 3:03}/00/{i:05}__001.jpg": str(i % 3) for i in range(N_TRAIN)}
    tests = {str(i): f"000/test-{i:06}.jpg" for i in range(4)}
    images(home, *(f"train_images/{file}" for file in files), *(f"test_images/{file}" for file in tests.values()))
    coco(home, "train_metadata.json", files, key="image_id")
    rows = [{"image_id": int(own), "file_name": file, "license": 1} for own, file in tests.items()]
    (home / "test_metadata.json").write_text(json.dumps(rows))
    csv(home, "sample_submission.csv", "Id,Predicted", *(f"{own},42" for own in tests))
    return Miniature({file: str(int(own) % 3) for own, file in tests.items()}, ["Id", "Predicted"], tests)


def herbarium(home: Path, top: str) -> Miniature:
    """In Latin-1; class 7 has one image."""
    files = {f"images/{i:03}/{i}.jpg": "7" if i == 0 else str(i % 3) for i in range(N_TRAIN)}
    tests = {str(i): f"images/000/{i}.jpg" for i in range(4)}
    images(home, *(f"{top}train/{file}" for file in files), *(f"{top}test/{file}" for file in tests.values()))
    coco(home, f"{top}train/metadata.json", files, encoding="latin-1")
    pictures = [{"id": int(own), "file_name": file} for own, file in tests.items()]
    (home / f"{top}test/metadata.json").write_text(json.dumps({"images": pictures}))
    csv(home, "sample_submission.csv", "Id,Predicted", *(f"{own},0" for own in tests))
    ids = {own: file.removeprefix("images/") for own, file in tests.items()}
    return Miniature({file: str(int(own) % 3) for own, file in ids.items()}, ["Id", "Predicted"], ids)


def seti(home: Path) -> Miniature:
    """Arrays of six channels, in half precision."""
    names, tests = [f"0a{i:02}" for i in range(N_TRAIN)], [f"f{i:02}" for i in range(4)]
    for i, path in enumerate([*(f"train/{n[0]}/{n}.npy" for n in names), *(f"test/{n[0]}/{n}.npy" for n in tests)]):
        array(home / path, np.random.default_rng(i).normal(size=(6, 18, 20)).astype(np.float16))
    csv(home, "train_labels.csv", "id,target", *(f"{n},{i % 2}" for i, n in enumerate(names)))
    csv(home, "sample_submission.csv", "id,target", *(f"{n},0.5" for n in tests))
    truth = {f"f/{n}.npy": str(i % 2) for i, n in enumerate(tests)}
    return Miniature(truth, ["id", "target"], dict(zip(tests, truth, strict=True)))


def breasts(home: Path) -> Miniature:
    """DICOM; a row of the template is a breast of two images."""
    rows = [(str(p), side, str(100 * p + 10 * (side == "R") + i)) for p in range(9) for side in "LR" for i in (1, 2)]
    train = [f"{p},{image},{side},{int(p) % 3 == 0:d}" for p, side, image in rows if int(p) < 7]
    tests = [(p, side, image) for p, side, image in rows if int(p) >= 7]
    for p, _, image in rows:
        dicom(home / f"{'train' if int(p) < 7 else 'test'}_images/{p}/{image}.dcm", int(image))
    csv(home, "train.csv", "patient_id,image_id,laterality,cancer", *train)
    csv(home, "test.csv", "patient_id,image_id,laterality,prediction_id",
        *(f"{p},{image},{side},{p}_{side}" for p, side, image in tests))  # fmt: skip
    ids = {f"{p}_{side}": [] for p, side, _ in tests}
    for p, side, image in tests:
        ids[f"{p}_{side}"].append(f"{p}/{image}.dcm")
    csv(home, "sample_submission.csv", "prediction_id,cancer", *(f"{own},0.02" for own in ids))
    truth = {image: str(int(own[-1] == "L")) for own, pair in ids.items() for image in pair}
    return Miniature(truth, ["prediction_id", "cancer"], {own: pair[0] for own, pair in ids.items()}, together=ids)


def brains(home: Path) -> Miniature:
    """DICOM; a case is a folder of slices."""
    ids = {f"{i:05}": [f"{i:05}/FLAIR/Image-{at}.dcm" for at in (1, 2)] for i in range(10)}
    for i, slices in enumerate(ids.values()):
        for at, file in enumerate(slices):
            dicom(home / ("train" if i < 8 else "test") / file, 10 * i + at)
    train, tests = list(ids)[:8], list(ids)[8:]
    csv(home, "train_labels.csv", "BraTS21ID,MGMT_value", *(f"{own},{int(own) % 2}" for own in train))
    csv(home, "sample_submission.csv", "BraTS21ID,MGMT_value", *(f"{own},0.5" for own in tests))
    truth = {file: str(int(own) % 2) for own in tests for file in ids[own]}
    return Miniature(truth, ["BraTS21ID", "MGMT_value"], {own: ids[own][0] for own in tests},
                     together={own: ids[own] for own in tests})  # fmt: skip


SPINES = ("patient_overall", *(f"C{i}" for i in range(1, 8)))


def spines(home: Path) -> Miniature:
    """DICOM; a study is a folder of slices and has a set of labels; a row of the template is a study and a label."""
    studies = [f"1.2.826.{i:02}" for i in range(14)]
    broken: dict[str, set[str]] = {key: set() for key in studies}
    broken |= {own: {SPINES[0], SPINES[1 + i % 7], SPINES[1 + i // 2 % 7]} for i, own in enumerate(studies) if i % 4}
    slices = {own: [f"{own}/{at}.dcm" for at in (1, 2)] for own in studies}
    for i, files in enumerate(slices.values()):
        for at, file in enumerate(files):
            dicom(home / f"{'train' if i < 12 else 'test'}_images" / file, 10 * i + at)
    csv(home, "train.csv", ",".join(["StudyInstanceUID", *SPINES]),
        *(",".join([own, *(str(int(name in broken[own])) for name in SPINES)]) for own in studies[:12]))  # fmt: skip
    ids = {f"{own}_{name}": own for own in studies[12:] for name in SPINES}
    csv(home, "sample_submission.csv", "row_id,fractured", *(f"{row},0.5" for row in ids))
    truth = {file: as_cell(broken[own]) for own in studies[12:] for file in slices[own]}
    return Miniature(truth, ["row_id", "fractured"], {row: slices[own][0] for row, own in ids.items()},
                     together={row: slices[own] for row, own in ids.items()})  # fmt: skip


def array(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def dicom(path: Path, seed: int) -> None:
    """Write a grey image of 12 bits in which low values are white, as mammograms may be."""
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{seed}"
    data.Rows, data.Columns, data.SamplesPerPixel = 12, 10, 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME1", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelData = np.random.default_rng(seed).integers(0, 4096, (12, 10), dtype=np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


MAKERS: dict[str, Callable[[Path], Miniature]] = {
    "aerial-cactus-identification": cactus,
    "histopathologic-cancer-detection": histopathologic,
    "invasive-species-monitoring": invasive,
    "siim-isic-melanoma-classification": melanoma,
    "dog-breed-identification": dogs,
    "cassava-leaf-disease-classification": cassava,
    "paddy-disease-classification": paddy,
    "plant-seedlings-classification": seedlings,
    "aptos2019-blindness-detection": aptos,
    "hotel-id-2021-fgvc8": hotels,
    "petfinder-pawpularity-score": pets,
    "dogs-vs-cats-redux-kernels-edition": cats,
    "leaf-classification": leaves,
    "plant-pathology-2020-fgvc7": apples,
    "plant-pathology-2021-fgvc8": orchard,
    "imet-2020-fgvc7": museum,
    "ranzcr-clip-catheter-line-classification": catheters,
    "iwildcam-2019-fgvc6": traps_2019,
    "iwildcam-2020-fgvc7": traps_2020,
    "alaska2-image-steganalysis": alaska,
    "inaturalist-2019-fgvc6": naturalist,
    "whale-categorization-playground": whales,
    "herbarium-2022-fgvc9": herbarium_2022,
    "herbarium-2020-fgvc7": lambda home: herbarium(home, "nybg2020/"),
    "herbarium-2021-fgvc8": lambda home: herbarium(home, ""),
    "seti-breakthrough-listen": seti,
    "rsna-breast-cancer-detection": breasts,
    "rsna-miccai-brain-tumor-radiogenomic-classification": brains,
    "rsna-2022-cervical-spine-fracture-detection": spines,
}
