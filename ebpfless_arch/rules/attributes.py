"""Fields that tell what a look at a file finds: owner, mode, inode and times. With --disable-stats nobody looks."""

import re
from typing import List, Tuple

from ebpfless_arch.rules.loaded import LoadedPolicies, Skipped

# By their names, for the built-in policy runs without the table of fields. What chmod, chown and open are asked to set is
# an argument of theirs, known in any case.
_FIELD = re.compile(r"(?:.*\.|)(?:file|(?:rename|link)\.file\.destination|put_old)\."
                    r"(?:inode|mode|rights|uid|gid|user|group|change_time|modification_time)\Z")


def needs_look(field: str) -> bool:
    """Whether a field is known only if somebody looks at the file."""
    return _FIELD.match(field) is not None


def without_looks(loaded: LoadedPolicies) -> Tuple[LoadedPolicies, List[Skipped]]:
    """The policies without the rules that read such fields, and these, each with the reason."""
    left_out = {rule.id: sorted(filter(needs_look, rule.checked.fields)) for rule in loaded.rules}
    reasons = {(rule.file, rule.base_id): ", ".join(left_out[rule.id]) for rule in reversed(loaded.rules) if left_out[rule.id]}
    skipped = [Skipped(file, name, "unavailable", "field %s: --disable-stats keeps us from looking at files" % fields)
               for (file, name), fields in reasons.items()][::-1]
    kept = [rule for rule in loaded.rules if not left_out[rule.id]]
    return loaded._replace(rules=kept, skipped=loaded.skipped + skipped), skipped
