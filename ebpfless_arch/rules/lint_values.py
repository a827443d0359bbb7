"""Checks of numbers, times, addresses, lists and records, and of tests that always come out the same."""

from typing import Dict, FrozenSet, Iterator, List, Optional, Tuple

from ebpfless_arch.rules.addresses import to_network
from ebpfless_arch.rules.constants import CONSTANTS
from ebpfless_arch.rules.linted import Compared, Finding, Linted, field_of, name_of, short
from ebpfless_arch.rules.tree import Address, Array, Binary, Comparison, Logical, Name, Node, Number, Unary
from ebpfless_arch.rules.typed import Arithmetic, Const, Constants, Read, Typed, children, is_array

_ERRNO = frozenset(name for name, value in CONSTANTS.items() if not isinstance(value, bool) and value < 0)
_LARGEST_ERRNO = 133
_MODES = (".mode", ".rights")
_COUNTED = ("uid", "gid", "pid", "tid", ".port", ".size", ".length", ".count", ".code")
_IDS = ("uid", "gid", "pid", "tid")
_TIMES = ("_at", "_time", ".timestamp")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
_NEGATIVE = ("!=", "!~", "not in")


def positive_errno(linted: Linted) -> Iterator[Finding]:
    """Calls that failed return negative numbers.

    warns: open.retval == 13
    warns: open.retval in [1, 13]
    silent: open.retval == EACCES
    silent: open.retval == -13
    silent: open.retval > 2
    """
    for compared in linted.comparisons:
        if name_of(compared.left).endswith(".retval") and compared.node.operator in ("==", "!=", "in", "not in"):
            for value, offset in _numbers(compared):
                if 0 < value <= _LARGEST_ERRNO:
                    name = next((name for name in sorted(_ERRNO) if CONSTANTS[name] == -value), str(-value))
                    yield Finding(offset, "a call that fails returns a negative number; "
                                          f"error {value} is written {name}")


def negated_errno(linted: Linted) -> Iterator[Finding]:
    """The constants of errors are negative already.

    warns: open.retval == -EACCES
    silent: open.retval == EACCES
    """
    for node, _ in linted.nodes:
        if isinstance(node, Unary) and node.operator == "-" and isinstance(node.operand, Name):
            if node.operand.text in _ERRNO:
                name = node.operand.text
                yield Finding(node.offset, f"{name} is negative already ({CONSTANTS[name]}); -{name} is "
                                           f"{-int(CONSTANTS[name])}")


def duration_first(linted: Linted) -> Iterator[Finding]:
    """Only on the right side does a duration ask for an age.

    warns: 5s < exec.created_at
    silent: exec.created_at > 5s
    """
    for node, left, right in linted.comparisons:
        if isinstance(left, Const) and left.form == "duration" and not isinstance(right, Const):
            yield Finding(node.left.offset, f"on the left side a duration is the plain number {left.value}; an age is "
                          f"tested by {linted.reading(node.right)} {_MIRRORED.get(node.operator, node.operator)} "
                          f"{linted.reading(node.left)}")


def age_of_a_number(linted: Linted) -> Iterator[Finding]:
    """A duration on the right side makes the left one a time.

    warns: exec.pid < 5s
    silent: exec.created_at < 5s
    """
    for node, left, right in linted.comparisons:
        field = field_of(left)
        if field is not None and isinstance(right, Const) and right.form == "duration":
            if not field.name.endswith(_TIMES):
                yield Finding(node.right.offset, f"this compares the time that has passed since {field.name}, which is "
                                                 "no time")


def decimal_mode(linted: Linted) -> Iterator[Finding]:
    """A number without a leading zero is decimal.

    warns: open.file.destination.mode == 755
    warns: open.file.rights & 777 > 0
    silent: open.file.destination.mode == 0755
    """
    for node, digits in _written_numbers(linted, _MODES):
        if 3 <= len(digits) <= 5 and digits[0] != "0" and not digits.strip("01234567"):
            yield Finding(node.offset, f"{digits} is decimal, which is 0{int(digits):o}; modes are octal: 0{digits}")


