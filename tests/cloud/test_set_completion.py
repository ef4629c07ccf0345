"""How complete a set is."""

from cardmint_cloud.domain.set_completion import completion


def test_secret_and_special_printings_are_apart() -> None:
    printings = [("1", 2), ("002", 0), ("3a", 1), ("4", 1), ("TG01", 1), ("?", 0)]
    found = completion(printings, 3)
    assert (found.held, found.printings, found.missing) == (4, 6, 2)
    assert (found.official_held, found.official) == (2, 3)
    assert round(found.share, 3) == 0.667


def test_a_set_without_printings_is_not_complete() -> None:
    assert completion([], 102).share == 0.0
