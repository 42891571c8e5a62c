from __future__ import annotations

import pytest

from gui.lenses.base import Lens, all_lenses, register


def test_lenses_of_the_folder_are_found_in_order() -> None:
    found = all_lenses()
    assert [lens.key for lens in found][:1] == ["weights"]
    assert {"weights", "compare"} <= {lens.key for lens in found}
    assert [lens.order for lens in found] == sorted(lens.order for lens in found)


def lens(**attributes: object) -> type[Lens]:
    return type("Some", (Lens,), attributes)


def test_a_duplicate_fails_loudly() -> None:
    found: dict[str, type[Lens]] = {}
    register(found, lens(key="same", title="A", order=1))
    with pytest.raises(RuntimeError, match="both have the key 'same'"):
        register(found, lens(key="same", title="B", order=2))


def test_a_missing_attribute_fails_loudly() -> None:
    with pytest.raises(RuntimeError, match="lacks title, order"):
        register({}, lens(key="x"))


def test_a_bad_key_fails_loudly() -> None:
    with pytest.raises(RuntimeError, match="is no key"):
        register({}, lens(key="No Key", title="A", order=1))