def octal_number(linted: Linted) -> Iterator[Finding]:
    """A number with a leading zero is octal.

    warns: exec.uid == 01000
    silent: exec.uid == 1000
    silent: open.file.rights == 0644
    """
    for node, digits in _written_numbers(linted, _COUNTED):
        if digits[0] == "0" and node.value > 7:
            yield Finding(node.offset, f"{digits} is octal, which is {node.value}")


def unsigned_id(linted: Linted) -> Iterator[Finding]:
    """Ids are never below 0; one that is unset is 4294967295.

    warns: exec.auid == -1
    warns: exec.uid < 0
    silent: exec.auid == AUDIT_AUID_UNSET
    silent: exec.uid >= 0
    """
    for compared in linted.comparisons:
        field = field_of(compared.left)
        if field is None or not field.name.endswith(_IDS) or field.event == "chown":
            continue
        for value, offset in _numbers(compared):
            if value < 0 or (value == 0 and compared.node.operator == "<"):
                yield Finding(offset, f"{field.name} is never below 0; an id that is not set is 4294967295 "
                                      "(AUDIT_AUID_UNSET)")


def empty_mask(linted: Linted) -> Iterator[Finding]:
    """A mask of 0 leaves nothing.

    warns: open.flags & O_RDONLY == O_RDONLY
    silent: open.flags & O_ACCMODE == O_RDONLY
    """
    for node, _ in linted.nodes:
        if isinstance(node, Binary) and node.operator == "&":
            for part in (node.left, node.right):
                typed = linted.typed(part)
                if isinstance(typed, Const) and typed.value == 0:
                    hint = "; how a file is opened is told by open.flags & O_ACCMODE"
                    yield Finding(part.offset, f"{linted.reading(part)} is 0, so that nothing is left of the other side"
                                  + (hint if "O_RDONLY" in linted.text else ""))


def beyond_the_mask(linted: Linted) -> Iterator[Finding]:
    """What a mask removes cannot be found afterwards.

    warns: open.flags & O_CREAT == O_TRUNC
    silent: open.flags & (O_CREAT|O_TRUNC) == O_TRUNC
    """
    for node, left, right in linted.comparisons:
        if node.operator not in ("==", "!=") or not isinstance(left, Arithmetic) or not isinstance(right, Const):
            continue
        masks = [side.value for side in (left.left, left.right) if isinstance(side, Const)]
        if left.operator == "&" and masks and isinstance(masks[0], int) and isinstance(right.value, int):
            if masks[0] and right.value & ~masks[0]:
                yield Finding(node.offset, f"the mask removes a bit that the other side has: {linted.reading(node)} is "
                                           f"always {str(node.operator == '!=').lower()}")


def host_bits(linted: Linted) -> Iterator[Finding]:
    """The bits behind the mask of a network do not count.

    warns: connect.addr.ip in 10.1.2.3/8
    silent: connect.addr.ip in 10.0.0.0/8
    """
    for node, _ in linted.nodes:
        if isinstance(node, Address) and "/" in node.text:
            network = to_network(node.text)
            if to_network(node.text.partition("/")[0]).network_address != network.network_address:
                yield Finding(node.offset, f"what stands behind the mask does not count; this is {network}")


def allin_is_in(linted: Linted) -> Iterator[Finding]:
    """`allin` asks for all elements only where they are addresses.

    warns: exec.argv allin ["-a", "-b"]
    silent: exec.argv in ["-a", "-b"]
    """
    for node, left, _ in linted.comparisons:
        if node.operator == "allin" and left is not None and left.kind != "ip[]":
            yield Finding(node.offset, "allin is the same as in here: one element suffices")


def negated_list(linted: Linted) -> Iterator[Finding]:
    """Negative tests of a list ask all of its elements.

    warns: exec.argv != "-q"
    warns: exec.argv not in ["-q", "-s"]
    silent: exec.argv == "-q"
    silent: exec.comm != "sh"
    """
    for node, left, _ in linted.comparisons:
        if node.operator in _NEGATIVE and isinstance(left, Read) and is_array(left):
            positive = {"!=": "==", "!~": "=~", "not in": "in"}[node.operator]
            reading = f"{linted.reading(node.left)} {positive} {linted.reading(node.right)}"
            yield Finding(node.offset, f"no element may be so, and none at all will do: not ({reading})")


