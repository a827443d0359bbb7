"""`ebpfless completion SHELL`: scripts that complete commands, options and their values, made from the command table."""

from typing import Callable, Dict, List, Sequence, Tuple

from ebpfless_arch.named import NamedTuple


class Choice(NamedTuple):
    """An option: its names, what it does, and its value: "" for none, words with "|" between them, or FILE, N ..."""

    names: Tuple[str, ...]
    help: str
    value: str


class Page(NamedTuple):
    """A command with its options and its operands ("" for none), each spelled as a value is."""

    name: str
    summary: str
    options: Sequence[Choice]
    operands: Sequence[str]


def script(shell: str, pages: Sequence[Page]) -> str:
    """The script for one of SHELLS; KeyError for another."""
    return SHELLS[shell](pages)


def _words(value: str) -> List[str]:
    """The words that a value can be; [] where that is no list of words (FILE|DIR is none)."""
    return value.split("|") if value and value == value.lower() else []


def _is_file(value: str) -> bool:
    return "FILE" in value or value in ("PATH", "POLICY")


# bash

_BASH = """# bash completion for ebpfless, made by 'ebpfless completion bash' from its command table
_ebpfless() {
    local current=${COMP_WORDS[COMP_CWORD]} place=2 word="" options="" taking="" operands="" value=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "%(commands)s" -- "$current")
        return
    fi
    case ${COMP_WORDS[1]} in
%(tables)s
        *) return ;;
    esac
    # Options end at the first word that is none, or behind --.
    while [ "$place" -lt "$COMP_CWORD" ]; do
        word=${COMP_WORDS[place]}
        case $word in
            --) place=$((place + 1)); break ;;
            -?*) case " $taking " in *" $word "*) place=$((place + 2)) ;; *) place=$((place + 1)) ;; esac ;;
            *) break ;;
        esac
    done
    if [ "$place" -gt "$COMP_CWORD" ]; then
        case ${COMP_WORDS[1]}$word in
%(values)s
        esac
    elif [ "$place" -eq "$COMP_CWORD" ] && [ "${current#-}" != "$current" ] && [ "${COMP_WORDS[place - 1]}" != -- ]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
        return
    else
        # shellcheck disable=SC2086
        set -- $operands
        [ $# -eq 0 ] || shift $((COMP_CWORD - place < $# ? COMP_CWORD - place : $# - 1))
        value=${1-}
        if [ "$value" = COMMAND ] && [ "$place" -lt "$COMP_CWORD" ]; then
            if declare -F _command_offset >/dev/null; then _command_offset "$place"; return; fi
            value=FILE
        fi
    fi
    case $value in
        "") ;;
        COMMAND) mapfile -t COMPREPLY < <(compgen -c -- "$current") ;;
        FILE) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        *) mapfile -t COMPREPLY < <(compgen -W "${value//|/ }" -- "$current") ;;
    esac
}
complete -o filenames -F _ebpfless ebpfless ebpfless.py
"""


def _bash(pages: Sequence[Page]) -> str:
    tables, values = [], []
    for page in pages:
        taking = [name for option in page.options if option.value for name in option.names]
        tables.append("        %s)\n            options=\"%s\" taking=\"%s\"\n            operands=\"%s\" ;;" % (
            page.name, " ".join(name for option in page.options for name in option.names), " ".join(taking),
            " ".join(map(_bash_value, page.operands))))
        for option in page.options:
            if _bash_value(option.value):
                patterns = "|".join(page.name + name for name in option.names)
                values.append("            %s) value=\"%s\" ;;" % (patterns, _bash_value(option.value)))
    return _BASH % {"commands": " ".join(page.name for page in pages), "tables": "\n".join(tables), "values": "\n".join(values)}


def _bash_value(value: str) -> str:
    return "FILE" if _is_file(value) else value if value == "COMMAND" or _words(value) else ""


# zsh

_ZSH = """#compdef ebpfless ebpfless.py
# zsh completion for ebpfless, made by 'ebpfless completion zsh' from its command table
_ebpfless() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C '1: :->command' '*:: :->rest'
    case $state in
        command)
            local -a commands=(
%s
            )
            _describe command commands ;;
        rest)
            case $words[1] in
%s
            esac ;;
    esac
}
if [ "$funcstack[1]" = _ebpfless ]; then _ebpfless "$@"; else compdef _ebpfless ebpfless ebpfless.py; fi
"""


def _zsh(pages: Sequence[Page]) -> str:
    names = ["                %s" % _quoted("%s:%s" % (page.name, page.summary)) for page in pages]
    cases = []
    for page in pages:
        words = [_quoted("*%s[%s]%s" % (name, _zsh_text(option.help), _zsh_value(option.value)))
                 for option in page.options for name in option.names]
        words += [_quoted("(-)%d:%s" % (number, _zsh_action(value))) for number, value in enumerate(page.operands, 1)]
        if page.operands:
            words.append("'*::arguments:_normal'" if page.operands == ["COMMAND"] else _quoted("*:" + _zsh_action(page.operands[-1])))
        cases.append("                %s) _arguments -S -A '-*' %s ;;" % (page.name, " ".join(words)))
    return _ZSH % ("\n".join(names), "\n".join(cases))


def _zsh_value(value: str) -> str:
    return ":" + _zsh_action(value) if value else ""


def _zsh_action(value: str) -> str:
    if value == "COMMAND":
        return "command: _command_names -e"
    action = "_files" if _is_file(value) else "(%s)" % " ".join(_words(value)) if _words(value) else ""
    return "%s:%s" % (_zsh_text(value), action)


def _zsh_text(text: str) -> str:
    for special in "\\[]:":
        text = text.replace(special, "\\" + special)
    return text


def _quoted(text: str) -> str:
    """For zsh; fish has another way to write an apostrophe in a text."""
    return "'%s'" % text.replace("'", "'\\''")


# fish

def _fish(pages: Sequence[Page]) -> str:
    lines = ["# fish completion for ebpfless, made by 'ebpfless completion fish' from its command table"]
    for page in pages:
        lines.append("complete -c ebpfless -f -n __fish_use_subcommand -a %s -d %s" % (page.name, _fish_text(page.summary)))
    for page in pages:
        start = "complete -c ebpfless -n '__fish_seen_subcommand_from %s'" % page.name
        for option in page.options:
            names = " ".join("-l " + name[2:] if name.startswith("--") else "-s " + name[1:] for name in option.names)
            lines.append("%s %s%s -d %s" % (start, names, _fish_value(option.value), _fish_text(option.help)))
        for value in page.operands:
            if value == "COMMAND":
                lines.append("%s -f -a '(__fish_complete_subcommand --fcs-skip=2)'" % start)
            elif _words(value):
                lines.append("%s -a '%s'" % (start, " ".join(_words(value))))
        if not page.operands:
            lines.append(start + " -f")
    return "\n".join(lines) + "\n"


def _fish_value(value: str) -> str:
    if not value:
        return ""
    return " -r" if _is_file(value) else " -x -a '%s'" % " ".join(_words(value)) if _words(value) else " -x"


def _fish_text(text: str) -> str:
    return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")


SHELLS: Dict[str, Callable[[Sequence[Page]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
