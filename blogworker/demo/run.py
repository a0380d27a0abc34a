"""Runs the demo: starts the processes, waits for the posts, writes the gallery."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from anyio import CancelScope, current_time, sleep
from anyio import Path as AsyncPath
from anyio.abc import Process
from anyio.to_thread import run_sync
from pydantic import SecretStr

from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, Row, connect
from blogworker.demo.campaign import campaign
from blogworker.demo.fairness import fairness
from blogworker.demo.gallery import GalleryPost, GallerySummary, write_gallery
from blogworker.demo.processes import read_when_written, require_running, running_process
from blogworker.demo.progress import Progress, Sample
from blogworker.errors import BlogworkerError
from blogworker.ops.sites import SiteChanges, set_site
from blogworker.post.ricos import ricos
from blogworker.post.ricos_html import ricos_html
from blogworker.queue.enqueue import enqueue_many
from blogworker.settings import DatabaseSettings

WORKERS = 2
POLL_S = 0.25
UNLIMITED = 2**31 - 1
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}

Show = Callable[[Progress, Sequence[Row]], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a demo."""

    jobs: int
    sites: int
    out: Path
    speed: float  # factor of the simulated clock; quotas are per simulated minute
    concurrency: int  # slots of each worker
    keep: bool  # keep Postgres running


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a demo."""

    index: Path
    summary: GallerySummary
    failed: int
    database_url: str | None  # of the Postgres that is still running


async def run(plan: Plan, *, say: Callable[[str], None], show: Show) -> Result:
    """Start all processes, wait for the posts, write the gallery, and stop the processes.

    `say` gets status texts, `show` gets the progress. Raises BlogworkerError if a process fails.
    """
    logs = plan.out / "logs"
    await AsyncPath(logs).mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        say("starting a private Postgres")
        dsn = await stack.enter_async_context(private_postgres(_data_dir(plan, stack), keep=plan.keep))
        database = await stack.enter_async_context(Database(DatabaseSettings(url=SecretStr(dsn), pool_max=4)))
        say("starting the simulator of the providers")
        base = await simulated_providers(stack, plan, logs)
        await _prepare(database, dsn, plan)
        say(f"starting {WORKERS} workers with {plan.concurrency} slots each")
        workers = await running_workers(stack, plan, dsn, base, logs)
        elapsed_s = await _watch(database, plan, workers, logs, show)
        say("writing the gallery")
        return await _finish(database, plan, base, elapsed_s, dsn)


def _data_dir(plan: Plan, stack: AsyncExitStack) -> Path:
    if plan.keep:
        return plan.out / "postgres"
    return Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-demo-", ignore_cleanup_errors=True)))


@asynccontextmanager
async def private_postgres(folder: Path, *, keep: bool) -> AsyncIterator[str]:
    """Run Postgres for the duration of the block; yields its DSN. With `keep` it continues, unless the block fails."""
    embedded = EmbeddedPostgres(folder, durable=False)
    kept = False
    try:
        yield await run_sync(embedded.start)
        kept = keep
    finally:
        if not kept:
            with CancelScope(shield=True):  # Ctrl-C cancels the block; the server must be stopped nevertheless
                await run_sync(embedded.stop)


async def simulated_providers(stack: AsyncExitStack, plan: Plan, logs: Path) -> str:
    url_file = logs / "simulator.url"
    await AsyncPath(url_file).unlink(missing_ok=True)
    log = logs / "simulator.log"
    arguments = ["simulate", "--port", "0", "--speed", str(plan.speed), "--url-file", str(url_file)]
    process = await stack.enter_async_context(running_process(*arguments, environment={}, log=log))
    return await read_when_written(url_file, process, log)


async def _prepare(database: Database, dsn: str, plan: Plan) -> None:
    """Migrate and enqueue. A database that was kept by an earlier demo gets more jobs."""
    async with await connect(dsn, timeout_s=10) as connection:
        await migrate(connection)
    for shop, jobs in campaign(plan.jobs, plan.sites):
        await set_site(database, shop.instance_id, SiteChanges(name=shop.name))
        counts = Counter({shop.instance_id: len(jobs)})
        await enqueue_many(database, jobs, counts=counts, queue_size_limit=UNLIMITED)


async def running_workers(
    stack: AsyncExitStack, plan: Plan, dsn: str, base: str, logs: Path, *, until_empty: bool = True
) -> list[Process]:
    environment = _environment(plan, dsn, base)
    return [
        await stack.enter_async_context(
            running_process(
                "run",
                *(["--until-empty"] if until_empty else []),
                "--name",
                f"demo/{number}",
                environment=environment,
                log=logs / f"worker-{number}.log",
            )
        )
        for number in range(1, WORKERS + 1)
    ]


def _environment(plan: Plan, dsn: str, base: str) -> dict[str, str]:
    """The settings of a worker for the simulator. Quotas are per real minute, so they grow with the speed."""
    return {
        "DATABASE_URL": dsn,
        "DATABASE_DIRECT_URL": dsn,
        "OPENAI_BASE_URL": f"{base}/openai/v1",
        "OPENAI_API_KEY": "simulated-key",
        "OPENAI_RPM": str(round(450 * plan.speed)),
        "OPENAI_TPM": str(round(450_000 * plan.speed)),
        "REPLICATE_BASE_URL": f"{base}/replicate",
        "REPLICATE_API_TOKEN": "simulated-key",
        "REPLICATE_RPM": str(round(600 * plan.speed)),
        "REPLICATE_READS_RPM": str(round(3_000 * plan.speed)),
        "REPLICATE_POLL_INTERVAL": str(0.5 / plan.speed),
        "WIX_BASE_URL": f"{base}/wix",
        "WIX_APP_ID": "simulated",
        "WIX_APP_SECRET": "simulated-key",
        "WIX_RPM": str(round(200 * plan.speed)),
        "WIX_MEDIA_POLL_INTERVAL": str(1 / plan.speed),
        "BLOGWORKER_CONCURRENCY": str(plan.concurrency),
        "BLOGWORKER_DRAIN_TIMEOUT": "0",  # after Ctrl-C nobody needs the remaining posts
        "BLOGWORKER_HEARTBEAT_INTERVAL": "5",
        "BLOGWORKER_LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
    }


async def _watch(database: Database, plan: Plan, workers: Sequence[Process], logs: Path, show: Show) -> float:
    """Show the progress until every job has ended. Returns the seconds that it took."""
    text_models = 2
    progress = Progress(plan.jobs, round(450 * plan.speed) * text_models, round(450_000 * plan.speed) * text_models)
    started = current_time()
    while True:
        sites = await database.rows("demo/progress")
        usage = await database.one("demo/usage")
        done, failed = sum(s["done"] for s in sites), sum(s["failed"] for s in sites)
        progress.total = sum(s["total"] for s in sites)
        progress.add(
            Sample(
                current_time() - started,
                done,
                failed,
                usage["text_requests"],
                usage["images"],
                usage["tokens"],
                usage["cost_usd"],
            )
        )
        show(progress, sites)
        if done + failed >= progress.total:
            return current_time() - started
        for number, worker in enumerate(workers, 1):
            require_running(worker, logs / f"worker-{number}.log")
        if all(worker.returncode is not None for worker in workers):
            raise BlogworkerError(f"the workers stopped before all jobs were done; see {logs}")
        await sleep(POLL_S)


async def _finish(database: Database, plan: Plan, base: str, elapsed_s: float, dsn: str) -> Result:
    async with httpx2.AsyncClient(trust_env=False) as client:
        counters = (await client.get(f"{base}/__sim/stats")).json()
    rows = await database.rows("demo/posts")
    posts = await run_sync(_gallery_posts, plan.out, rows)
    usage = await database.one("demo/usage")
    order = [row["instance_id"] for row in await database.rows("demo/order")]
    sites = await database.rows("demo/progress")
    summary = GallerySummary(
        posts=len(posts),
        sites=len(sites),
        elapsed_s=elapsed_s,
        posts_per_minute=60 * len(posts) / elapsed_s if elapsed_s else 0.0,
        cost_usd=usage["cost_usd"],
        requests=usage["text_requests"] + usage["images"],
        tokens=usage["tokens"],
        jain=fairness(order),
        duplicates=_duplicates(counters),
        facts=_facts(plan, counters),
    )
    index = await run_sync(write_gallery, plan.out, posts, summary)
    failed = sum(site["failed"] for site in sites)
    return Result(index, summary, failed, dsn if plan.keep else None)


def _duplicates(counters: dict[str, Any]) -> int:
    return len(counters["wix"]["duplicates"])


def _facts(plan: Plan, counters: dict[str, Any]) -> dict[str, str]:
    refused = sum(vendor["throttled"] for vendor in counters["vendors"].values())
    return {
        "Providers": f"simulated, at {plan.speed:g} times real speed",
        "Workers": f"{WORKERS}, with {plan.concurrency} slots each",
        "Refused by a quota (429)": str(refused),
    }


def _gallery_posts(out: Path, rows: Sequence[Row]) -> list[GalleryPost]:
    images = out / "images"
    images.mkdir(parents=True, exist_ok=True)
    return [
        GalleryPost(
            job_id=row["job_id"],
            instance_id=row["instance_id"],
            site_name=row["site_name"],
            title=row["title"],
            slug=row["slug"],
            excerpt=row["excerpt"],
            seo_title=row["seo_title"],
            seo_description=row["seo_description"],
            tags=tuple(row["tags"]),
            html=ricos_html(ricos(row["markdown"], own_url="")),  # without links to the invented shop
            image=_image(images, row),
            image_alt=row["image_alt"] or "",
            source_type=row["source_type"],
            source_label=row["source_label"] or "",
            published_url=row["url"],
            wix_post_id=row["wix_post_id"],
            seconds=row["seconds"],
            cost_usd=row["cost_usd"],
            words=row["word_count"],
        )
        for row in rows
    ]


def _image(folder: Path, row: Row) -> Path | None:
    if row["image"] is None:
        return None
    path = folder / f"{row['job_id']}{SUFFIXES.get(row['image_type'], '.img')}"
    path.write_bytes(row["image"])
    return path
