"""What was checked, and what was found wrong."""


class Findings:
    def __init__(self):
        self.where = ""
        self.passed = 0
        self.failed = 0

    def look_at(self, where):
        self.where = where
        print(f"== {where}")

    def expect(self, condition, what):
        """Counts a check; `what` says what is wrong if it fails."""
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {self.where}: {what}")
        return bool(condition)

    def equal(self, found, expected, what):
        return self.expect(found == expected, f"{what}: {found!r}, expected {expected!r}")

    def conclude(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0
