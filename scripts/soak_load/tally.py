"""What was asked, what came back, and what was wrong."""

import json
from collections import Counter

# Of one kind of failure, a few examples say it all.
EXAMPLES = 5


class Tally:
    """Counts by asker; failures with the first examples of each."""

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
        """Each asker with its answers and their counts, the most frequent first."""
        for asker in sorted({asker for asker, _ in self.answers} | set(self.failures)):
            answers = [(a, n) for (who, a), n in self.answers.most_common() if who == asker]
            yield asker, answers
