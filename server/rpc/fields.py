"""How many fields a serialised message has, before protobuf makes objects of them.

A few bytes can become a large object, so that a message of the allowed size could take gigabytes and
seconds of the thread that serves all others.
"""

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from server.errors import InvalidRequest

# Messages of this size cannot become much, whatever they hold.
_SMALL_BYTES = 64 * 1024
# Of packed numbers of variable length: each byte can become a number of eight bytes.
_PACKED_BYTES = 2**20
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_PACKED = frozenset(
    (
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT32,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_ENUM,
    )
)


def check(raw: bytes, kind: Descriptor, max_fields: int) -> None:
    """Raises InvalidRequest if a message of this kind is malformed or has too many fields.

    Args:
        max_fields: of the message and all messages in it; numbers packed into one field count as one, and
            have a limit of bytes instead.
    """
    if len(raw) <= _SMALL_BYTES:
        return
    parts: list[tuple[int, int, Descriptor]] = [(0, len(raw), kind)]
    fields = packed = 0
    try:
        while parts:
            place, end, kind = parts.pop()
            while place < end:
                fields += 1
                if fields > max_fields:
                    raise InvalidRequest(f"the message has more than {max_fields} fields")
                tag, place = _varint(raw, place)
                start, place = _value(raw, place, tag & 7)
                if place > end:
                    raise InvalidRequest("the message is broken off")
                known = kind.fields_by_number.get(tag >> 3)
                if tag & 7 != _BYTES or not known:
                    continue
                if known.message_type:
                    parts.append((start, place, known.message_type))
                elif known.type in _PACKED:
                    packed = _more_packed(packed, place - start)
    except IndexError as error:
        raise InvalidRequest("the message is broken off") from error


def _more_packed(packed: int, size: int) -> int:
    if packed + size > _PACKED_BYTES:
        raise InvalidRequest(
            f"the message has more than {_PACKED_BYTES} bytes of packed numbers",
            "Send tensors as raw_input_contents.",
        )
    return packed + size


def _value(raw: bytes, place: int, wire: int) -> tuple[int, int]:
    """Where the content of a field starts, and where it ends."""
    if wire == _BYTES:
        size, place = _varint(raw, place)
        return place, place + size
    if wire == _VARINT:
        return place, _varint(raw, place)[1]
    if wire in (_FIXED_32, _FIXED_64):
        return place, place + (4 if wire == _FIXED_32 else 8)
    raise InvalidRequest("the message has fields that are none")


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = raw[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise InvalidRequest("the message has a number that is too long")
