"""Policy files: finding and reading them; what their entries mean is policy.py's business.

JSON is what we read ourselves. YAML needs PyYAML, which is used where it
happens to be installed.
"""

import os
from typing import TYPE_CHECKING, Any, Dict, Iterable, List

from ebpfless_arch.named import NamedTuple

if TYPE_CHECKING:
    from typing import Match

Entry = Dict[str, object]

BUILT_IN = os.path.join(os.path.dirname(__file__), "default.json")
"""The built-in policy; it need not be a file of its own."""

_JSON = (".json",)
_YAML = (".policy", ".yaml", ".yml")
_CONVERSION = "python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, default=str)'"
# In JSON: a backslash escaped, a whole pair of surrogates, and (2) one that is alone.
_HALF = (r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u([dD][89a-fA-F][0-9a-fA-F]{2})")


class PolicyError(Exception):
    """A policy file that cannot be used at all; the text is one line."""


class PolicyFile(NamedTuple):
    """A file as read: its macros and rules are JSON objects, not examined yet.

    `replaces` is the name of the policy that this one stands in for, "" for none.
    """

    path: str
    name: str
    version: str
    macros: List[Entry]
    rules: List[Entry]
    replaces: str = ""

    @property
    def is_default(self) -> bool:
        """True for the default policy, which comes before all others."""
        return self.name == "default"


def policy_files(paths: Iterable[str]) -> List[str]:
    """The files meant by `paths`, in loading order. Raises PolicyError."""
    found: List[str] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        try:
            names = [name for name in os.listdir(path) if name.endswith(_JSON + _YAML)]
        except OSError as error:
            raise PolicyError(f"{path}: cannot read the directory: {error.strerror}")
        if not names:
            raise PolicyError(f"{path}: the directory holds no *.json file"
                              f" and none that ends in {', '.join(_YAML)}")
        names = [name for name in names if not _is_converted(name, names)]
        found += [os.path.join(path, name) for name in sorted(names, key=lambda name: (not _is_default(name), name))]
    return found


def _is_converted(name: str, names: List[str]) -> bool:
    """Whether a YAML file has a JSON one of its name beside it, which is taken then."""
    same = [other for other in names if other.endswith(_JSON) and _policy_name(other) == _policy_name(name)]
    return name.endswith(_YAML) and bool(same)


def _is_default(name: str) -> bool:
    return _policy_name(name) == "default"


def _policy_name(path: str) -> str:
    name = os.path.basename(path)
    for ending in _JSON + _YAML[1:] + _YAML[:1]:
        name = name[:-len(ending)] if name.endswith(ending) else name
    return name


def read_policy(path: str) -> PolicyFile:
    """Reads one file. Raises PolicyError."""
    text = read_text(path, "policy")
    # JSON is YAML as well, and needs no package.
    is_yaml = path.endswith(_YAML) and not text.lstrip().startswith("{")
    return _policy_of(path, _from_yaml(path, text) if is_yaml else parse_json(path, text))


def read_text(path: str, what: str) -> str:
    """The text of a file; `what` it is, for the complaint. Raises PolicyError."""
    try:
        return read_data(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise PolicyError(f"{path}: cannot read the {what}: {error.strerror}")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 at byte {error.start}")


def read_data(path: str) -> bytes:
    """What a file holds, or the built-in policy; raises OSError."""
    if path == BUILT_IN:
        # Whatever imported this module also knows where its data are: a folder, or a bundled file.
        data: bytes = globals()["__loader__"].get_data(path)
        return data
    with open(path, "rb") as file:
        return file.read()


def parse_json(path: str, text: str) -> Any:
    """What the JSON of a file holds; `path` is for the complaint. Raises PolicyError."""
    import json
    import re

    try:
        return json.loads(re.sub(_HALF, _replaced, text))
    except json.JSONDecodeError as error:
        raise PolicyError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}")
    except ValueError as error:
        raise PolicyError(f"{path}: not JSON: {error}")
    except RecursionError:
        raise PolicyError(f"{path}: the JSON is nested too deeply")


def _replaced(match: "Match[str]") -> str:
    """A surrogate that is alone is half of a character: no text, but for the bytes that are none (U+DC80 to U+DCFF)."""
    code = int(match.group(2), 16) if match.group(2) else 0
    return match.group() if not code or 0xDC80 <= code <= 0xDCFF else "\\ufffd"


def _from_yaml(path: str, text: str) -> Any:
    """The content of a YAML file; raises PolicyError."""
    import importlib
    import json
    import shlex

    try:
        # By name, since nothing of ours depends on it.
        yaml = importlib.import_module("yaml")
    except ImportError:
        target = os.path.splitext(path)[0] + ".json"
        raise PolicyError(f"{path}: YAML cannot be read, for there is no PyYAML here; where it is, convert the file: "
                          f"{_CONVERSION} < {shlex.quote(path)} > {shlex.quote(target)}")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # What JSON does not have (dates, names that are no texts, circles) becomes a text, or is refused.
        return parse_json(path, json.dumps(yaml.load(text, Loader=loader), default=str))
    except RecursionError:
        raise PolicyError(f"{path}: the YAML is nested too deeply")
    except (TypeError, ValueError) as error:
        raise PolicyError(f"{path}: the YAML holds what a policy cannot: {error}")
    except yaml.YAMLError as error:
        raise PolicyError(_yaml_fault(path, error))


def _yaml_fault(path: str, error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
    words = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{path}{place}: not YAML: {words}"


def _policy_of(path: str, content: object) -> PolicyFile:
    if not isinstance(content, dict):
        raise PolicyError(f"{path}: a policy is a JSON object with the keys macros and rules")
    entries: Dict[str, List[Entry]] = {}
    for key in ("macros", "rules"):
        listed = content.get(key)
        listed = [] if listed is None else listed
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise PolicyError(f"{path}: {key} must be a list of objects")
        entries[key] = listed
    if not entries["macros"] and not entries["rules"]:
        raise PolicyError(f"{path}: the policy has neither rules nor macros")
    return PolicyFile(path, _policy_name(path), str(content.get("version") or ""), entries["macros"], entries["rules"],
                      str(content.get("replace_policy_id") or ""))
