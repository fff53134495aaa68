"""Counts requests, their answers, and failures."""

import json
from collections import Counter

# A few examples of each kind of failure are enough.
EXAMPLES = 5


class Tally:
    """Counts by kind of client; failures with the first examples of each."""

    def __init__(self):
        self.answers = Counter()
        self.failures = Counter()
        self.examples = {}
        self.latencies = []

    def count(self, asker, answer):
        self.answers[asker, answer] += 1

    def fail(self, asker, text):
        self.failures[asker] += 1
        examples = self.examples.setdefault(asker, [])
        if len(examples) < EXAMPLES and text not in examples:
            examples.append(text)

    def dump(self):
        return json.dumps({
            "answers": [[*key, count] for key, count in self.answers.items()],
            "failures": self.failures,
            "examples": self.examples,
            "latencies": self.latencies,
        })

    def add(self, text):
        """Adds what another process dumped."""
        other = json.loads(text)
        for asker, answer, count in other["answers"]:
            self.answers[asker, answer] += count
        self.failures.update(other["failures"])
        for asker, examples in other["examples"].items():
            every = dict.fromkeys([*self.examples.get(asker, []), *examples])
            self.examples[asker] = list(every)[:EXAMPLES]
        self.latencies += other["latencies"]

    def askers(self):
        """Each kind of client, its answers and their counts, most frequent first."""
        for asker in sorted({asker for asker, _ in self.answers} | set(self.failures)):
            answers = [(a, n) for (who, a), n in self.answers.most_common() if who == asker]
            yield asker, answers
