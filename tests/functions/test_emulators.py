"""The emulators that the tests of the functions can run on."""

import pytest

from .conftest import is_moto


def test_there_are_two() -> None:
    assert is_moto("moto")
    assert not is_moto("ministack")


@pytest.mark.parametrize("name", ["Moto", "motto", ""])
def test_an_unknown_one_is_refused(name: str) -> None:
    """The tests would otherwise run on the local stack's emulator, and seem to have passed on the other."""
    with pytest.raises(ValueError, match=f"^EMULATOR: '{name}'; allowed: ministack, moto$"):
        is_moto(name)
