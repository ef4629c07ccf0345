"""Real photos against the pack of all references: what the recogniser promises."""

from pathlib import Path

import pytest

from cardmint_edge.adapters.pack import Pack
from cardmint_edge.catalogue import build
from cardmint_edge.recogniser import recogniser_of
from cardmint_lab.recognition.evaluate import judge, read_index, tally


@pytest.mark.data
def test_photos_are_named_often_and_never_accepted_wrongly(real_data: Path, tmp_path: Path) -> None:
    build(real_data / "catalogue", real_data / "references", tmp_path / "pack.sqlite", pytest.fail)
    pack = Pack(tmp_path / "pack.sqlite")
    judged = list(judge(read_index(real_data / "photos"), recogniser_of(pack)))
    rows = {row.kind: row for row in tally(judged)}
    wrong = [one.photo.path.name for one in judged if one.accepted and not one.exact]
    assert wrong == []
    assert rows["single"].exact >= 0.9 * rows["single"].n
    assert rows["single"].accepted >= 0.75 * rows["single"].n
    assert rows["single, no reference"].exact >= 3
    assert rows["all"].accepted == rows["single"].accepted + rows["single, no reference"].accepted
    pack.close()
