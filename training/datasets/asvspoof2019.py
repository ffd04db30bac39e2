"""ASVspoof 2019, logical access (Wang et al., 2020).

    ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{train.trn,dev.trl,eval.trl}.txt
        SPEAKER UTTERANCE - ATTACK KEY, as in "LA_0079 LA_T_1271820 - A01 spoof"
    ASVspoof2019_LA_{train,dev,eval}/flac/UTTERANCE.flac

Speakers of the three parts differ, so the official split is by identity.
"""

from pathlib import Path

from training.datasets.listing import Dataset, Entries, MediaFile, Unusable, identity, shallow
from training.errors import DataError
from training.sample import Split

_PROTOCOLS: dict[str, tuple[str, Split]] = {
    "ASVspoof2019.LA.cm.train.trn.txt": ("train", "train"),
    "ASVspoof2019.LA.cm.dev.trl.txt": ("dev", "val"),
    "ASVspoof2019.LA.cm.eval.trl.txt": ("eval", "test"),
}
_PATTERN = "ASVspoof2019.LA.cm.*.txt"
KEYS = {"bonafide": 0, "spoof": 1}
COLLECTION = "asvspoof"
"""Of the speakers; the later edition has the same ones."""


def _found_in(root: Path) -> bool:
    return next(shallow(root, _PATTERN, depth=2), None) is not None


def _read(root: Path) -> Entries:
    for protocol in shallow(root, _PATTERN, depth=2):
        if protocol.name not in _PROTOCOLS:
            continue
        part, split = _PROTOCOLS[protocol.name]
        folder = protocol.parents[1] / f"ASVspoof2019_LA_{part}" / "flac"
        listed = set()
        with protocol.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                columns = line.split()
                if len(columns) != 5 or columns[4] not in KEYS:
                    raise DataError(f"{protocol}, line {number}: not SPEAKER UTTERANCE - ATTACK KEY")
                speaker, utterance, _, attack, key = columns
                listed.add(utterance)
                yield MediaFile(
                    folder / f"{utterance}.flac",
                    "audio",
                    KEYS[key],
                    (identity(COLLECTION, speaker),),
                    (split,),
                    attack if KEYS[key] else "none",
                )
        for path in folder.glob("*.flac"):
            if path.stem not in listed:
                yield Unusable(path, f"UNLISTED: {protocol.name} does not name it")


ASVSPOOF2019 = Dataset("asvspoof2019-la", _found_in, _read)
