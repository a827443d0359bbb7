"""Option names and values in an argument vector, as SECL's args_flags and args_options have them."""

from typing import List


def _option_name(argument: str) -> str:
    """What follows one or two leading dashes, "" when the argument is no option."""
    if len(argument) < 2 or argument[0] != "-":
        return ""
    return argument[2:] if argument.startswith("--") else argument[1:]


def flag_names(arguments: List[str]) -> List[str]:
    """Names of the flags: "-xvf" gives x, v, f and xvf; "--dry-run" gives dry-run."""
    flags: List[str] = []
    for argument in arguments:
        name = _option_name(argument)
        if not name:
            continue
        if not argument.startswith("--") and _is_cluster(name):
            flags.extend(name)
        if len(name) > 1 and "=" not in name:
            flags.append(name)
    return flags


def _is_cluster(name: str) -> bool:
    return all(letter.isalnum() and ord(letter) < 128 for letter in name)


def option_values(arguments: List[str]) -> List[str]:
    """Options with a value: "--size=9" gives size=9, "-o out" gives o=out."""
    options: List[str] = []
    position = 0
    while position < len(arguments):
        name = _option_name(arguments[position])
        position += 1
        if not name or not _is_cluster(name[0]):
            continue
        if "=" in name:
            options.append(name)
        elif position < len(arguments) and not arguments[position].startswith("-"):
            options.append(name + "=" + arguments[position])
            position += 1
    return options
