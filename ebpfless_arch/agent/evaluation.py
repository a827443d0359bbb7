"""Records in, detections out: the keeper's side of an agent that works alone.

This module and all that it imports load after the tracer was forked, so that the tracer stays small. A command waits for it:
what few of them need is loaded when it is needed.
"""

import errno
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

from ebpfless_arch import __version__
from ebpfless_arch.agent.config import Config
from ebpfless_arch.agent.options import UsageError
from ebpfless_arch.agent.outputs import LineFile, Output, Sink, Voice, is_url
from ebpfless_arch.agent.reloading import NoRules, Policies
from ebpfless_arch.events import records
from ebpfless_arch.events.interest import ANSWERS, Case, Interest, PathNeed, either
from ebpfless_arch.events.model import NO_CONTEXT, Context, Event, Process
from ebpfless_arch.events.processes import Processes, outer_lineage
from ebpfless_arch.events.records import Record
from ebpfless_arch.events.text_parts import printable
from ebpfless_arch.events.users import Users
from ebpfless_arch.rules.actions import Action, Deny, Hands, Kill, Log, run_actions
from ebpfless_arch.rules.files import BUILT_IN, PolicyError
from ebpfless_arch.rules.loaded import Problem, Skipped
from ebpfless_arch.rules.ruleset import Rule, RuleSet
from ebpfless_arch.tracer.receiver import Answer, Receiver

if TYPE_CHECKING:
    from ebpfless_arch.agent.outputs.written import Written

_LIMITED_NAMED = 10
_FAULT_SHOWN = 4096
_LOSS_PAUSE_NS = 10 ** 9


class Source:
    """Where records come from: a model of the processes there, who can end them, and what is said of all events."""

    def __init__(self, processes: Processes, kill: Callable[[Kill, Event], Dict[str, Any]],
                 context: Context = NO_CONTEXT) -> None:
        self.processes = processes
        self.kill = kill
        self.context = context
        # Whether its tracer looks at files.
        self.looks = True


