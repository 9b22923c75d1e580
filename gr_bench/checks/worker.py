"""The program in which a method is asked: a request a rule, a verdict an answer.

    python -m gr_bench.checks.worker AT_WORK STARTED

A request is ``{"spec", "model", "compiled", "rule", "timeout_s"}``. The stack of a rule that takes
longer is written to the log.
"""

from __future__ import annotations

import faulthandler
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict

import torch

from gr_bench.checks.rules import BY_NAME, ask
from gr_bench.checks.subject import Subject
from gr_bench.errors import RequestError
from gr_bench.workers.channel import Message, note_at_work, serve


def main() -> None:
    """Answer until there is nothing more to ask."""
    at_work = int(sys.argv[1])
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")

    def judge(request: Message) -> Iterator[Message]:
        note_at_work(at_work, [request["rule"]])
        subject = Subject(request["spec"], request["model"], request["compiled"])
        faulthandler.dump_traceback_later(request["timeout_s"])
        try:
            yield asdict(ask(BY_NAME[request["rule"]], subject))
        except RequestError as error:
            yield {"refused": str(error)}
        finally:
            faulthandler.cancel_dump_traceback_later()

    serve(judge)


if __name__ == "__main__":
    main()
