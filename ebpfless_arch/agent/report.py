"""What a probe has counted, as a page for Prometheus."""

from typing import Dict

from ebpfless_arch import __version__
from ebpfless_arch.agent.evaluation import Agent
from ebpfless_arch.agent.sessions import Sessions
from ebpfless_arch.kernel import procfs


class Delays:
    """How long after it happened an event was judged: how many came within which time (seconds)."""

    BOUNDS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.sum = 0.0

    def note(self, seconds: float) -> None:
        """One more; clocks that differ can make it negative."""
        self.sum += max(0.0, seconds)
        place = 0
        while place < len(self.BOUNDS) and seconds > self.BOUNDS[place]:
            place += 1
        self.counts[place] += 1


class Report:
    """Makes the page; `delays` is kept by whoever judges."""

    def __init__(self, agent: Agent, sessions: Sessions) -> None:
        self._agent = agent
        self._sessions = sessions
        self.delays = Delays()
        self.page = ""

    def make(self, strangers: int, left: int) -> None:
        """Write it anew. `strangers` have not said yet who they are, `left` is how many connections were ended for what
        they did."""
        from ebpfless_arch.agent.metrics import by_label, exposition, histogram, single

        agent, tracers = self._agent, self._sessions.present()
        counters: Dict[str, int] = {}
        for session in tracers:
            for name, value in session.counters.items():
                counters[name] = counters.get(name, 0) + value
        self.page = exposition([
            single("ebpfless_info", "gauge", "Version of the probe, always 1.", 1, version=__version__),
            by_label("ebpfless_events_total", "Events by type.", "type", agent.events_by_type),
            by_label("ebpfless_detections_total", "Matches of rules.", "rule", agent.detections_by_rule),
            single("ebpfless_detections_held_back_total", "counter", "Detections that limits of rules kept from outputs.",
                   agent.held_back),
            by_label("ebpfless_lost_total", "Records and lines that were lost, and where.", "where", {
                "tracer": agent.lost, "wire": self._sessions.missing, "output": agent.dropped}),
            single("ebpfless_faults_total", "counter", "Errors inside the agent that cost a record.", agent.faults),
            single("ebpfless_tracers", "gauge", "Tracers that are connected.", len(tracers)),
            single("ebpfless_strangers", "gauge", "Connections that have not said yet who they are.", strangers),
            single("ebpfless_left_total", "counter", "Connections that were ended for what they did.", left),
            single("ebpfless_spooled_bytes", "gauge", "What tracers hold back for the probe.", counters.get("spooled", 0)),
            single("ebpfless_processes", "gauge", "Live processes that are known.",
                   sum(len(session.source.processes) for session in tracers)),
            single("ebpfless_resident_memory_bytes", "gauge", "Memory of the probe.", procfs.resident_bytes()),
            histogram("ebpfless_delay_seconds", "From an event to its judgement.", self.delays.BOUNDS,
                      self.delays.counts, self.delays.sum),
        ])