class Agent(Receiver):
    """Turns records into events, events into detections, and hands both to the outputs.

    `source` is whose records are received; with several of them it is set before each record.
    """

    def __init__(self, rules: RuleSet, source: Source, outputs: List[Output], events: bool, verbose: bool,
                 voice: Voice) -> None:
        self._rules = self._sightless = rules
        self._voice = voice
        self.source = source
        self._verbose = verbose
        self._hands = Hands(self._log, self._perform)
        self._performed: List[Dict[str, Any]] = []
        self._outputs = outputs
        self._events = events
        self._sequence = 0
        self._broken: Dict[Output, int] = {}
        self.lost = 0
        self._loss = 0, 0, 0
        self.faults = 0
        self.detections = 0
        self.events_by_type: Dict[str, int] = {}
        self.detections_by_rule: Dict[str, int] = {}

    def find(self, pid: int) -> Optional[Process]:
        """The record of a live process of the source."""
        return self.source.processes.find(pid)

    def receive(self, record: Record, number: int = 0) -> None:
        """Take one record of the source; `number` is the record's, where it has one."""
        if record[0] == records.LOST:
            self._lose(record[1], record[2], record[4])
        elif record[0] == records.FAULT:
            self.failed(record[4])
        else:
            self._tell(self._event(record, number))

    def _lose(self, time: int, pid: int, count: int) -> None:
        """Records were lost: that is told at once, but not more often than once a second."""
        since, _, untold = self._loss
        self.lost += count
        self._loss = since, pid, untold + count
        if time - since >= _LOSS_PAUSE_NS:
            self._tell_loss(time)

    def _tell_loss(self, time: int) -> None:
        _, pid, untold = self._loss
        self._loss = time, pid, 0
        self._tell(self._event(records.blind(
            time, pid, pid, "%d records of the tracer were lost: the agent was too slow, or the tracer was killed" % untold,
            "lost", untold)))

    def learn(self, record: Record) -> None:
        """Let the model know what a record tells, without judging it."""
        if record[0] not in (records.LOST, records.FAULT):
            self.source.processes.learn(record)

    def describe(self, tags: Tuple[str, ...]) -> None:
        """From now on these are the tags of the source's events."""
        self.source.context = self.source.context._replace(tags=tags)

    def meet(self, record: Record) -> None:
        """Let the model know a process that runs already and is nobody's business."""
        self.source.processes.apply(record)

    def observe(self, record: Record, way: str) -> None:
        """Take one record of a process that nobody traces, seen by the view of the whole system."""
        event = self._event(record)
        event.seen_by = way
        self._tell(event)

    def _event(self, record: Record, number: int = 0) -> Event:
        event = self.source.processes.apply(record)
        event.context, event.number = self.source.context, number
        return event

    def _tell(self, event: Event) -> None:
        self._announce(event)
        # All rules are evaluated before any action runs: they read variables as they were before the event.
        self._report(event, self._matching(event))

    def _matching(self, event: Event) -> List[Rule]:
        return (self._rules if self.source.looks else self._sightless).evaluate(event)

    def use(self, rules: RuleSet, sightless: RuleSet) -> None:
        """Go by other rules from the next event on; by `sightless` for sources that do not look at files."""
        self._rules, self._sightless = rules, sightless

    def judge(self, record: Record, answer: Answer) -> None:
        """Whether a rule denies a call before it runs."""
        answer(self.refusal(record))

    def refusal(self, record: Record) -> int:
        """The errno with which a rule denies a call, which is then told as refused; else 0."""
        event = self._event(record)
        matching = self._matching(event)
        refusal = _refusal(matching, event)
        if refusal:
            event.retval = -refusal
            self._announce(event)
            self._report(event, matching)
        return refusal

    def _announce(self, event: Event) -> None:
        """Count an event, and write it where events are asked for; what we cannot see is always told."""
        self._sequence += 1
        self.events_by_type[event.type] = self.events_by_type.get(event.type, 0) + 1
        if self._events or event.type == "blind_spot":
            self._write(event, None, [])

    def _report(self, event: Event, matching: List[Rule]) -> None:
        """Act on the rules that match an event, and tell of them."""
        for rule in matching:
            self.detections += 1
            self.detections_by_rule[rule.base_id] = self.detections_by_rule.get(rule.base_id, 0) + 1
            self._performed = []
            run_actions(rule, event, self._hands)
            if not rule.silent and rule.limiter.allows(event):
                self._write(event, rule, self._performed)

    def _log(self, level: str, message: str, rule: Rule, event: Event) -> None:
        """What the action `log` asks for; lines of the level debug are left out unless they are wanted."""
        if level != "debug" or self._verbose:
            from ebpfless_arch.events.text_form import headline

            self._voice.log(level, "rule %s: %s" % (rule.base_id, printable(message or headline(event))))

    def _perform(self, action: Action, rule: Rule, event: Event) -> None:
        """The actions `kill` and `deny`."""
        if isinstance(action, Kill):
            self._performed.append(self.source.kill(action, event))
        elif isinstance(action, Deny):
            status = "performed" if event.retval == -action.errno else "too late"
            self._performed.append({"type": "deny", "error": errno.errorcode[action.errno], "status": status})

    def _write(self, event: Event, rule: Optional[Rule], performed: List[Dict[str, Any]]) -> None:
        for output in self._outputs:
            self._attempt(output, lambda: output.write(event, rule, self._sequence, performed))

    def _attempt(self, output: Output, action: Callable[[], Optional[int]]) -> int:
        """A full disk or a closed stream costs lines, which are counted, and never the program."""
        try:
            return action() or 0
        except OSError as error:
            if output not in self._broken:
                self._voice.complain("the output %s fails, its lines are lost: %s" % (output.name, error.strerror or error), "error")
            self._broken[output] = self._broken.get(output, 0) + 1
            return 0

    def get_ready(self) -> None:
        """Load what detections and actions need."""
        from ebpfless_arch.agent import ending as ending
        from ebpfless_arch.events import text_form as text_form
        from ebpfless_arch.rules import regex as regex

    def idle(self) -> bool:
        """Write out what is held back; True when a slow reader does not take it yet."""
        return any([self._attempt(output, output.flush) for output in self._outputs])

    def notice(self, text: str) -> None:
        """A line for whoever started us."""
        self._voice.complain(text)

    def failed(self, text: str) -> None:
        """An error of ours: it is told once and counted."""
        self.faults += 1
        if self.faults == 1:
            self._voice.complain("an error inside the agent, the program goes on: "
                                 + printable(text.strip().replace("\n", " | "))[:_FAULT_SHOWN], "error")

    def leave(self) -> None:
        """A copy of this process goes on with what is held back."""
        for output in self._outputs:
            output.leave()

    def close(self) -> None:
        """Write everything out and say what was lost."""
        if self._loss[2]:
            self._tell_loss(records.now())
        for output in self._outputs:
            dropped = self._attempt(output, output.close)
            if dropped:
                self._voice.complain("%d lines were dropped, for %s" % (dropped, output.why_dropped), "warning")
        if self.lost:
            self._voice.complain("%d records of the tracer were lost" % self.lost, "warning")
        self._tell_limits()

    def _tell_limits(self) -> None:
        """Which rules matched more often than they may be told."""
        silent = sum(action.limiter.held_back for rule in self._rules.rules for action in rule.actions
                     if isinstance(action, Log) and (action.level != "debug" or self._verbose))
        if silent:
            self._voice.complain("%d lines of log actions were not written, for their rules matched too often" % silent, "warning")
        limited = sorted((rule for rule in self._rules.rules if rule.limiter.held_back),
                         key=lambda rule: -rule.limiter.held_back)
        if not limited:
            return
        named = ["%s %d" % (rule.base_id, rule.limiter.held_back) for rule in limited[:_LIMITED_NAMED]]
        if len(limited) > _LIMITED_NAMED:
            named.append("%d other rules" % (len(limited) - _LIMITED_NAMED))
        self._voice.complain("%d detections were not written, for their rules matched too often: %s"
                 % (self.held_back, ", ".join(named)))

    @property
    def dropped(self) -> int:
        """Lines that outputs did not take."""
        return sum(output.dropped for output in self._outputs) + sum(self._broken.values())

    @property
    def held_back(self) -> int:
        """Detections that the limits of their rules kept from the outputs."""
        return sum(rule.limiter.held_back for rule in self._rules.rules)

    def conclude(self, problem: str, stops: Optional[int]) -> None:
        """The last word: what kept the command from running, and with the number of stops all that was counted."""
        if problem:
            self._voice.complain(problem, "error")
        if stops is not None:
            self._voice.complain("%d stops, %d events, %d detections (%d not written), %d records lost, %d errors"
                     % (stops, self._sequence, self.detections, self.held_back, self.lost, self.faults))