def negated_register(linted: Linted) -> Iterator[Finding]:
    """With a register, one record suffices for a negative test as well.

    warns: process.ancestors[A].comm != "sshd" && exec.pid > 0
    warns: not (process.ancestors[A].comm == "sshd") && exec.pid > 0
    silent: process.ancestors.comm != "sshd" && exec.pid > 0
    silent: process.ancestors[A].comm == "sh" && process.ancestors[A].uid != 0 && exec.pid > 0
    """
    if _has_positive_register(linted):
        return
    for node, _ in linted.nodes:
        negative = (isinstance(node, Comparison) and node.operator in _NEGATIVE) or (
            isinstance(node, Unary) and node.operator == "not")
        names = linted.registers(node) if negative else []
        if names:
            plain = names[0].partition("[")[0] + names[0].partition("]")[2]
            yield Finding(node.offset, f"with a register this holds when any one record differs; that none is so is "
                                       f"written with {plain}")


def _has_positive_register(linted: Linted) -> bool:
    """Whether some test picks the record that the negative ones speak of."""
    return any(linted.registers(node) and node.operator not in _NEGATIVE and not isinstance(above, Unary)
               for node, above in linted.nodes if isinstance(node, Comparison))


def empty_records(linted: Linted) -> Iterator[Finding]:
    """A rule with a register is false when there is no record, whatever else it says.

    warns: process.ancestors[A].comm == "sh" || exec.uid == 0
    silent: process.ancestors.comm == "sh" || exec.uid == 0
    silent: process.ancestors[A].comm == "sh" && exec.uid == 0
    """
    if not linted.registers(linted.tree):
        return
    for operator, operands in _runs(linted):
        with_register = [bool(linted.registers(part)) for part in operands]
        if operator == "or" and any(with_register) and not all(with_register):
            alone = operands[with_register.index(False)]
            yield Finding(alone.offset, f"this does not help a process without a record in the list: a rule with a "
                                        f"register is false there as a whole, also when {linted.reading(alone)}")


def independent_records(linted: Linted) -> Iterator[Finding]:
    """Without a register each test may hold for another record.

    warns: process.ancestors.comm == "sh" && process.ancestors.uid == 0 && exec.pid > 0
    silent: process.ancestors[A].comm == "sh" && process.ancestors[A].uid == 0 && exec.pid > 0
    silent: process.ancestors.comm == "sh" && process.ancestors.comm == "sshd" && exec.pid > 0
    """
    types = {id(compared.node): compared.left for compared in linted.comparisons}
    for operator, operands in _runs(linted):
        first: Dict[str, str] = {}
        for part in operands:
            left = types.get(id(part))
            if operator != "and" or not isinstance(part, Comparison) or part.operator in _NEGATIVE:
                continue
            if isinstance(left, Read) and left.field.iterable and not left.register:
                place, name = left.field.iterable, left.field.name
                if first.setdefault(place, name) != name:
                    yield Finding(part.offset, f"{first[place]} and {name} may belong to different records; "
                                               f"{place}[A] in both ties them together")


def constant_test(linted: Linted) -> Iterator[Finding]:
    """A test whose sides are known beforehand.

    warns: 5s == 5s && exec.pid > 0
    warns: exec.pid > 0 && "a" == "b"
    warns: exec.pid > 0 || true
    silent: exec.pid > 0
    """
    for node, left, right in linted.comparisons:
        if isinstance(left, Const) and isinstance(right, (Const, Constants)):
            yield Finding(node.offset, f"this does not depend on the event: {short(linted.reading(node))}")
    whole = None if isinstance(linted.tree, Array) else linted.typed(linted.tree)
    if isinstance(linted.tree, Logical) and isinstance(whole, Const):
        yield Finding(linted.tree.offset, f"as a whole this is always {str(whole.value).lower()}")


