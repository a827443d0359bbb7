"""What the keeper hands records to: the side of the agent that it knows."""

from typing import Callable, Dict, List

from ebpfless_arch.events.records import Record
from ebpfless_arch.tracer import watchdog

# Takes the errno for a call, 0 to let it run.
Answer = Callable[[int], None]


class Receiver:
    """What the keeper hands records to; subclassed by the agent."""

    def receive(self, record: Record) -> None:
        """Take one record."""

    def judge(self, record: Record, answer: Answer) -> None:
        """Answer, now or later, with the errno with which the call that this record is about shall fail; 0 lets it
        run."""
        answer(0)

    def notice(self, text: str) -> None:
        """Something that whoever started us has to know."""

    def failed(self, text: str) -> None:
        """An error was raised by `receive`; `text` is its traceback."""

    def get_ready(self) -> None:
        """Load what may be needed later, when there may be no descriptor left for it, or other files; the command runs by now."""

    def idle(self) -> bool:
        """Nothing is waiting: a moment to write out. True when something could not be written yet."""
        return False

    def descriptors(self) -> Dict[int, int]:
        """Asked in each turn of the loop, a moment to do what is due: what to wait for besides, as poll(2) takes it."""
        return {}

    def patience(self) -> float:
        """Seconds after which `descriptors` wants to be asked again."""
        return watchdog.PERIOD_SECONDS

    def helpers(self) -> List[int]:
        """Children of this process that are the receiver's own: nobody traces them."""
        return []

    def leave(self) -> None:
        """A copy of this process goes on with everything; here only `close` follows."""

    def close(self) -> None:
        """No record will follow."""
