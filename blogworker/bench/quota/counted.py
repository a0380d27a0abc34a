"""A runner that counts what passes through it."""

from time import perf_counter

from blogworker.db.pool import Row, Runner


class Counted(Runner):
    """Another runner, and how long each statement took."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.took_s: list[float] = []

    @property
    def statements(self) -> int:
        return len(self.took_s)

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        began = perf_counter()
        try:
            return await self._runner.rows(name, **parameters)
        finally:
            self.took_s.append(perf_counter() - began)