def contradiction(linted: Linted) -> Iterator[Finding]:
    """Tests of one value that exclude each other.

    warns: open.file.name == "a" && open.file.name == "b"
    warns: exec.uid in [1, 2] && exec.uid == 0
    warns: exec.comm != "a" || exec.comm != "b"
    silent: exec.comm != "a" && exec.comm != "b"
    silent: exec.argv == "a" && exec.argv == "b"
    silent: exec.comm == "a" || exec.comm == "b"
    """
    known = {id(compared.node): compared for compared in linted.comparisons}
    for operator, operands in _runs(linted):
        allowed: Dict[Tuple[str, str], FrozenSet[object]] = {}
        for part in operands:
            asked = _asked(known.get(id(part)), operator)
            if asked is None:
                continue
            key, values = asked
            common = allowed.get(key, values) & values
            if not common:
                outcome = "never hold together" if operator == "and" else "always hold, one or the other"
                yield Finding(part.offset, f"the tests of {key[0]} {outcome}; "
                              + ("perhaps || is meant" if operator == "and" else "perhaps && is meant"))
                break
            allowed[key] = common


def _asked(compared: Optional[Compared], operator: str) -> Optional[Tuple[Tuple[str, str], FrozenSet[object]]]:
    """The field that a test compares and the values it names, if it is of the kind that can exclude others."""
    if compared is None or compared.node.operator not in (("==", "in") if operator == "and" else ("!=", "not in")):
        return None
    left, right = compared.left, compared.right
    if not isinstance(left, Read) or is_array(left) or left.nth >= 0 or left.kind == "ip":
        return None
    if left.field.flags & {"folded", "extension"} or ("spellings" in left.field.flags and operator == "and"):
        return None
    members = right.members if isinstance(right, Constants) else (right,) if isinstance(right, Const) else ()
    if not members or any(member.form in ("pattern", "regexp", "duration") for member in members):
        return None
    return (left.field.name, left.register), frozenset(member.value for member in members)


def _numbers(compared: Compared) -> List[Tuple[int, int]]:
    """The constant integers on the right side with their places."""
    right, node = compared.right, compared.node.right
    if isinstance(right, Const) and isinstance(right.value, int):
        return [(right.value, node.offset)]
    if not isinstance(right, Constants):
        return []
    places = [node.offset] * len(right.members)
    if isinstance(node, Array):
        places = [member.offset for member in node.members]
    return [(member.value, place) for member, place in zip(right.members, places) if isinstance(member.value, int)]


def _written_numbers(linted: Linted, endings: Tuple[str, ...]) -> Iterator[Tuple[Number, str]]:
    """Numbers, with their digits, in comparisons that read a field with one of these endings."""
    for node, left, right in linted.comparisons:
        if any(name.endswith(endings) for side in (left, right) if side is not None for name in _reads(side)):
            for side in (node.left, node.right):
                for number in _number_nodes(side):
                    digits = linted.spelling(number.offset).lstrip("+-")
                    if digits:
                        yield number, digits


def _number_nodes(node: Node) -> List[Number]:
    if isinstance(node, Number):
        return [node]
    if isinstance(node, Array):
        return [member for member in node.members if isinstance(member, Number)]
    if isinstance(node, Unary):
        return _number_nodes(node.operand)
    return _number_nodes(node.left) + _number_nodes(node.right) if isinstance(node, Binary) else []


def _reads(node: Typed) -> List[str]:
    """Names of the fields in a value."""
    return [node.field.name] if isinstance(node, Read) else [name for part in children(node) for name in _reads(part)]


def _runs(linted: Linted) -> Iterator[Tuple[str, List[Node]]]:
    """Each connective with all operands that it joins, whether in parentheses or not."""
    for node, above in linted.nodes:
        if isinstance(node, Logical) and not (isinstance(above, Logical) and above.operator == node.operator):
            operands: List[Node] = []
            waiting: List[Node] = [node]
            while waiting:
                part = waiting.pop()
                if isinstance(part, Logical) and part.operator == node.operator:
                    waiting += [part.right, part.left]
                else:
                    operands.append(part)
            yield node.operator, operands