def _refusal(matching: List[Rule], event: Event) -> int:
    """The errno of the first action that denies the event's call, 0 where there is none."""
    for rule in matching:
        for action in rule.actions:
            if isinstance(action, Deny) and (action.condition is None or action.condition(event)):
                return action.errno
    return 0


def _denied(rules: RuleSet) -> Dict[str, Optional[PathNeed]]:
    """The events whose calls some rule may deny, and what the path must be like for that."""
    needs: Dict[str, List[Optional[PathNeed]]] = {}
    for rule in rules.rules:
        if any(isinstance(action, Deny) for action in rule.actions):
            from ebpfless_arch.rules.necessary import path_need

            needs.setdefault(rule.event_type, []).append(path_need(rule.checked.tree, rule.event_type))
    return {event: either(found) for event, found in needs.items()}


def prepare(config: Config, outer: int = 0) -> Tuple[Agent, Interest]:
    """Load policies and open outputs; raises UsageError for what the user has to change.

    `outer` is the process that counts as the parent of a command, 0 where there is none."""
    voice = voice_of(config, "trace")
    policies = load_rules(config["runtime_security_config.policies.dir"], voice, not config["trace.disable_stats"])
    users = Users()
    agent = make_agent(policies, config, "trace", voice, own_source(Processes(users, outer_lineage(users, outer))))
    return agent, interest_of(policies.rules, config["trace.events"])


def own_source(processes: Processes, context: Context = NO_CONTEXT) -> Source:
    """Records of our own tracer: the processes are those of our own pid namespace."""
    keeper = os.getpid()

    def kill(action: Kill, event: Event) -> Dict[str, Any]:
        from ebpfless_arch.agent.ending import Ender

        return Ender(processes, [keeper]).kill(action, event)

    return Source(processes, kill, context)


