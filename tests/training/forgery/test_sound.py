import librosa
import numpy as np
import pytest

from training.arrays import Pcm
from training.corpus.voice import draw_speaker, speak
from training.draw import draw_operator
from training.forgery.sound import SOUND_OPERATORS

RATE = 16_000


@pytest.fixture(scope="module")
def voice() -> Pcm:
    rng = np.random.default_rng(5)
    return speak(rng, draw_speaker(rng), 1.5, RATE)


def spectrum(pcm: Pcm) -> Pcm:
    mel = librosa.feature.melspectrogram(y=pcm / pcm.std(), sr=RATE, n_mels=20)
    return np.asarray(librosa.power_to_db(mel.mean(axis=1)))


@pytest.mark.parametrize("name", SOUND_OPERATORS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_operator_changes_the_sound_but_keeps_length_and_character(name: str, seed: int, voice: Pcm) -> None:
    operator = SOUND_OPERATORS[name][0]
    forged = operator(np.random.default_rng(seed), voice, RATE)

    assert forged.shape == voice.shape
    assert np.isfinite(forged).all()
    assert np.corrcoef(forged, voice)[0, 1] < 0.9999
    assert np.corrcoef(spectrum(forged), spectrum(voice))[0, 1] > 0.6
    np.testing.assert_array_equal(forged, operator(np.random.default_rng(seed), voice, RATE))


@pytest.mark.parametrize("name", SOUND_OPERATORS)
def test_operator_bears_silence_and_short_sound(name: str) -> None:
    operator = SOUND_OPERATORS[name][0]
    for pcm in (np.zeros(RATE), np.random.default_rng(0).standard_normal(RATE // 2)):
        assert np.isfinite(operator(np.random.default_rng(1), pcm, RATE)).all()


def test_all_operators_are_drawn() -> None:
    drawn = {draw_operator(np.random.default_rng(seed), SOUND_OPERATORS)[0] for seed in range(120)}
    assert drawn == SOUND_OPERATORS.keys()
