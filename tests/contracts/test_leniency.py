"""Downward messages may grow at every level; upward ones may not."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from cardmint_contracts import catalogue, control, receipts, tasks
from cardmint_contracts.cards import Card
from cardmint_contracts.control import Manifest, decode_manifest
from cardmint_contracts.errors import ContractError, Invalid, UnknownField
from cardmint_contracts.wire import Downward, Instant, Upward, decode, encode

_MODULES = (catalogue, control, receipts, tasks)
"""Imported, so that their messages are among the subclasses."""


def every(base: type[Any]) -> Iterator[type[Any]]:
    """Yield every message type below a base, also those of modules that come later."""
    for one in base.__subclasses__():
        if one.__module__.startswith("cardmint_contracts."):
            yield one
        yield from every(one)


DOWNWARD = sorted(set(every(Downward)), key=lambda one: one.__name__)


class ByKey(dict[str, Any]):
    """An object whose keys are data, such as languages: it has no fields that could grow."""


def fullest(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Return plain values of a type, with every optional field set."""
    match kind:
        case inspect.Metadata():
            return fullest(kind.type)
        case inspect.StructType():
            return st.fixed_dictionaries(
                {field.encode_name: fullest(field.type) for field in kind.fields}
            )
        case inspect.VarTupleType():
            return st.lists(
                fullest(kind.item_type), min_size=max(1, kind.min_length or 0), max_size=2
            )
        case inspect.DictType():
            pairs = st.dictionaries(fullest(kind.key_type), fullest(kind.value_type), max_size=2)
            return pairs.map(ByKey)
        case inspect.UnionType():
            return st.one_of(
                *(fullest(one) for one in kind.types if not isinstance(one, inspect.NoneType))
            )
        case inspect.StrType():
            if kind.pattern:
                return st.from_regex(kind.pattern.replace("\\Z", "$"), fullmatch=True).filter(
                    lambda text: text.isprintable() and len(text) <= (kind.max_length or 99)
                )
            least = kind.min_length or 0
            return st.text(
                "abc ", min_size=least, max_size=max(least, min(9, kind.max_length or 9))
            )
        case inspect.IntType():
            return st.integers(kind.ge or 0, kind.le or 9)
        case inspect.FloatType():
            return st.floats(0, 1)
        case inspect.BoolType():
            return st.booleans()
        case inspect.RawType():
            return st.just(ByKey())
        case inspect.UUIDType():
            return st.uuids().map(str)
        case inspect.DateTimeType():
            return st.just("2026-01-02T03:04:05Z")
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.EnumType():
            return st.sampled_from([one.value for one in kind.cls])
        case _:
            raise NotImplementedError(kind)


def grown(value: Any) -> Iterator[Any]:
    """Yield the value once with an unknown field in each of its objects."""
    if isinstance(value, dict) and not isinstance(value, ByKey):
        yield {**value, "new_in_a_later_version": {"a": [1]}}
        for key, part in value.items():
            yield from ({**value, key: more} for more in grown(part))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from ([*value[:index], more, *value[index + 1 :]] for more in grown(part))


@pytest.mark.parametrize("message", DOWNWARD, ids=lambda one: one.__name__)
@given(data=st.data())
def test_a_new_field_at_any_level_of_a_downward_message_is_ignored(
    message: type[Any], data: st.DataObject
) -> None:
    value = data.draw(fullest(inspect.type_info(message)))
    plain = decode(encode(value), message)
    for more in grown(value):
        assert decode(encode(more), message) == plain


@given(fullest(inspect.type_info(Manifest)))
def test_a_manifest_may_grow(value: Any) -> None:
    for more in grown({**value, "ware": value["artifact"]}):
        assert decode_manifest(encode(more)) == decode(encode(value), Manifest)


def test_a_downward_message_that_grew_is_still_checked() -> None:
    class Holder(Downward, frozen=True):
        cards: list[Card]
        at: Instant | None = None

    def read(cards: object) -> Holder:
        return decode(encode({"cards": cards, "at": "2026-01-02T03:04:05Z"}), Holder)

    assert read([{"id": "a-1", "name": "A", "new": 1}]).cards == [Card(id="a-1", name="A")]
    for wrong in ({"id": "a-1", "new": 1}, {"id": 5, "name": "A", "new": 1}, 5):
        with pytest.raises(Invalid) as raised:
            read([{"id": "b-1", "name": "B", "new": 1}, wrong])
        assert not isinstance(raised.value, UnknownField)
    with pytest.raises(ContractError, match="control characters"):
        read([{"id": "a-1", "name": "\x00", "new": 1}])


def test_upward_messages_stay_strict() -> None:
    for message in set(every(Upward)):
        assert message.__struct_config__.forbid_unknown_fields, message
    with pytest.raises(UnknownField):
        decode(b'{"id": "a-1", "name": "A", "new": 1}', Card)
    with pytest.raises(UnknownField):
        decode(b'[{"id": "a-1", "name": "A", "new": 1}]', list[Card])