def voice_of(config: Config, section: str) -> Voice:
    """Who says what the outputs of a section do not; warnings of the configuration come first."""
    as_json = config[section + ".format"] == "json" and "-" in config[section + ".output"]
    voice = Voice(about_us() if as_json else None)
    for warning in config.warnings:
        voice.complain(warning, "warning")
    return voice


def make_agent(policies: Policies, config: Config, section: str, voice: Voice, source: Source) -> Agent:
    """An agent with the outputs of a section of the configuration; raises UsageError."""
    # Only records that travel have numbers by which lines that a killed probe has written are known again.
    outputs = [_open_output(path, config[section + ".format"], policies.shown, section == "probe", voice,
                            config["trace.hostname"] or "") for path in config[section + ".output"]]
    agent = Agent(policies.rules, source, outputs, config[section + ".events"], config[section + ".verbose"], voice)
    policies.loaded.variables.find_process = agent.find
    return agent


def interest_of(rules: RuleSet, events: bool) -> Interest:
    """What the tracer has to stop for: what some rule needs, or, with `events`, everything."""
    if events:
        from ebpfless_arch.tracer import syscalls

        return Interest(syscalls.EVENTS | ANSWERS | rules.event_types, events, _denied(rules))
    return Interest(rules.event_types, events, _denied(rules), cases=_cases(rules))


def _cases(rules: RuleSet) -> Mapping[str, Tuple[Case, ...]]:
    if rules.cases is not None:
        return rules.cases
    from ebpfless_arch.rules.narrowing import needed_cases  # not for the built-in policy

    return needed_cases(rules.rules)


def load_rules(paths: List[str], voice: Voice, looks: bool = True) -> Policies:
    """The policies of these paths, the built-in one without any; raises UsageError, and complains of single mistakes.
    Without `looks` files are not looked at, and it complains of the rules that need it."""
    try:
        policies = Policies(paths or [BUILT_IN], looks)
    except PolicyError as error:
        raise UsageError(str(error))
    except NoRules as error:
        _complain_of(error.problems, [], voice)
        raise UsageError(str(error))
    _complain_of(policies.loaded.problems, policies.loaded.idle_actions, voice)
    for rule in policies.blind:
        voice.complain("%s: rule '%s': %s: the rule does not run" % (rule.file, rule.rule_id, rule.reason), "warning")
    return policies


def _complain_of(problems: List[Problem], idle_actions: List[Skipped], voice: Voice) -> None:
    for problem in problems:
        voice.complain(str(problem), "error")
    for idle in idle_actions:
        if idle.status == "late":  # whoever denies relies on it
            voice.complain("%s: rule '%s': %s: the call is not refused, only reported"
                           % (idle.file, idle.rule_id, idle.reason), "warning")


def _open_output(path: str, form: str, variables: Callable[[Event], Dict[str, Any]],
                 goes_on: bool, voice: Voice, host: str) -> Output:
    """`goes_on`: what a predecessor has written into a file of JSON lines is not written again."""
    known = None
    if is_url(path):
        file: Sink = _open_remote(path, form, voice, host)
    else:
        try:
            known = _written_in(path) if goes_on and form == "json" else None
            file = LineFile(path)
        except OSError as error:
            raise UsageError("--output %s: %s" % (path, error.strerror))
        if path == "-":
            voice.share(file)
    if form == "json":
        from ebpfless_arch.agent.outputs.json_lines import JsonLines

        return JsonLines(file, about_us(), variables, known)
    from ebpfless_arch.agent.outputs.text import Text

    return Text(file, file.takes_colours())


def _written_in(path: str) -> "Written":
    from ebpfless_arch.agent.outputs.written import written_in

    return written_in(path)


def _open_remote(url: str, form: str, voice: Voice, host: str) -> Sink:
    # Only where it is asked for: a start does without what it loads.
    from ebpfless_arch.agent.outputs import remote, targets

    try:
        return remote.Remote(targets.target_of(url, form, host), voice)
    except (ValueError, OSError) as error:
        raise UsageError("--output %s: %s" % (url, getattr(error, "strerror", None) or error))


def about_us() -> Dict[str, Any]:
    """The `agent` part of every message."""
    system = os.uname()
    return {"version": __version__, "os": "linux", "arch": system.machine, "origin": "ebpfless",
            "kernel_version": system.release}
