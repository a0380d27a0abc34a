"""A runner that counts and times statements."""

from time import perf_counter

from blogworker.db.pool import Row, Runner


class CountingRunner(Runner):
    """Wraps a runner. `took_s`: the seconds of each statement."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.took_s: list[float] = []

    @property
    def statements(self) -> int:
        return len(self.took_s)

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        started = perf_counter()
        try:
            return await self._runner.rows(name, **parameters)
        finally:
            self.took_s.append(perf_counter() - started)
